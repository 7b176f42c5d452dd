# SPDX-License-Identifier: GPL-3.0-or-later
"""A recovery that failed in the middle, on loop devices, is gone on with by the next run; questions at its console."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pexpect
import pytest

from lab.loops import MIB, run
from lab.recovery import SECRET, Machine, described, put_data
from rear_core.storage.layout import make, save
from rear_core.storage.technologies.luks import Luks

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]


# Failed in the middle: named, exit status 1, and the next run goes on.


def kill(name: str, parent: int) -> bool:
    """Kill the child of a process that runs a program; whether there was one."""
    # Processes and threads may end while they are looked at.
    with suppress(OSError):
        for task in Path(f"/proc/{parent}/task").glob("*"):
            for child in (task / "children").read_text().split():
                if Path(f"/proc/{child}/comm").read_text().strip() == name:
                    os.kill(int(child), signal.SIGKILL)
                    return True
    return False


def start(machine: Machine, until: Callable[[int], bool]) -> tuple[int, str]:
    """Recover, until what is asked for happens, and then to the end: exit status and output."""
    with subprocess.Popen(
        machine.argv("recover", "-n"), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        while process.poll() is None and not until(process.pid):
            time.sleep(0.001)
        assert process.stderr is not None
        return process.wait(60), process.stderr.read()


@pytest.mark.parametrize("program", ["tar", "zstd"])
def test_a_killed_program_is_named_and_the_next_run_goes_on(machine: Machine, program: str) -> None:
    # Enough for it to be seen at work on a busy machine.
    (machine.folder / "tree/noise").write_bytes(os.urandom(24 * MIB))
    machine.save()
    status, output = start(machine, lambda pid: kill(program, pid))
    assert status == 1
    assert f"cannot restore the files to {machine.folder}/target: {program} failed (killed by SIGKILL)" in output
    (machine.folder / "target/later").mkdir()
    ended = machine.recover()
    assert ended.returncode == 0, ended.stderr
    assert "An earlier run created the storage; resuming it" in ended.stderr
    assert "+ mke2fs" not in machine.log()
    assert machine.restored() == machine.original()


def test_a_run_that_was_killed_while_it_restored_is_resumed(machine: Machine) -> None:
    def end(pid: int) -> bool:
        if (machine.folder / "target/lost+found").exists() and list((machine.folder / "target").glob("*/*")):
            os.kill(pid, signal.SIGKILL)
            return True
        return False

    status, _ = start(machine, end)
    assert status == -signal.SIGKILL
    # As it has when it makes the system bootable.
    (machine.folder / "target/proc").mkdir()
    run("mount", "-t", "proc", "proc", machine.folder / "target/proc")
    ended = machine.recover()
    assert ended.returncode == 0, ended.stderr
    assert "resuming it" in ended.stderr
    assert machine.restored() == machine.original()


def test_a_run_that_was_killed_while_it_built_is_begun_anew(machine: Machine) -> None:
    def end(pid: int) -> bool:
        journal = machine.folder / "var/journal"
        if journal.exists() and "mke2fs" in journal.read_text():
            os.kill(pid, signal.SIGKILL)
            return True
        return False

    status, _ = start(machine, end)
    assert status == -signal.SIGKILL
    ended = machine.recover()
    assert ended.returncode == 0, ended.stderr
    assert "resumed" not in ended.stderr
    assert machine.restored() == machine.original()


def test_another_backup_never_mixes_with_the_one_that_failed(machine: Machine) -> None:
    old = machine.archive.parent
    before = machine.original()
    # Enough for it to be seen at work.
    (machine.folder / "tree/a-new-file").write_bytes(os.urandom(24 * MIB))
    machine.save()
    status, output = start(machine, lambda pid: kill("tar", pid))
    assert status == 1, output
    ended = machine.recover(old.name)
    assert ended.returncode == 0, ended.stderr
    assert "Creating the storage again" in ended.stderr
    assert machine.restored() == before


def test_a_disk_that_runs_full_is_named(machine: Machine) -> None:
    # More than goes into the file system beside its journal and inodes, less than the disk has.
    (machine.folder / "tree/noise").write_bytes(os.urandom(60 * MIB))
    machine.save()
    ended = machine.recover()
    assert ended.returncode == 1
    assert "No space left on device" in ended.stderr
    assert "choose larger disks with DISK_MAPPING" in ended.stderr


def test_a_server_that_goes_away_is_named_and_the_next_run_goes_on(machine: Machine) -> None:
    """The disk of the backup gives read errors, as a server does that is gone for good."""
    whole = machine.archive.read_bytes()
    lost: list[int] = []

    def cut(pid: int) -> bool:
        if (machine.folder / "target/lost+found").exists():
            os.truncate(machine.archive, len(whole) // 2)
            lost.append(pid)
        return bool(lost)

    status, output = start(machine, cut)
    assert status == 1, output
    assert "is truncated" in output or "cannot restore the files" in output
    machine.archive.write_bytes(whole)
    ended = machine.recover()
    assert ended.returncode == 0, ended.stderr
    assert "resuming it" in ended.stderr
    assert machine.restored() == machine.original()


def test_an_edited_script_makes_the_storage_and_recover_goes_on(machine: Machine) -> None:
    from rear_core.storage.execute import Journal

    ended = machine.recover()
    assert ended.returncode == 0
    # What `rear layout made` notes for a script that has made the storage.
    (plan,) = {line["plan"] for line in map(json.loads, filter(None, _journal(machine))) if "plan" in line}
    (machine.folder / "var/journal").unlink()
    Journal(machine.folder / "var/journal").note(plan=plan, state="built")
    ended = machine.recover()
    assert ended.returncode == 0, ended.stderr
    assert "resuming it" in ended.stderr and "+ mke2fs" not in machine.log()


def _journal(machine: Machine) -> list[str]:
    return (machine.folder / "var/journal").read_text().splitlines()


# Questions at the console.


def heed_interrupts() -> None:
    """A job in the background of a script ignores ^C, and so would what it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def typed(machine: Machine, *options: str) -> pexpect.spawn[str]:
    program, *arguments = machine.argv("recover", *options)
    return pexpect.spawn(program, arguments, encoding="utf-8", timeout=60, preexec_fn=heed_interrupts)


