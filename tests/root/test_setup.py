# SPDX-License-Identifier: GPL-3.0-or-later
"""`rear setup` on a real terminal: it tries a real place, and leaves nothing behind until somebody agrees."""

from __future__ import annotations

import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pytest

pytestmark = [pytest.mark.root, pytest.mark.slow]

QUESTIONS = (
    (r"OUTPUT \[ISO\]: $", ""),
    (r"BACKUP \[NFS\]: $", ""),
    (r"OUTPUT_URL: $", ""),
    (r"BACKUP_URL: $", "file://{srv}"),
    (r"BACKUP_KEY_FILE \[none\]: $", "new"),
    (r"Passphrase \(not shown\): $", "several words 1"),
    (r"Once more: $", "several words 1"),
    (r"Write this\? .*: $", ""),
    (r"first backup now\? .*: $", "no"),
)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder with a configuration in etc, and a place for backups."""
    for name in ("etc", "srv", "tmp"):
        (tmp_path / name).mkdir(mode=0o700)
    folders = "".join(f"{name}={tmp_path}/{name.lower()}\n" for name in ("VAR_DIR", "CACHE_DIR", "LOGFILE"))
    text = f"{folders}TMPDIR={tmp_path}/tmp\nBACKUP_ALLOW_SYSTEM_DISK=yes\nISO_DIR={tmp_path}/iso\nOS_FAMILY=debian\n"
    (tmp_path / "etc/site.conf").write_text(text)
    return tmp_path


@contextmanager
def sitting_at(machine: Path) -> Iterator[pexpect.spawn]:
    program = ["-c", "from rear_core.cli import main; main()", "-c", f"{machine}/etc", "setup"]
    terminal = pexpect.spawn(sys.executable, program, encoding="utf-8", timeout=60, dimensions=(40, 80))
    with terminal:
        yield terminal


def contents(machine: Path) -> dict[str, bytes]:
    return {str(path.relative_to(machine)): path.read_bytes() if path.is_file() else b"" for path in machine.rglob("*")}


def answer(terminal: pexpect.spawn, machine: Path, number: int) -> None:
    for question, typed in QUESTIONS[:number]:
        found = terminal.expect([question, r"too little room.*: $"])
        if found:
            terminal.sendline("yes")
            terminal.expect(question)
        terminal.sendline(typed.format(srv=machine / "srv"))


def test_a_whole_setup_writes_what_it_has_shown(machine: Path) -> None:
    with sitting_at(machine) as terminal:
        answer(terminal, machine, len(QUESTIONS))
        terminal.expect(pexpect.EOF)
    assert terminal.exitstatus == 0
    key = machine / "etc/backup.key"
    assert key.read_text() == "several words 1\n" and stat.S_IMODE(key.stat().st_mode) == 0o600
    assert f"BACKUP_URL=file://{machine}/srv\nBACKUP_KEY_FILE={key}\n" in (machine / "etc/local.conf").read_text()
    assert not any((machine / "srv").iterdir()) and not any((machine / "tmp").iterdir())
    assert not (machine / "var_dir").exists()


@pytest.mark.parametrize("number", range(len(QUESTIONS) - 1), ids=lambda number: QUESTIONS[number][0].split(" ")[0])
def test_it_leaves_nothing_behind_when_it_is_stopped_at_a_question(machine: Path, number: int) -> None:
    before = contents(machine)
    with sitting_at(machine) as terminal:
        answer(terminal, machine, number)
        if terminal.expect([QUESTIONS[number][0], r"too little room.*: $"]):
            terminal.sendline("yes")
            terminal.expect(QUESTIONS[number][0])
        # ^C and ^D in turns.
        terminal.sendintr() if number % 2 else terminal.sendeof()
        terminal.expect(pexpect.EOF)
    assert terminal.exitstatus == 130
    assert contents(machine) == before


def test_a_place_that_does_not_work_is_told_and_asked_for_again(machine: Path) -> None:
    before = contents(machine)
    with sitting_at(machine) as terminal:
        for question, typed in (*QUESTIONS[:3], (QUESTIONS[3][0], "file:///nosuch"), (QUESTIONS[4][0], "none")):
            terminal.expect(question)
            terminal.sendline(typed)
        terminal.expect(r"there is no such folder")
        terminal.expect("Enter asks you again.*: $")
        terminal.sendline("")
        terminal.expect(QUESTIONS[0][0])
        terminal.sendline("quit")
        terminal.expect(pexpect.EOF)
    assert terminal.exitstatus == 130 and contents(machine) == before
