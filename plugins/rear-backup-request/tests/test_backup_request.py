# SPDX-License-Identifier: GPL-3.0-or-later
"""BACKUP=REQUESTRESTORE: somebody restores the files in a shell, and rear looks at the result."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

REAR = [sys.executable, "-c", "from rear_core.cli import main; main()"]
AT_HAND = "Is the backup at hand"
TEXT = "The tapes are in the cellar."


class Machine:
    """A configuration whose only file system is a folder, and the folder to restore to."""

    def __init__(self, folder: Path) -> None:
        self.data, self.demo, self.etc = folder / "data", folder / "demo", folder / "etc"
        for name in ("one", "two"):
            (self.data / name).mkdir(parents=True)
        self.configure()

    def configure(self, more: str = "") -> None:
        self.etc.mkdir(exist_ok=True)
        folder = self.etc.parent
        (self.etc / "local.conf").write_text(
            f"TMPDIR={folder}\nLOGFILE={folder}/log\nVAR_DIR={folder}/var\nEXCLUDE_MOUNTPOINTS=( '/*' )\n"
            f"BACKUP_PROG_EXCLUDE=()\nBACKUP=REQUESTRESTORE\nBACKUP_PROG_INCLUDE=( {self.data} )\n"
            f"REQUESTRESTORE_TEXT='{TEXT}'\n{more}"
        )

    def argv(self, *words: str) -> list[str]:
        return [*REAR, "-c", f"{self.etc}", *words]

    def rear(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.argv(*words), capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)

    def restore(self, *names: str) -> str:
        """What somebody types to restore these."""
        place = shlex.quote(f"{self.demo}{self.data}")
        return f"mkdir -p {place} && cp -a {' '.join(f'{self.data}/{name}' for name in names)} {place}; exit"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    here = Machine(tmp_path)
    described = here.rear("savelayout")
    assert described.returncode == 0, described.stderr
    return here


@pytest.fixture
def console(machine: Machine) -> Iterator[pexpect.spawn[str]]:
    """Somebody's terminal, where a recovery into a folder runs."""
    child = pexpect.spawn(
        shlex.join(machine.argv("recover", "--demo", f"{machine.demo}")), encoding="utf-8", timeout=30
    )
    yield child
    child.close(force=True)


def ended(console: pexpect.spawn[str]) -> int:
    console.expect(pexpect.EOF)
    console.close()
    return int(console.exitstatus or 0)


def test_somebody_restores_the_files_in_a_shell(machine: Machine, console: pexpect.spawn[str]) -> None:
    console.expect(AT_HAND)
    console.sendline("yes")
    console.expect(re.escape(f"{machine.data} to {machine.demo}{machine.data}: "))
    console.expect(TEXT)
    console.expect("Type exit when all files are there")
    console.sendline(machine.restore("one"))
    # Not all of it, says whoever restores.
    console.expect("Not restored: .*/data/two")
    console.expect("Are all files restored")
    console.sendline("no")
    console.sendline(machine.restore("two"))
    console.expect("Are all files restored")
    console.sendline("yes")
    assert ended(console) == 0
    assert sorted(path.name for path in Path(f"{machine.demo}{machine.data}").iterdir()) == ["one", "two"]


def test_what_stayed_empty_is_no_success(console: pexpect.spawn[str]) -> None:
    console.expect(AT_HAND)
    console.sendline("yes")
    console.expect("Type exit when all files are there")
    console.sendline("exit")
    console.expect("Nothing was restored of .*/data")
    console.expect("Open the shell again")
    console.sendline("no")
    console.expect("nothing was restored of .*/data, although")
    assert ended(console) == 1


@pytest.mark.parametrize("answer", ["no", "", "quit"])
def test_without_a_backup_at_hand_nothing_begins(machine: Machine, console: pexpect.spawn[str], answer: str) -> None:
    console.expect(AT_HAND)
    console.sendline(answer)
    assert ended(console) == (3 if answer != "quit" else 130)
    assert not machine.demo.exists()


def test_nobody_can_be_asked(machine: Machine) -> None:
    for words in (["recover"], ["-n", "recover"]):
        refused = machine.rear(*words, "--demo", f"{machine.demo}")
        assert refused.returncode == 3
        assert "waits for somebody at a terminal" in refused.stderr and "REQUESTRESTORE_COMMAND" in refused.stderr
    assert not machine.demo.exists()


def test_a_command_restores_instead(machine: Machine, tmp_path: Path) -> None:
    program = tmp_path / "acme-restore"
    program.write_text(f'#!/bin/sh\nmkdir -p "$2{machine.data}" && cp -a {machine.data}/. "$2{machine.data}"\n')
    program.chmod(0o755)
    machine.configure(f"REQUESTRESTORE_COMMAND=( {program} --to {{target}} )\n")
    restored = machine.rear("-n", "recover", "--demo", f"{machine.demo}")
    assert restored.returncode == 0, restored.stderr
    assert Path(f"{machine.demo}{machine.data}/two").is_dir()


@pytest.mark.parametrize(
    ("script", "status", "said"),
    [
        ("echo no such tape; exit 7", 1, "acme-restore ended with 7: no such tape"),
        ("exit 0", 1, "nothing was restored of"),
        (None, 3, "the program of REQUESTRESTORE_COMMAND is missing: "),
    ],
)
def test_a_command_that_fails_is_named(
    machine: Machine, tmp_path: Path, script: str | None, status: int, said: str
) -> None:
    program = tmp_path / "acme-restore"
    if script:
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    machine.configure(f"REQUESTRESTORE_COMMAND=( {program} )\n")
    failed = machine.rear("-n", "recover", "--demo", f"{machine.demo}")
    assert failed.returncode == status and said in failed.stderr


def test_a_backup_alone_is_not_what_this_method_makes(machine: Machine) -> None:
    for command, status in (("mkbackuponly", 2), ("checkbackup", 3)):
        refused = machine.rear(command)
        assert refused.returncode == status and "BACKUP=REQUESTRESTORE saves no files" in refused.stderr