def test_a_disk_with_data_is_a_question(machine: Machine) -> None:
    put_data(machine)
    before = machine.checksum()
    console = typed(machine)
    console.expect(r"it holds ext4 precious\)")
    console.expect(rf"Which disk becomes .* \(type {machine.new} to overwrite it\) \[quit\]: ")
    console.sendline("")
    console.expect("ERROR: stopped before anything was written")
    console.expect(pexpect.EOF)
    console.close()
    assert console.exitstatus == 130
    assert machine.checksum() == before

    console = typed(machine)
    console.expect("Which disk becomes ")
    console.sendline("/dev/nonsense")
    console.expect("Not possible: there is no disk /dev/nonsense")
    console.expect("Which disk becomes ")
    console.sendeof()
    console.expect("ERROR: the input ended before an answer")
    console.expect(pexpect.EOF)
    console.close()
    assert console.exitstatus == 130
    assert machine.checksum() == before

    console = typed(machine)
    console.expect("Which disk becomes ")
    console.sendline(machine.new)
    console.expect("Restored ")
    console.expect(pexpect.EOF)
    console.close()
    assert console.exitstatus == 0
    assert machine.restored() == machine.original()


WRITES = r"recreate: .*\? yes, \[no\], skip, quit: "


@pytest.mark.parametrize(
    ("answers", "status"),
    [(["no"], 130), (["n"], 130), (["NO"], 130), ([""], 130), (["q"], 130), (["skip"], 1), (["nothing", "no"], 130)],
)
def test_step_by_step_nothing_is_written_without_a_yes(machine: Machine, answers: list[str], status: int) -> None:
    put_data(machine)
    machine.configure()
    before = machine.checksum()
    console = typed(machine, "-S")
    while console.expect([r"verify: .*\? \[yes\], no, skip, quit: ", WRITES]) == 0:
        console.sendline("")
    console.sendline(answers[0])
    for answer in answers[1:]:
        console.expect("is not an answer; .*recreate: .*quit: ")
        console.sendline(answer)
    console.expect(pexpect.EOF)
    console.close()
    assert console.exitstatus == status
    assert machine.checksum() == before


def test_step_by_step_nothing_is_written_when_a_check_was_left_out(machine: Machine) -> None:
    put_data(machine)
    machine.configure()
    before = machine.checksum()
    console = typed(machine, "-S")
    console.expect("verify: .*quit: ")
    while "backup is there" not in console.after:
        console.sendline("yes")
        console.expect("verify: .*quit: ")
    console.sendline("skip")
    while console.expect(["verify: .*quit: ", "ERROR: skipped, as requested: Check that the backup is there"]) == 0:
        console.sendline("yes")
    console.expect(pexpect.EOF)
    console.close()
    assert console.exitstatus == 3
    assert machine.checksum() == before


def test_passphrases_are_asked_and_checked_before_anything_is_written(machine: Machine) -> None:
    """The layout is edited so that the file system lies on a LUKS volume; the backup has a key, too."""
    machine.configure(f"BACKUP_KEY='{SECRET}'\n")
    machine.save()
    layout = described(machine.old)
    volume = Luks("luks:vault", (f"disk:{machine.old}",), 2, "vault", "aes-xts-plain64", 512, "sha256", name="vault")
    moved = (replace(item, needs=("luks:vault",)) if item.type == "ext" else item for item in layout)
    save(make([*moved, volume]), machine.layout)
    machine.configure()
    before = machine.checksum()
    console = typed(machine)
    for word, again, said in (
        ("short", None, "Not accepted: it is shorter than 8 characters"),
        (SECRET, "something else", "Not accepted: the two differ"),
        (SECRET, SECRET, "Passphrase of the backup: "),
    ):
        console.expect("New passphrase for LUKS volume vault")
        console.sendline(word)
        if again:
            console.expect("Once more: ")
            console.sendline(again)
        console.expect(said)
    console.sendline("not the passphrase")
    console.expect("wrong key")
    console.expect("Passphrase of the backup: ")
    assert machine.checksum() == before
    # Only device-mapper could make it: that all is well is seen, and nothing is written.
    console.sendintr()
    console.expect(pexpect.EOF)
    console.close()
    assert machine.checksum() == before
    assert SECRET not in machine.log()
