# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong in a recovery, on loop devices: refused with the disks untouched, or gone on with by the next run.

Everything between the check that this is the rescue system and the boot loader is done as `rear recover` does it.
"""
from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pexpect
import pytest

from rear_core.archive import manifest
from rear_core.shell import Shell
from rear_core.storage.capture import capture
from rear_core.storage.disk import Disk
from rear_core.storage.layout import Layout, make, save
from rear_core.storage.luks import Luks
from rear_core.storage.mount import Mount
from rear_core.storage.plan import without

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]

MIB = 1 << 20
SECRET = "correct horse battery"

PROGRAM = r"""
import sys
from pathlib import Path
import rear_backup_nfs
from rear_core import builtin
from rear_core.archive import backup, coverage
from rear_core.builtin import backup as selection, recreate, storage
from rear_core.builtin.storage import load_layout
from rear_core.cli.session import at_work
from rear_core.errors import RearError
from rear_core.plugins import Found, Plugins
from rear_core.report import Report
from rear_core.run import Options, Run
from rear_core.settings import evaluate
from rear_core.settings.files import load
from rear_core.shell import Shell
from rear_core.workflow import execute

what, folder, *more = sys.argv[1:]
folder = Path(folder)
# The root file system of the rescue system is in memory, and its end is a boot loader: this has neither.
plugins = Plugins([selection, recreate, storage])
plugins.take(Found("backup", "NFS", "rear_backup_nfs", "rear-backup-nfs", "1", module=rear_backup_nfs))
declared = [*Plugins(builtin.modules()).call("rear_settings"), *rear_backup_nfs.rear_settings()]
settings = evaluate(load(folder / "etc", ["local.conf"]), declared, {})
options = Options(
    unattended="-n" in more, config_dir=folder / "etc", target=folder / "target",
    backup=next((word for word in more if word[0] == "2"), ""),
)
report = Report()
run = Run(settings, plugins, options, report, Shell(report.log))
try:
    with at_work(run, what):
        if what == "recover":
            execute(run, "recover")
        else:
            run.layout = load_layout(run)
            tree = coverage.Covered("/", "", "", coverage.SAVED)
            backup.store(run, folder / "backups", coverage.Selection((f".{folder}/tree",), (), (tree,)))
except RearError as error:
    report.end(error)
    sys.exit(error.exit_code)
"""


def run(*argv: object) -> str:
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{argv}: {done.stderr}"
    return done.stdout.strip()


@dataclass(frozen=True)
class Machine:
    """A machine that had one disk with one file system, and whose backup is below `folder`."""

    folder: Path
    old: str
    new: str

    @property
    def image(self) -> Path:
        """The new disk."""
        return self.folder / "new"

    @property
    def layout(self) -> Path:
        return self.folder / "etc/recovery/layout.json"

    @property
    def archive(self) -> Path:
        """The newest one."""
        return max(self.folder.glob("backups/web1/*Z")) / "backup.tar.zst"

    def configure(self, more: str = "", mapping: str = "") -> None:
        include = f"'{self.new}'"
        (self.folder / "etc/local.conf").write_text(
            f"TMPDIR={self.folder}\nLOGFILE={self.folder}/log\nVAR_DIR={self.folder}/var\nBACKUP_PREFIX=web1\n"
            f"BACKUP_URL=file://{self.folder}/backups\nINCLUDE_DEVICES=( {include} )\n"
            f"DISK_MAPPING=( {mapping or f'{self.old}={self.new}'} )\n{more}"
        )

    def argv(self, what: str, *more: str) -> list[str]:
        return [sys.executable, "-c", PROGRAM, what, str(self.folder), *more]

    def do(self, what: str, *more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv(what, *more), capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120
        )

    def recover(self, *more: str) -> subprocess.CompletedProcess[str]:
        return self.do("recover", "-n", *more)

    def save(self) -> None:
        ended = self.do("save")
        assert ended.returncode == 0, ended.stderr

    def checksum(self) -> str:
        run("blockdev", "--flushbufs", self.new)
        return hashlib.sha256(self.image.read_bytes()).hexdigest()

    def restored(self) -> dict[str, bytes]:
        """The files on the new disk."""
        place = self.folder / "look"
        place.mkdir(exist_ok=True)
        run("mount", "-o", "ro", self.new, place)
        try:
            tree = Path(f"{place}{self.folder}/tree")
            return {str(path.relative_to(tree)): path.read_bytes() for path in tree.rglob("*") if path.is_file()}
        finally:
            run("umount", place)

    def original(self) -> dict[str, bytes]:
        tree = self.folder / "tree"
        return {str(path.relative_to(tree)): path.read_bytes() for path in tree.rglob("*") if path.is_file()}

    def log(self) -> str:
        return (self.folder / "log").read_text()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """Its disk of 64 MiB was described and saved, another of that size is there."""
    with ExitStack() as undo:
        names = []
        for name in ("old", "new"):
            (tmp_path / name).touch()
            os.truncate(tmp_path / name, 64 * MIB)
            names.append(run("losetup", "--find", "--show", tmp_path / name))
            undo.callback(run, "losetup", "--detach", names[-1])
        run("mkfs.ext4", "-q", "-L", "root", names[0])
        here = Machine(tmp_path, *names)
        (tmp_path / "etc/recovery").mkdir(parents=True)
        save(described(here.old), here.layout)
        (tmp_path / "tree/folder").mkdir(parents=True)
        (tmp_path / "tree/folder/file").write_text("text")
        (tmp_path / "tree/noise").write_bytes(os.urandom(8 * MIB))
        (tmp_path / "backups").mkdir()
        here.configure()
        here.save()
        yield here
        subprocess.run(["umount", "--recursive", tmp_path / "target"], capture_output=True)


def described(device: str) -> Layout:
    """This device, with its file system as root."""
    found = capture(Shell(), include=[device])
    found = without(found, {item.id for item in found if isinstance(item, Disk) and item.device != device})
    (system,) = [item for item in found if item.type == "ext"]
    return make([*found, Mount("mount:/", (system.id,), "/", "ext4")])


def test_the_machine_comes_back_where_nothing_is_wrong(machine: Machine) -> None:
    ended = machine.recover()
    assert ended.returncode == 0, ended.stderr
    assert machine.restored() == machine.original()


# Refused: each reason is named, the exit status is 3, and the disk is as it was.


def flip(machine: Machine) -> None:
    with machine.archive.open("r+b") as file:
        file.seek(MIB)
        byte = file.read(1)
        file.seek(MIB)
        file.write(bytes([byte[0] ^ 1]))


def edit(old: str, new: str) -> Callable[[Machine], None]:
    """An edited layout."""

    def change(machine: Machine) -> None:
        text = machine.layout.read_text()
        changed = re.sub(old, new, text, count=1)
        assert changed != text
        machine.layout.write_text(changed)

    return change


def make_small(machine: Machine) -> None:
    os.truncate(machine.image, 8 * MIB)
    run("losetup", "--set-capacity", machine.new)


def put_data(machine: Machine) -> None:
    """Someone's files on a disk of the right size that nobody chose."""
    run("mkfs.ext4", "-q", "-L", "precious", machine.new)
    text = (machine.folder / "etc/local.conf").read_text()
    (machine.folder / "etc/local.conf").write_text(re.sub(r"DISK_MAPPING=.*\n", "", text))


