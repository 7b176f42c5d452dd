# SPDX-License-Identifier: GPL-3.0-or-later
"""Distributions as users get them: wheels that are installed and removed one by one, a few of them, a stranger's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from lab import debian
from rear_core.new_plugin import write
from rear_core.packages import how_to_install
from rear_core.plugins import discover

pytestmark = pytest.mark.slow

PLUGINS = [name for name in debian.distributions() if name != "rear-core"]


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

    def configure(self, text: str) -> None:
        """Set local.conf."""
        (self.config / "local.conf").write_text(text)

    def installed(self) -> set[Path]:
        """All files of the environment, without the byte code that Python leaves."""
        return {path for path in self.python.parents[1].rglob("*") if "__pycache__" not in path.parts}

    def plugins(self) -> dict[str, dict[str, str]]:
        """What `rear plugins list` knows, by kind and name."""
        rows: Sequence[dict[str, str]] = json.loads(self.rear("plugins", "list", "--json"))
        return {f"{row['kind']} {row['name']}": row for row in rows}


def find_links() -> list[str]:
    """Where pip finds our wheels and all that they depend on, without a package index."""
    dependencies = debian.dependencies(f"{sys.version_info.major}.{sys.version_info.minor}")
    return [f"--find-links={debian.wheels()}", f"--find-links={dependencies}"]


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """rear-core alone."""
    return Environment(tmp_path_factory.mktemp("core"), "rear-core")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """A backup method and an output method, nothing else."""
    return Environment(tmp_path_factory.mktemp("small"), "rear-core", "rear-backup-nfs", "rear-output-iso")


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """A vendor's plugin, outside of this tree, in an environment with what a Debian machine needs."""
    path = tmp_path_factory.mktemp("acme")
    source = write("backup", "acme", path, [], [])
    build = [sys.executable, "-m", "pip", "--quiet", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, f"--wheel-dir={path}", source], check=True)
    (wheel,) = path.glob("*.whl")
    environment = Environment(path, "rear-output-iso", "rear-os-debian", wheel)
    environment.configure(f"BACKUP=ACME\nOS_FAMILY=debian\nACME_DIR={path}\n")
    return environment


def test_every_distribution_builds_as_a_wheel() -> None:
    built = {path.name.partition("-")[0].replace("_", "-") for path in debian.wheels().glob("*.whl")}
    assert built == set(debian.distributions())


def test_every_wheel_has_the_license_and_its_authors() -> None:
    text = (debian.CHECKOUT / "LICENSE").read_bytes()
    for path in debian.wheels().glob("*.whl"):
        with zipfile.ZipFile(path) as wheel:
            # Its folder depends on the version of setuptools.
            files = {name.rpartition("/")[2]: name for name in wheel.namelist() if ".dist-info/" in name}
            assert wheel.read(files["LICENSE"]) == text, path.name
            lines = wheel.read(files["METADATA"]).decode().splitlines()
        assert {"License: GPL-3.0-or-later", "License-File: LICENSE", "Author: The rear developers"} <= set(lines)


@pytest.mark.long
def test_every_plugin_leaves_nothing_behind_and_the_others_go_on(core: Environment) -> None:
    before = core.installed()
    core.pip("install", "--no-index", *find_links(), *PLUGINS)
    left = set(PLUGINS)
    for name in PLUGINS:
        rows = core.plugins().values()
        assert {row["distribution"] for row in rows if row["version"]} == left
        assert not [row for row in rows if row["state"] == "broken"]
        core.pip("uninstall", "--yes", name)
        left.remove(name)
    core.pip("uninstall", "--yes", "pexpect", "ptyprocess")
    assert core.installed() == before


def test_a_plugin_brings_what_it_requires(tmp_path: Path) -> None:
    environment = Environment(tmp_path, "rear-drill")
    assert environment.plugins()["extra drill"]["state"] == "active"


