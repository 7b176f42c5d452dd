# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine with one disk and a backup, recovered to another loop device as `rear recover` does it.

Left out are the check that this is the rescue system, and the boot loader.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rear_core.shell import Shell
from rear_core.storage.capture import capture
from rear_core.storage.disk import Disk
from rear_core.storage.layout import Layout, make, save
from rear_core.storage.mount import Mount
from rear_core.storage.plan import without

from .loops import MIB, run

SECRET = "correct horse battery"

PROGRAM = r"""
import sys
from pathlib import Path
import rear_backup_nfs
from rear_core import builtin
from rear_core.archive import backup, coverage
from rear_core.builtin import backup as selection, existing, recreate, rehearsed, storage
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
plugins = Plugins([selection, recreate, rehearsed, storage])
plugins.take(Found("backup", "NFS", "rear_backup_nfs", "rear-backup-nfs", "1", module=rear_backup_nfs))
declared = [*Plugins(builtin.modules()).call("rear_settings"), *rear_backup_nfs.rear_settings()]
settings = evaluate(load(folder / "etc", ["local.conf"]), declared, {})
options = Options(
    unattended="-n" in more, step_by_step="-S" in more, config_dir=folder / "etc", target=folder / "target",
    backup=next((word for word in more if word[0] == "2"), ""),
)
report = Report()
run = Run(settings, plugins, options, report, Shell(report.log))
try:
    with at_work(run, what):
        if what == "recover":
            execute(run, "recover")
        elif what == "mountonly":
            existing.mount_present(run)
        else:
            run.layout = load_layout(run)
            tree = coverage.Covered("/", "", "", coverage.SAVED)
            backup.store(run, folder / "backups", coverage.Selection((f".{folder}/tree",), (), (tree,)))
except RearError as error:
    report.end(error)
    sys.exit(error.exit_code)
"""


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


@contextmanager
def machine_below(folder: Path) -> Iterator[Machine]:
    """Its disk of 64 MiB was described and saved, another of that size is there."""
    with ExitStack() as undo:
        names = []
        for name in ("old", "new"):
            (folder / name).touch()
            os.truncate(folder / name, 64 * MIB)
            names.append(run("losetup", "--find", "--show", folder / name))
            undo.callback(run, "losetup", "--detach", names[-1])
        run("mkfs.ext4", "-q", "-L", "root", names[0])
        here = Machine(folder, *names)
        (folder / "etc/recovery").mkdir(parents=True)
        save(described(here.old), here.layout)
        (folder / "tree/folder").mkdir(parents=True)
        (folder / "tree/folder/file").write_text("text")
        (folder / "tree/noise").write_bytes(os.urandom(8 * MIB))
        (folder / "backups").mkdir()
        here.configure()
        here.save()
        yield here
        subprocess.run(["umount", "--recursive", folder / "target"], capture_output=True)


def described(device: str) -> Layout:
    """This device, with its file system as root."""
    found = capture(Shell(), include=[device])
    found = without(found, {item.id for item in found if isinstance(item, Disk) and item.device != device})
    (system,) = [item for item in found if item.type == "ext"]
    return make([*found, Mount("mount:/", (system.id,), "/", "ext4")])


def put_data(machine: Machine) -> None:
    """Someone's files on a disk of the right size that nobody chose."""
    run("mkfs.ext4", "-q", "-L", "precious", machine.new)
    text = (machine.folder / "etc/local.conf").read_text()
    (machine.folder / "etc/local.conf").write_text(re.sub(r"DISK_MAPPING=.*\n", "", text))