FAULTS: dict[str, tuple[Callable[[Machine], object], str]] = {
    "truncated archive": (lambda here: os.truncate(here.archive, 1000), "is truncated: 1000 of"),
    "flipped byte": (flip, "is damaged: its checksum is wrong"),
    "missing manifest": (lambda here: here.archive.with_name(manifest.NAME).unlink(), "has no manifest"),
    "missing archive": (lambda here: here.archive.unlink(), "has no archive"),
    "missing backup": (lambda here: shutil.rmtree(here.folder / "backups"), "there is no backup in"),
    "key but no encryption": (lambda here: here.configure(f"BACKUP_KEY='{SECRET}'\n"), "not encrypted although"),
    "too small disk": (make_small, "8 MiB, 64 MiB are needed"),
    "disk with data": (put_data, "not certain which disk is meant"),
    "disk that is not there": (
        lambda here: here.configure(mapping=f"{here.old}=/dev/none"), "there is no disk /dev/none",
    ),
    "unknown layout version": (edit('"version": 1', '"version": 2'), "version 2 is not known here, only 1"),
    "dangling reference": (edit(r'"needs": \["disk:', '"needs": ["disk:lost'), "which is not there"),
    "cycle": (
        edit(r'"type": "disk",\s+"needs": \[\]', '"type": "disk", "needs": ["mount:/"]'),
        "these items need each other",
    ),
    "no JSON": (edit(r"\}\s*$", ""), "this is not JSON"),
    "damaged usage.json": (
        lambda here: (here.folder / "etc/recovery/usage.json").write_text("{"), "usage.json is damaged",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_and_the_disk_is_untouched(machine: Machine, fault: str) -> None:
    harm, said = FAULTS[fault]
    harm(machine)
    before = machine.checksum()
    ended = machine.recover()
    assert ended.returncode == 3, ended.stderr
    assert said in ended.stderr
    assert "What to do: " in ended.stderr
    assert "BUG" not in ended.stderr
    assert machine.checksum() == before
    assert not list(machine.folder.glob("rear.[0-9]*"))


def test_a_wrong_key_is_named_and_the_disk_is_untouched(machine: Machine) -> None:
    machine.configure(f"BACKUP_KEY='{SECRET}'\n")
    machine.save()
    before = machine.checksum()
    for key, said in ("", "no key is configured"), ("battery horse correct", "wrong key"):
        machine.configure(f"BACKUP_KEY='{key}'\n")
        ended = machine.recover()
        assert ended.returncode == 3 and said in ended.stderr, ended.stderr
    assert machine.checksum() == before


def test_all_problems_are_told_at_once(machine: Machine) -> None:
    make_small(machine)
    os.truncate(machine.archive, 1000)
    before = machine.checksum()
    ended = machine.recover()
    assert ended.returncode == 3
    errors = [line for line in ended.stderr.splitlines() if line.startswith("ERROR: ")]
    assert len(errors) == 2, ended.stderr
    assert "8 MiB, 64 MiB are needed" in errors[0]
    assert "is truncated: 1000 of" in errors[1]
    assert machine.checksum() == before


def test_a_backup_that_cannot_fit_is_refused(machine: Machine) -> None:
    """Newer than the rescue media, it has more than was recorded of the file systems."""
    (machine.folder / "etc/recovery/usage.json").write_text(json.dumps({"/": MIB}))
    with (machine.folder / "tree/zeros").open("wb") as file:
        for _ in range(60):
            file.write(b"x" * MIB)
    machine.save()
    before = machine.checksum()
    ended = machine.recover()
    assert ended.returncode == 3
    assert "the file systems on the chosen disks 64.0 MiB together" in ended.stderr
    assert machine.checksum() == before


def test_a_backup_of_another_layout_is_told(machine: Machine) -> None:
    edit('"label": "root"', '"label": "edited"')(machine)
    ended = machine.recover()
    assert ended.returncode == 0, ended.stderr
    assert "described otherwise when the backup was made" in ended.stderr
    assert "label changed from root to edited" in ended.stderr
    # An edited layout is what is made.
    assert run("blkid", "-p", "-s", "LABEL", "-o", "value", machine.new) == "edited"


# Failed in the middle: named, exit status 1, and the next run goes on.


def kill(name: str, parent: int) -> bool:
    """Kill the child of a process that runs a program; whether there was one."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            found, _, rest = path.read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue
        if found == name and int(rest.split()[1]) == parent:
            os.kill(int(path.parent.name), signal.SIGKILL)
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
    status, output = start(machine, lambda pid: kill(program, pid))
    assert status == 1
    assert f"could not be restored to {machine.folder}/target: {program} failed (killed by SIGKILL)" in output
    (machine.folder / "target/later").mkdir()
    ended = machine.recover()
    assert ended.returncode == 0, ended.stderr
    assert "made by the run before this one, which is resumed" in ended.stderr
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
    ended = machine.recover()
    assert ended.returncode == 0, ended.stderr
    assert "which is resumed" in ended.stderr
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
    old.rename(old.with_name("2020-01-01T000000Z"))
    before = machine.original()
    (machine.folder / "tree/a-new-file").write_text("new")
    machine.save()
    status, output = start(machine, lambda pid: kill("tar", pid))
    assert status == 1, output
    ended = machine.recover("2020-06")
    assert ended.returncode == 0, ended.stderr
    assert "The storage is made anew" in ended.stderr
    assert machine.restored() == before


def test_a_disk_that_runs_full_is_named(machine: Machine) -> None:
    # More than goes into the file system beside its journal and inodes, less than the disk has.
    (machine.folder / "tree/noise").write_bytes(os.urandom(60 * MIB))
    machine.save()
    ended = machine.recover()
    assert ended.returncode == 1
    assert "No space left on device" in ended.stderr
    assert "choose larger disks by DISK_MAPPING" in ended.stderr


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
    assert "is truncated" in output or "could not be restored" in output
    machine.archive.write_bytes(whole)
    ended = machine.recover()
    assert ended.returncode == 0, ended.stderr
    assert "which is resumed" in ended.stderr
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
    assert "which is resumed" in ended.stderr and "+ mke2fs" not in machine.log()


def _journal(machine: Machine) -> list[str]:
    return (machine.folder / "var/journal").read_text().splitlines()


# Questions at the console.


def heed_interrupts() -> None:
    """A job in the background of a script ignores ^C, and so would what it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def typed(machine: Machine) -> pexpect.spawn[str]:
    program, *arguments = machine.argv("recover")
    return pexpect.spawn(program, arguments, encoding="utf-8", timeout=60, preexec_fn=heed_interrupts)


def test_a_disk_with_data_is_a_question(machine: Machine) -> None:
    put_data(machine)
    before = machine.checksum()
    console = typed(machine)
    console.expect(r"it holds ext4 precious\)")
    console.expect(rf"Which disk becomes .* \(type {machine.new} to overwrite it\) \[quit\]: ")
    console.sendline("")
    console.expect("ERROR: ended before anything was written")
    console.expect(pexpect.EOF)
    console.close()
    assert console.exitstatus == 130
    assert machine.checksum() == before

    console = typed(machine)
    console.expect("Which disk becomes ")
    console.sendline("/dev/nonsense")
    console.expect("That cannot be: there is no disk /dev/nonsense")
    console.expect("Which disk becomes ")
    console.sendeof()
    console.expect("ERROR: a question was not answered")
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
        ("short", None, "Not taken: it is shorter than 8 characters"),
        (SECRET, "something else", "Not taken: they are not the same"),
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
