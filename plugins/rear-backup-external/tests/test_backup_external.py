# SPDX-License-Identifier: GPL-3.0-or-later
"""BACKUP=EXTERNAL: rear runs commands of the administrator, and believes no exit status alone."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rear_backup_external import rear_settings
from rear_core.testing.harness import Harness, Supply, subjects

pytestmark = pytest.mark.timeout(120)
root = pytest.mark.root

REAR = [sys.executable, "-c", "from rear_core.cli import main; main()"]
# What an administrator would write around GNU tar; KEPT is the folder of the archives.
SAVE = """\
name=$(date --utc +%Y-%m-%dT%H%M%SZ)
while [ -e "$KEPT/$name" ]; do sleep 0.1; name=$(date --utc +%Y-%m-%dT%H%M%SZ); done
tar --create --file="$KEPT/$name" --anchored --no-wildcards --exclude-from="$REAR_EXCLUDED" --files-from="$REAR_PATHS"
"""
LIST = 'cd "$KEPT"; for name in *Z; do [ ! -e "$name" ] || echo "$name $(stat --format=%s "$name") bytes"; done\n'
CHECK = 'cd "$KEPT"; tar --list --file="${1:-$(ls | tail -n 1)}" >/dev/null && echo reading && echo "$1 is whole"\n'
RESTORE = 'cd "$KEPT"; exec tar --extract --file="${2:-$(ls | tail -n 1)}" --directory="$1"\n'


class Machine:
    """A configuration whose only file system is a folder, the commands, and the folder to restore to."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data, self.demo = folder, folder / "data", folder / "demo"
        self.kept, self.etc = folder / "kept", folder / "etc"
        for name in ("one", "two"):
            (self.data / name).mkdir(parents=True)
        self.file = self.data / "one/file"
        self.file.write_text("first")
        self.kept.mkdir()
        self.etc.mkdir()
        for name, script in (("save", SAVE), ("list", LIST), ("check", CHECK), ("restore", RESTORE)):
            self.program(name, script)
        self.configure()

    def program(self, name: str, script: str) -> None:
        path = self.folder / f"acme-{name}"
        path.write_text(f"#!/bin/sh\nKEPT={shlex.quote(str(self.kept))}\n{script}")
        path.chmod(0o755)

    def configure(self, more: str = "", *, listed: bool = True) -> None:
        folder = self.folder
        (self.etc / "local.conf").write_text(
            f"TMPDIR={folder}\nLOGFILE={folder}/log\nVAR_DIR={folder}/var\nEXCLUDE_MOUNTPOINTS=( '/*' )\n"
            f"BACKUP_PROG_EXCLUDE=()\nBACKUP=EXTERNAL\nBACKUP_PROG_INCLUDE=( {self.data} )\n"
            f"EXTERNAL_SAVE=( {folder}/acme-save )\nEXTERNAL_CHECK=( {folder}/acme-check {{date}} )\n"
            f"EXTERNAL_RESTORE=( {folder}/acme-restore {{target}} {{date}} )\n"
            + (f"EXTERNAL_LIST=( {folder}/acme-list )\n" if listed else "")
            + more
        )

    def argv(self, *words: str) -> list[str]:
        return [*REAR, "-n", "-c", f"{self.etc}", *words]

    def rear(self, *words: str, status: int = 0, inside: str = "") -> str:
        """What a command says; `inside` is a script that prepares a mount namespace of its own for it."""
        own = ["unshare", "--mount", "sh", "-ec", f'{inside}; exec "$@"', "sh"] if inside else []
        done = subprocess.run(
            [*own, *self.argv(*words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            stdin=subprocess.DEVNULL, timeout=60,
        )  # fmt: skip
        assert done.returncode == status, done.stdout
        return done.stdout

    def recover(self, *words: str, status: int = 0) -> str:
        return self.rear("recover", "--demo", f"{self.demo}", *words, status=status)

    def restored(self) -> str:
        """What came back of the file."""
        return Path(f"{self.demo}{self.file}").read_text()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def saved(machine: Machine) -> Machine:
    """A machine with one backup."""
    machine.rear("mkbackuponly")
    return machine


@root
def test_the_commands_save_check_and_restore(saved: Machine) -> None:
    (date,) = (path.name for path in saved.kept.iterdir())
    saved.file.write_text("changed")
    said = saved.recover()
    # What it prints last is what it says.
    assert f"EXTERNAL_CHECK accepts the backup {date}: {date} is whole" in said
    assert "reading" not in said
    assert saved.restored() == "first"


@root
def test_the_backup_of_a_date_is_chosen(saved: Machine) -> None:
    (first,) = saved.kept.iterdir()
    first.rename(saved.kept / "2025-01-02T030405Z")
    saved.file.write_text("second")
    said = saved.rear("mkbackuponly")
    assert "Saved the files as 2" in said and "2025-01-02T030405Z" not in said
    saved.recover("--backup", "2025-06")
    assert saved.restored() == "first"
    refused = saved.rear("checkbackup", "--backup", "2024", status=3)
    assert "no backup in the list of EXTERNAL_LIST is from 2024 or before" in refused
    assert "EXTERNAL_CHECK accepts the backup 2025-01-02T030405Z" in saved.rear("checkbackup", "--backup", "2025")


@root
def test_without_a_list_the_date_is_passed_on(saved: Machine) -> None:
    (date,) = (path.name for path in saved.kept.iterdir())
    saved.configure(listed=False)
    assert "accepts the newest backup: " in saved.rear("checkbackup")
    assert f"accepts the backup {date}: {date} is whole" in saved.rear("checkbackup", "--backup", date)
    assert "'yesterday' is not a date" in saved.rear("checkbackup", "--backup", "yesterday", status=2)
    saved.recover()
    assert saved.restored() == "first"


@root
def test_what_the_check_says_names_the_newest_backup(machine: Machine) -> None:
    settings = "".join(f"EXTERNAL_{word.upper()}=( {machine.folder}/acme-{word} )\n" for word in ("check", "restore"))
    machine.program("check", "echo reading; echo of monday")
    (subject,) = subjects("rear-backup-external")
    harness = Harness(subject, Supply(settings), machine.folder)
    harness.go("analyse_dr")
    backup = harness.go("verify").run.backup
    assert backup and backup.name == "the newest backup: of monday"


@root
def test_commands_are_told_by_words_and_by_the_environment(machine: Machine) -> None:
    seen = 'cat "$REAR_PATHS" "$REAR_EXCLUDED"; stat --format=%a "$REAR_PATHS"; env | grep ^REAR_; printf "<%s>" "$@"'
    machine.program("save", f"({seen}) >'{machine.folder}/seen'\n{SAVE}")
    words = "{paths} 'two words; $(date)' --name={hostname} '{{now}}' '${HOME}' '*'"
    machine.configure(f"EXTERNAL_SAVE+=( {words} )\n")
    mounted, swap = machine.data / "two", machine.data / "one"
    machine.rear("mkbackuponly", inside=f"mount -t tmpfs tmpfs {mounted}; mount -t tmpfs tmpfs {swap}")
    lines = (machine.folder / "seen").read_text().splitlines()
    assert lines[:4] == [str(machine.data), str(swap), str(mounted), "600"]
    variables = dict(line.split("=", 1) for line in lines[4:-1])
    assert sorted(variables) == ["REAR_EXCLUDED", "REAR_HOSTNAME", "REAR_PATHS"]
    told = [variables["REAR_PATHS"], "two words; $(date)", f"--name={os.uname().nodename}", "{now}", "${HOME}", "*"]
    assert lines[-1] == "".join(f"<{word}>" for word in told)
    assert not Path(variables["REAR_PATHS"]).exists()


@root
@pytest.mark.parametrize(
    ("name", "script", "status", "said"),
    [
        ("check", "echo closed; exit 7", 3, "EXTERNAL_CHECK: * failed (exit status 7): closed"),
        ("list", "exit 5", 3, "EXTERNAL_LIST: * failed (exit status 5)"),
        ("list", "echo 3 backups", 3, "EXTERNAL_LIST printed '3 backups', which does not begin with a date"),
        ("list", "echo 2026-11-22 a day", 3, "EXTERNAL_LIST printed '2026-11-22 a day', which does not begin"),
        ("list", "exit 0", 3, "EXTERNAL_LIST shows no backup of this machine"),
        ("restore", 'mkdir -p "$1"; echo lost the network; exit 9', 1, "acme-restore ended with 9: lost the network"),
        ("restore", "exit 0", 1, "nothing was restored of "),
        ("restore", "kill -9 $$", 1, "acme-restore ended with -9"),
        ("restore", None, 3, "the program of EXTERNAL_RESTORE is missing: "),
        ("check", None, 3, "the program of EXTERNAL_CHECK is missing: "),
    ],
)  # fmt: skip
def test_a_command_that_fails_is_named(saved: Machine, name: str, script: str | None, status: int, said: str) -> None:
    if script is None:
        (saved.folder / f"acme-{name}").unlink()
    else:
        saved.program(name, script)
    output = saved.recover(status=status).replace(f"{saved.folder}/acme-{name}", "*")
    assert said in output
    assert saved.demo.exists() == (status == 1)


@root
@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exit 0", "the save ended without an error, but the list shows no new backup"),
        ("echo no room; exit 2", "acme-save ended with 2: no room"),
        ("exit 1", "the list shows no new backup"),
    ],
)
def test_a_save_that_made_no_backup_fails(machine: Machine, script: str, said: str) -> None:
    machine.program("save", script)
    machine.configure("EXTERNAL_WARN_STATUS=( 1 )\n")
    assert said in machine.rear("mkbackuponly", status=1)


