# SPDX-License-Identifier: GPL-3.0-or-later
"""Distributions as users get them: built as wheels, installed one by one, and joined by a stranger's."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from lab import debian

pytestmark = pytest.mark.slow

PLUGINS = [name for name in debian.distributions() if name != "rear-core"]

TUTORIAL = Path(__file__).parent.parent / "docs" / "tutorial" / "first-plugin.md"


def block(language: str) -> str:
    """The first piece of code in that language in the tutorial: what it tells readers to type is what is tested."""
    found = re.search(rf"^```{language}\n(.*?)^```", TUTORIAL.read_text(), re.DOTALL | re.MULTILINE)
    assert found
    return found[1]


class Environment:
    """A fresh virtual environment, and the command `rear` in it with a configuration of its own."""

    def __init__(self, path: Path, *distributions: str | Path) -> None:
        self.python = path / "venv/bin/python"
        self.config = path / "etc"
        self.config.mkdir(parents=True)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", path / "venv"], check=True)
        self.pip("install", "--no-index", *find_links(), *distributions)

    def pip(self, *arguments: str | Path) -> None:
        argv = [sys.executable, "-m", "pip", "--quiet", f"--python={self.python}", *map(str, arguments)]
        subprocess.run(argv, check=True)

    def rear(self, *arguments: str, status: int = 0) -> str:
        """Both streams of a command that ends with `status`."""
        argv = [os.fspath(self.python.with_name("rear")), f"--config-dir={self.config}", *arguments]
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
        done = subprocess.run(
            argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, timeout=60
        )
        assert done.returncode == status, done.stdout
        return done.stdout

    def plugins(self) -> dict[str, dict[str, str]]:
        """What `rear plugins list` knows, by kind and name."""
        rows: Sequence[dict[str, str]] = json.loads(self.rear("plugins", "list", "--json"))
        return {f"{row['kind']} {row['name']}": row for row in rows}


def find_links() -> list[str]:
    """Where pip finds our wheels and all that they depend on, without a package index."""
    dependencies = debian.dependencies(f"{sys.version_info.major}.{sys.version_info.minor}")
    return [f"--find-links={debian.wheels()}", f"--find-links={dependencies}"]


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """A vendor's plugin, outside of this tree, in an environment with what a Debian machine needs."""
    path = tmp_path_factory.mktemp("acme")
    source = path / "source"
    source.mkdir()
    (source / "pyproject.toml").write_text(block("toml"))
    (source / "rear_backup_acme.py").write_text(block("python"))
    build = [sys.executable, "-m", "pip", "--quiet", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, f"--wheel-dir={path}", source], check=True)
    (wheel,) = path.glob("*.whl")
    environment = Environment(path, "rear-output-iso", "rear-os-debian", wheel)
    (environment.config / "local.conf").write_text(
        "BACKUP=ACME\nOS_FAMILY=debian\nACME_SERVER=vault.example\n"
    )
    return environment


def test_every_distribution_builds_as_a_wheel() -> None:
    built = {path.name.partition("-")[0].replace("_", "-") for path in debian.wheels().glob("*.whl")}
    assert built == set(debian.distributions())


@pytest.mark.parametrize("name", PLUGINS)
def test_a_plugin_installs_on_its_own(tmp_path: Path, name: str) -> None:
    environment = Environment(tmp_path, name)
    rows = environment.plugins().values()
    assert {row["distribution"] for row in rows if row["version"]} == {name}
    assert not [row for row in rows if row["state"] == "broken"]
    assert "hooks: rear_" in environment.rear("plugins", "show", name)


def test_a_vendors_plugin_is_found_and_selected(acme: Environment) -> None:
    row = acme.plugins()["backup ACME"]
    assert (row["distribution"], row["version"], row["state"]) == ("rear-backup-acme", "1.0", "active")


def test_a_vendors_setting_is_documented_and_read(acme: Environment) -> None:
    assert "host name of the Acme backup server" in acme.rear("config", "default")
    assert json.loads(acme.rear("dump", "--json"))["settings"]["ACME_SERVER"]["value"] == "vault.example"


def test_a_vendors_command_is_a_command_of_rear(acme: Environment) -> None:
    assert "Say which Acme server is configured." in acme.rear("acme-status", "--help")
    assert acme.rear("acme-status") == "vault.example\n"


@pytest.mark.root
def test_a_vendors_steps_run_among_the_others(acme: Environment) -> None:
    (line,) = [line for line in acme.rear("-s", "mkrescue").splitlines() if "Acme server is configured" in line]
    assert "ACME" in line
    assert "Send the files to vault.example" in acme.rear("-s", "mkbackup")


def test_a_method_that_was_uninstalled_is_named_with_its_package(tmp_path: Path) -> None:
    environment = Environment(tmp_path, "rear-output-iso", "rear-os-debian", "rear-backup-nfs")
    (environment.config / "local.conf").write_text("OS_FAMILY=debian\n")
    environment.pip("uninstall", "--yes", "rear-output-iso")
    row = environment.plugins()["output ISO"]
    assert (row["state"], row["reason"]) == ("missing", "pip install rear-output-iso")
    told = environment.rear("mkrescue", status=2)
    assert "OUTPUT=ISO is not installed" in told
    assert "pip install rear-output-iso" in told
