# SPDX-License-Identifier: GPL-3.0-or-later
"""`rear plugins new` and the tutorial, as an author follows them: made, installed, tested, selected."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from rear_core.new_plugin import KINDS, describe, files

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
# What is written by which words, and the distribution that it makes. Names of one kind of entry point are different.
NEW = {
    "backup box": "rear-backup-box",
    "backup vault --client": "rear-backup-vault",
    "output box": "rear-output-box",
    "os box": "rear-os-box",
    "storage disks": "rear-storage-disks",
    "boot starter": "rear-boot-starter",
    "extra box": "rear-extra-box",
}
SKELETON = "rear-extra-box/src/rear_extra_box/skel/default"
# The shortest, the longest, and one with all that a name may have.
NAMES = ("a", "x" * 30, "X2-Go-9z")
TUTORIAL = ROOT / "docs" / "tutorial" / "first-plugin.md"
COMMANDS = {
    "pip": "-m pip", "pytest": "-m pytest", "rear": "-c 'from rear_core.cli import main; main()' --config-dir {etc}",
}  # fmt: skip


class Workshop:
    """An environment of its own, which sees what is installed in this one, and a shell in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.etc = path / "etc"
        self.etc.mkdir()
        (self.etc / "local.conf").write_text("OS_FAMILY=debian\n")
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", path / "venv"], check=True)
        (site,) = path.glob("venv/lib/python*/site-packages")
        (site / "outer.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
        for name, words in COMMANDS.items():
            command = path / "venv/bin" / name
            command.write_text(f'#!/bin/sh\nexec {path}/venv/bin/python {words.format(etc=self.etc)} "$@"\n')
            command.chmod(0o755)

    def sh(self, script: str) -> str:
        """Both streams of a script that ends well; pip gets nothing from elsewhere."""
        environment = {
            "PATH": f"{self.path}/venv/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "PIP_NO_INDEX": "1",
            "PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_DEPS": "1", "PIP_QUIET": "1",
        }  # fmt: skip
        done = subprocess.run(
            ["sh", "-eu", "-c", script.replace("/etc/rear", str(self.etc))],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=self.path, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        return done.stdout


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """With a new plugin of each kind, installed from its wheel."""
    made = Workshop(tmp_path_factory.mktemp("workshop"))
    for words, distribution in NEW.items():
        assert made.sh(f"rear plugins new {words}") == (
            f"Created {distribution}. Next: cd {distribution} && pip install --editable '.[test]' && pytest\n"
        )
    made.sh(f"mkdir --parents {SKELETON}/root/.ssh && touch {SKELETON}/etc.conf {SKELETON}/root/.ssh/config")
    made.sh("pip wheel --wheel-dir wheels " + " ".join(f"./{name}" for name in NEW.values()))
    made.sh("pip install wheels/*.whl")
    return made


def test_a_skeleton_tree_is_installed_with_its_hidden_files(workshop: Workshop) -> None:
    (tree,) = workshop.path.glob("venv/lib/python*/site-packages/rear_extra_box/skel/default")
    assert {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file()} == {
        "etc.conf",
        "root/.ssh/config",
    }


@pytest.mark.parametrize("distribution", NEW.values())
def test_a_new_plugin_passes_its_tests(workshop: Workshop, distribution: str) -> None:
    tested = workshop.sh(f"cd {distribution} && pytest -p no:cacheprovider")
    assert re.search(r"\d+ passed, \d+ skipped in", tested)


def test_its_conformance_is_tested_alone(workshop: Workshop) -> None:
    tested = workshop.sh("cd rear-extra-box && pytest --rear-conformance rear-extra-box -p no:cacheprovider")
    assert re.search(r" passed, \d+ skipped, \d+ deselected in", tested)
    assert "test_rear_extra_box" not in tested


def test_what_is_installed_is_tested_without_its_source(workshop: Workshop) -> None:
    """What only its own tests could give is skipped with the reason; nothing is written to this machine."""
    options = " ".join(f"--rear-conformance {name}" for name in NEW.values())
    tested = workshop.sh(f"mkdir empty && cd empty && pytest {options} -rs -p no:cacheprovider")
    assert re.search(r"\d+ passed, \d+ skipped in", tested)
    for reason in (
        "backup BOX: BOX_DIR is not set, and no file test_conformance.py here has a fixture `supply`",
        "extra disks: no fixture `supply` gives machines or layouts with its storage",
        "extra starter: no fixture `supply` gives systems that it starts",
    ):
        assert reason in tested
    assert "test_its_media_are_there_when_it_says_so" not in tested


@pytest.mark.parametrize("kind", [*KINDS, "client"])
def test_what_is_written_is_in_good_style_whatever_its_name(tmp_path: Path, kind: str) -> None:
    for name in NAMES:
        words = describe("backup", name, client=True) if kind == "client" else describe(kind, name)
        for path, text in files(words).items():
            (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / path).write_text(text)
    everything, code = str(tmp_path), [f"{tmp_path}/{NAMES[0]}/{folder}" for folder in ("src", "tests")]
    for tool in (["ruff", "check", everything], ["ruff", "format", "--check", everything], ["mypy", "--strict", *code]):
        done = subprocess.run([sys.executable, "-m", *tool], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_new_plugins_come_and_go(workshop: Workshop) -> None:
    listed = [row.split() for row in workshop.sh("rear plugins list").splitlines()]
    states = {row[2]: row[-1] for row in listed if row[2] in NEW.values()}
    expected = {name: "active" if KINDS[words.split()[0]] == "extra" else "available" for words, name in NEW.items()}
    assert states == expected
    workshop.sh("pip uninstall --yes " + " ".join(states))
    assert not [row for row in workshop.sh("rear plugins list").splitlines() if row.split()[2] in NEW.values()]


def test_each_kind_is_tried() -> None:
    assert {words.split()[0] for words in NEW} == KINDS.keys()


def test_a_name_that_is_taken_is_a_refusal(workshop: Workshop) -> None:
    assert "ERROR: rear-backup-nfs has the plugin backup NFS already" in workshop.sh(
        "rear plugins new backup nfs || test $? = 3"
    )


def test_only_a_backup_has_a_client(workshop: Workshop) -> None:
    assert "ERROR: --client is for a backup" in workshop.sh("rear plugins new storage disks --client || test $? = 3")


def test_the_tutorial_is_true(workshop: Workshop) -> None:
    """Its commands are run, its files written, and what it says that they print is looked for."""
    place, printed = workshop.path, ""
    blocks = re.findall(r"([^\n]*)\n\n```(\w+)\n(.*?)^```", TUTORIAL.read_text(), re.DOTALL | re.MULTILINE)
    for before, language, code in blocks:
        if language == "sh":
            printed = workshop.sh(f"cd {place}\n{code}\npwd > {workshop.path}/place")
            place = Path((workshop.path / "place").read_text().strip())
        elif language == "python":
            (name,) = re.findall(r"`(src/\S+\.py)`", before)
            with (place / name).open("a") as file:
                file.write(f"\n\n{code}")
        else:
            for line in code.splitlines():
                assert line in re.sub(" +", " ", printed), printed