@root
def test_a_status_can_mean_a_warning(machine: Machine) -> None:
    machine.configure("EXTERNAL_WARN_STATUS=( 24 1 )\n")
    machine.program("save", f"({SAVE})\necho a file vanished; exit 24")
    assert "WARNING: EXTERNAL_SAVE ended with 24, a warning: a file vanished" in machine.rear("mkbackuponly")
    machine.program("restore", f"({RESTORE})\necho an owner is unknown; exit 1")
    # The recovery goes on to its end, and says there that it is not complete.
    said = machine.recover(status=1)
    assert "EXTERNAL_RESTORE ended with 1, a warning: an owner is unknown" in said
    assert machine.restored() == "first"


@root
def test_an_interruption_ends_the_command(saved: Machine) -> None:
    pid = saved.folder / "pid"
    saved.program("restore", f"echo $$ >{pid}.new; mv {pid}.new {pid}; sleep 600; echo late\n")
    with subprocess.Popen(
        saved.argv("recover", "--demo", f"{saved.demo}"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as rear:
        while not pid.exists() and rear.poll() is None:
            time.sleep(0.02)
        rear.send_signal(signal.SIGTERM)
        said, _ = rear.communicate(timeout=50)
    assert rear.returncode == 130, said
    assert not Path(f"/proc/{pid.read_text().strip()}").exists()
    assert not list(saved.folder.glob("rear.*"))


@root
def test_a_path_with_a_line_break_is_refused(machine: Machine) -> None:
    odd = machine.folder / "a\nb"
    odd.mkdir()
    machine.configure(f"BACKUP_PROG_INCLUDE+=( '{odd}' )\n")
    assert "a\\nb' has a line break" in machine.rear("mkbackuponly", status=3)
    assert not list(machine.kept.iterdir())


@root
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("EXTERNAL_CHECK=()", "EXTERNAL_CHECK is not set"),
        ("EXTERNAL_RESTORE=()", "EXTERNAL_RESTORE is not set"),
        ("EXTERNAL_SAVE=()", "BACKUP=EXTERNAL saves no files without EXTERNAL_SAVE"),
        ("EXTERNAL_SAVE=( no-such-program )", "the program of EXTERNAL_SAVE is missing: no-such-program"),
        ("EXTERNAL_CHECK=( acme {datum} )", "the unknown placeholder {datum}; did you mean {date}? known are {date}"),
    ],
)  # fmt: skip
def test_a_command_that_cannot_work_is_an_error_of_the_configuration(
    machine: Machine, settings: str, said: str
) -> None:
    machine.configure(f"{settings}\n")
    assert said in machine.rear("mkbackuponly", status=2)