def test_a_method_that_is_not_installed_is_named_with_its_package(core: Environment, small: Environment) -> None:
    methods = [found for found in discover() if found.kind in ("backup", "output")]
    missing = [found for found in methods if found.distribution not in ("rear-backup-nfs", "rear-output-iso")]
    assert "rear-backup-tape" in {found.distribution for found in missing}
    for found in missing:
        setting, advice = f"{found.kind.upper()}={found.name}", how_to_install(found.distribution)
        small.configure(f"{setting}\n")
        told = small.rear("dump", status=2)
        assert f"ERROR: {setting} is not installed\n  What to do: {advice}; or set" in told
        row = small.plugins()[found.label]
        assert (row["state"], row["reason"]) == ("missing", advice)
    for name in ("NFS", "NETFS"):
        core.configure(f"BACKUP={name}\n")
        told = core.rear("dump", status=2)
        assert f"BACKUP={name} is not installed\n  What to do: {how_to_install('rear-backup-nfs')}\n" in told


def test_a_method_that_was_uninstalled_is_named_with_its_package(core: Environment) -> None:
    core.pip("install", "--no-index", *find_links(), "--no-deps", "rear-backup-nfs")
    for name in ("ISO", "CDROM"):
        core.configure(f"OUTPUT={name}\n")
        assert core.plugins()[f"output {name}"]["reason"] == how_to_install("rear-output-iso")
        told = core.rear("dump", status=2)
        assert f"OUTPUT={name} is not installed\n  What to do: {how_to_install('rear-output-iso')}\n" in told


@pytest.mark.parametrize("name", ["debian", "ubuntu", "rhel", "suse"])
def test_a_family_that_is_not_installed_is_named_with_its_package(small: Environment, name: str) -> None:
    small.configure(f"OS_FAMILY={name}\n")
    (distribution,) = {found.distribution for found in discover() if (found.kind, found.name) == ("os", name)}
    told = small.rear("dump", status=2)
    assert f"ERROR: OS_FAMILY={name} is not installed\n  What to do: {how_to_install(distribution)}\n" in told


@pytest.mark.root
def test_one_backup_and_one_output_are_enough_to_save_and_restore(small: Environment, tmp_path: Path) -> None:
    tree, backups = tmp_path / "tree", tmp_path / "backups"
    tree.mkdir()
    backups.mkdir()
    (tree / "file").write_text("text")
    small.configure(
        f"TMPDIR={tmp_path}\nLOGFILE={tmp_path}/log\nVAR_DIR={tmp_path}/var\nCACHE_DIR={tmp_path}/cache\n"
        f"BACKUP_URL=file://{backups}\nEXCLUDE_MOUNTPOINTS=( '/*' )\nBACKUP_PROG_INCLUDE=( {tree} )\n"
        "BACKUP_PROG_EXCLUDE=()\n"
    )
    rows = small.plugins()
    assert {name for name, row in rows.items() if row["state"] == "active"} == {"backup NFS", "output ISO"}
    assert "backup NFS (rear-backup-nfs 0.1.0)" in small.rear("dump")
    assert "Save the files  [backup NFS]" in small.rear("-s", "mkbackuponly")
    small.rear("mkbackuponly")
    small.rear("recover", "--demo", str(tmp_path / "restored"))
    assert Path(f"{tmp_path}/restored{tree}/file").read_text() == "text"
    # A rescue system without it could not make a new initramfs.
    told = small.rear("mkrescue", status=2)
    assert "ERROR: no installed plugin knows the operating system" in told
    assert f"What to do: {how_to_install('rear-os-debian')}" in told
    assert not list(tmp_path.glob("**/*.iso"))


def test_a_vendors_plugin_is_found_and_selected(acme: Environment) -> None:
    row = acme.plugins()["backup ACME"]
    assert (row["distribution"], row["version"], row["state"]) == ("rear-backup-acme", "0.1.0", "active")


def test_a_vendors_setting_is_documented_and_read(acme: Environment) -> None:
    assert "Folder that backups are kept in, on a disk of its own." in acme.rear("config", "default")
    assert json.loads(acme.rear("dump", "--json"))["settings"]["ACME_DIR"]["value"] == str(acme.config.parent)


@pytest.mark.root
def test_a_vendors_steps_run_among_the_others(acme: Environment) -> None:
    (line,) = [line for line in acme.rear("-s", "mkbackup").splitlines() if "Check the folder of the backups" in line]
    assert line.endswith("[backup ACME]")
