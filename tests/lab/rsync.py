# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine whose only files are a folder, and places for backups, for the tests with the real rsync."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import pytest

import rear_backup_rsync
from lab import servers, vendors
from rear_backup_rsync import manifest
from rear_core import Run, Setting, builtin
from rear_core.plugins import Plugins
from rear_core.report import Report
from rear_core.run import Options
from rear_core.settings import Sources, evaluate, parse
from rear_core.storage.layout import Layout
from rear_core.workflow import WORKFLOWS

NEEDS_RSYNC = pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync is not installed")
REAR = [sys.executable, "-c", "from rear_core.cli import main; main()"]
# Who it is on a server where rsync is not root.
USER = 23456
CONFIG = """\
TMPDIR={top}
LOGFILE={top}/log
VAR_DIR={top}/var
CACHE_DIR={top}/cache
EXCLUDE_MOUNTPOINTS=( '/*' )
BACKUP_PROG_EXCLUDE=( '{top}/data/left out' )
BACKUP_PROG_INCLUDE=( {top}/data )
BACKUP_PREFIX=web1
BACKUP=RSYNC
"""
# rsync sends so slowly that it can be interrupted.
SLOW = "RSYNC_OPTIONS=( --bwlimit=2000 )\n"


class Lab:
    """The place is a folder unless something else is set."""

    def __init__(self, top: Path) -> None:
        self.top, self.data, self.etc, self.demo = top, top / "data", top / "etc", top / "demo"
        for folder in (self.data / "one", self.data / "left out", self.etc / "recovery", top / "place", top / "bin"):
            folder.mkdir(parents=True)
        (self.data / "one/file").write_text("first")
        (self.data / "one/same").write_text("never changes")
        (self.data / "left out/file").write_text("not saved")
        (self.data / "large").write_bytes(os.urandom(3_000_000))
        self.home = top / "place/rsync/web1"
        self.configure(f"BACKUP_URL=file://{top}/place\n")

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """A server for everybody is not below the folder of the test, which is root's."""
        if self.home.is_relative_to(tempfile.gettempdir()) and self.top not in self.home.parents:
            shutil.rmtree(self.home.parent.parent)

    def configure(self, more: str) -> None:
        self.more = more
        (self.etc / "local.conf").write_text(CONFIG.format(top=self.top) + more)

    def names(self) -> list[str]:
        """What is in the folder of this machine's backups."""
        return sorted(path.name for path in self.home.iterdir()) if self.home.is_dir() else []

    def generations(self) -> list[manifest.Generation]:
        return list(manifest.found(self.home).whole)

    def tree(self, name: str = "") -> Path:
        """The saved folder in a backup, the last one unless a name is given."""
        return Path(f"{self.home}/{name or self.generations()[-1].name}/tree{self.data}")

    def change(self, name: str, **facts: object) -> None:
        """Another manifest than was written."""
        path = self.home / name / manifest.NAME
        path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))

    @contextmanager
    def sshd(self, *, root: bool = False) -> Iterator[servers.Sshd]:
        """An ssh server with the place; but for root all that is started there is started by another user."""
        work = self.top / "sshd"
        work.mkdir()
        place = Path(tempfile.mkdtemp(prefix="rear-rsync-"))
        place.chmod(0o755)
        (place / "backups").mkdir(mode=0o700)
        if not root:
            os.chown(place / "backups", USER, USER)
        self.home = place / "backups/web1"
        with servers.sshd(work) as server:
            if not root:
                key = work / "user.pub"
                forced = f'exec setpriv --reuid {USER} --regid {USER} --clear-groups sh -c \\"$SSH_ORIGINAL_COMMAND\\"'
                key.write_text(f'command="{forced}" {key.read_text()}')
            words = " ".join(f"-o {option}" for option in server.options.split(","))
            self.configure(
                f"RSYNC_REPOSITORY=ssh://root@127.0.0.1:{server.port}{place}/backups\n"
                f"RSYNC_RSH='ssh -o BatchMode=yes -o KexAlgorithms=curve25519-sha256 {words}'\n"
            )
            yield server

    def argv(self, *words: str) -> list[str]:
        return [*REAR, "-c", f"{self.etc}", *words]

    def rear(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.argv(*words), capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)

    def run(self, workflow: str = "mkbackuponly", config: str = "", **options: object) -> Run:
        """A run in this process; programs in the folder `bin` stand in for others."""
        text = CONFIG.format(top=self.top) + self.more + config
        shared = Plugins(builtin.modules()).call("rear_settings")
        sources = Sources(assignments=tuple(parse(text, "local.conf")))
        settings = evaluate(sources, [*shared, *rear_backup_rsync.rear_settings()], {})
        report = Report(terminal=io.StringIO(), verbose=True)
        given = {"config_dir": self.etc, "target": self.demo, "unattended": True, "demo": True, **options}
        (self.top / "work").mkdir(exist_ok=True)
        run = Run(settings, Plugins([rear_backup_rsync]), Options(**given), report, build_dir=self.top / "work")  # type: ignore[arg-type]
        run.sh = vendors.LabShell(report.log, {}, self.top / "bin")
        run.layout, run.phases = Layout(), WORKFLOWS[workflow]
        return run

    def save(self, config: str = "") -> Run:
        run = self.run(config=config)
        rear_backup_rsync.record(run)
        rear_backup_rsync.save_files(run)
        return run

    def check(self, config: str = "", **options: object) -> Run:
        run = self.run("restoreonly", config, **options)
        rear_backup_rsync.check_backup(run)
        return run

    def restore(self, config: str = "", **options: object) -> Run:
        run = self.check(config, **options)
        with run.undo:
            rear_backup_rsync.restore_files(run)
        return run

    @property
    def restored(self) -> Path:
        return Path(f"{self.demo}{self.data}")

    def stand_in(self, script: str) -> None:
        """A program that comes before rsync, for runs in this process; $rsync is the real one, and comes after it."""
        program = self.top / "bin/rsync"
        program.write_text(f'#!/bin/sh\nrsync={shutil.which("rsync")}\n{script}\nexec "$rsync" "$@"\n')
        program.chmod(0o755)


@contextmanager
def small(place: Path, size: str) -> Iterator[None]:
    """A small file system at a place."""
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "rsync", place], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", place], check=True)


def wait_until(is_so: Callable[[], object]) -> None:
    """Return when something is so; AssertionError where it never is."""
    for _ in range(600):
        if is_so():
            return
        time.sleep(0.05)
    raise AssertionError("it never came")


def facts(top: Path) -> Mapping[str, object]:
    """All that belongs to each file below a folder, by its name as the file system has it."""
    found: dict[str, object] = {}
    for folder, folders, files in os.walk(os.fsencode(top)):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            status = os.lstat(path)
            attributes = {key: os.getxattr(path, key, follow_symlinks=False) for key in _attributes(path)}
            content = os.readlink(path) if os.path.islink(path) else b""
            if os.path.isfile(path) and not os.path.islink(path):
                content = Path(os.fsdecode(path)).read_bytes()
            found[os.fsdecode(os.path.relpath(path, os.fsencode(top)))] = (
                status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, status.st_rdev,
                status.st_nlink if name in files else 0, attributes, content,
            )  # fmt: skip
    return found


def _attributes(path: bytes) -> list[str]:
    return sorted(os.listxattr(path, follow_symlinks=False))


def terminal(run: Run) -> str:
    stream = run.report._terminal
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


def settings_problem(name: str, *values: str) -> str:
    setting: Setting = next(one for one in rear_backup_rsync.rear_settings() if one.name == name)
    assert setting.check
    return setting.check(values if setting.type is list else values[0])