@pytest.mark.parametrize(
    ("name", "words", "problem"),
    [
        ("SAVE", ["acme", "--to", "{target}"], "the unknown placeholder {target}"),
        ("RESTORE", ["acme", "{Target}"], "did you mean {target}?"),
        ("RESTORE", ["acme", "{excluded}"], "known are {target}, {date}, {paths}, {hostname}"),
        ("RESTORE", ["acme", "{now}"], "{{now}} gives the program {now}"),
        ("LIST", ["{hostname}"], "must begin with a program"),
        ("LIST", [""], "must begin with a program"),
        ("RESTORE", ["ssh vault cat backup | tar x"], "each argument as a word of its own"),
        ("RESTORE", ["ssh", "vault", "cat", "backup", "|", "tar", "x"], "the word '|', but no shell runs it"),
        ("WARN_STATUS", ["1", "many"], "must be numbers from 1 to 255, 'many' is not"),
        ("WARN_STATUS", ["0"], "'0' is not"),
        ("WARN_STATUS", ["256"], "'256' is not"),
        ("WARN_STATUS", ["1", "24"], ""),
        ("SAVE", ["sh", "-c", 'tar c $(cat ${1}) ${HOME} {{x}} {2} {a_b}', "sh", "{paths}"], ""),
        ("SAVE", [], ""),
    ],
)  # fmt: skip
def test_settings_are_checked(name: str, words: list[str], problem: str) -> None:
    (check,) = (setting.check for setting in rear_settings() if setting.name == f"EXTERNAL_{name}")
    assert check
    said = check(words)
    assert problem in said if problem else not said


@root
def test_backups_are_listed_as_the_command_prints_them(saved: Machine) -> None:
    (date,) = (path.name for path in saved.kept.iterdir())
    said = saved.rear("backup", "list")
    assert said.splitlines()[-1].split() == [
        date,
        "-",
        "-",
        "-",
        "never",
        str((saved.kept / date).stat().st_size),
        "bytes",
    ]
    saved.configure(listed=False)
    assert "cannot list its backups" in saved.rear("backup", "list", status=3)


@root
def test_single_files_come_back_where_the_command_takes_a_list(saved: Machine) -> None:
    words = ("backup", "restore", "--to", f"{saved.demo}", f"{saved.file}", f"{saved.data}/none")
    assert "cannot restore single files" in saved.rear(*words, status=3)
    saved.program("some", 'cd "$KEPT"; sed s,^/,, "$3" | tar --extract --file="$2" --directory="$1" --files-from=-\n')
    saved.configure(
        f"EXTERNAL_RESTORE=( {saved.folder}/acme-some {{target}} {{date}} {{paths}} )\nEXTERNAL_WARN_STATUS=( 2 )\n"
    )
    said = saved.rear(*words, status=1)
    assert f"1 files were not restored, the first is {saved.data}/none" in said
    assert saved.restored() == "first"
    assert not Path(f"{saved.demo}{saved.data}/two").exists()
