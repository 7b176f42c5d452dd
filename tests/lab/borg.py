# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine whose only files are a folder, and a repository, for the tests with the real borg."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

import pytest

import rear_backup_borg
from lab import servers, vendors
from rear_backup_borg import archives
from rear_core import Run, Setting, builtin
from rear_core.plugins import Plugins
from rear_core.report import Report
from rear_core.run import Options
from rear_core.settings import Sources, evaluate, parse
from rear_core.shell import SEARCH_PATH
from rear_core.storage.layout import Layout
from rear_core.workflow import WORKFLOWS

BORG = shutil.which("borg")
NEEDS_BORG = pytest.mark.skipif(BORG is None, reason="borg is not installed: tools/install test does that")
PASSPHRASE = "a word of borg 1"
SECURITY = Path("/root/.config/borg/security")
REAR = [sys.executable, "-c", "from rear_core.cli import main; main()"]
CONFIG = """\
TMPDIR={top}
LOGFILE={top}/log
VAR_DIR={top}/var
CACHE_DIR={top}/cache
EXCLUDE_MOUNTPOINTS=( '/*' )
BACKUP_PROG_EXCLUDE=( '{top}/data/left out' )
BACKUP_PROG_INCLUDE=( {top}/data )
BACKUP=BORG
BORG_PASSPHRASE_FILE={top}/passphrase
BORG_LOCK_WAIT=1
"""


# borg sends so slowly that it can be interrupted.
SLOW = "BORG_OPTIONS=( --upload-ratelimit=100 )\n"


class Lab:
    """The repository is in a folder unless something else is set; with `empty` there is none as yet."""

    def __init__(self, top: Path, *, empty: bool = False) -> None:
        self.top, self.data, self.etc, self.demo = top, top / "data", top / "etc", top / "demo"
        for folder in (self.data / "one", self.data / "left out", self.etc / "recovery", top / "place"):
            folder.mkdir(parents=True)
        (self.data / "one/file").write_text("first")
        (self.data / "left out/file").write_text("not saved")
        (self.data / "large").write_bytes(os.urandom(3_000_000))
        (top / "passphrase").write_text(f"{PASSPHRASE}\n")
        (top / "passphrase").chmod(0o600)
        (top / "bin").mkdir()
        if BORG and os.path.dirname(BORG) not in SEARCH_PATH.split(":"):
            # Another borg than the distribution's is tried by the path of these tests.
            (top / "bin/borg").symlink_to(BORG)
        self.folder = top / "place/borg"
        if not empty:
            self.borg("init", "--encryption=repokey-blake2", str(self.folder))
        self.configure(f"BACKUP_URL=file://{top}/place\n")

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """What borg remembers of a repository that is gone is of no use."""
        for config in self.top.glob("*/*/config"):
            id = config.read_text().partition("\nid = ")[2].partition("\n")[0]
            if len(id) == 64:
                shutil.rmtree(SECURITY / id, ignore_errors=True)

    def configure(self, more: str) -> None:
        self.more = more
        (self.etc / "local.conf").write_text(CONFIG.format(top=self.top) + more)

    def borg(self, *words: str) -> str:
        """What borg itself says."""
        environment = {
            **os.environ, "BORG_PASSPHRASE": PASSPHRASE, "BORG_BASE_DIR": str(self.top),
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
        }  # fmt: skip
        argv = [str(BORG), *words]
        return subprocess.run(argv, env=environment, check=True, capture_output=True, text=True, timeout=60).stdout

    def archives(self) -> list[archives.Archive]:
        return list(archives.read(self.borg("list", "--json", "--format", "{comment}", str(self.folder))).archives)

    def foreign(self, title: str, path: Path | None = None) -> None:
        """An archive as rear makes it on another machine."""
        paths = f'["{path}"]' if path else "[]"
        comment = f'{{{{"rear": 1, "machine": "1234", "paths": {paths}}}}}'
        self.borg("create", "--comment", comment, f"{self.folder}::{title}", str(path or self.etc))

    def titles(self) -> list[str]:
        """What borg calls all archives, with what interrupted saves left."""
        return self.borg("list", "--consider-checkpoints", "--short", str(self.folder)).split()

    def borgs(self, words: str) -> list[str]:
        """The processes of borg with these words on their command line, and a file of this lab."""
        found = subprocess.run(["pgrep", "--full", f"borg {words}.*{self.top}"], capture_output=True, text=True)
        return found.stdout.split()

    @staticmethod
    def strike(pids: Iterable[str], number: signal.Signals) -> None:
        """Send a signal to processes that may be gone."""
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(int(pid), number)

    @contextmanager
    def sshd(self, options: str = "") -> Iterator[str]:
        """The settings for the repository on an ssh server, which lets nobody run anything but borg, with `options`."""
        work = self.top / "sshd"
        work.mkdir()
        with servers.sshd(work) as server:
            self.port = server.port
            key, forced = work / "user.pub", f"exec borg serve {options} --restrict-to-path {self.folder}"
            key.write_text(f'command="{forced}",restrict {key.read_text()}')
            words = " ".join(f"-o {option}" for option in server.options.split(","))
            yield (
                f"BORG_REPOSITORY=ssh://root@127.0.0.1:{server.port}{self.folder}\n"
                f"BORG_RSH='ssh -o BatchMode=yes {words}'\n"
            )

    @contextmanager
    def dying_server(self, number: signal.Signals = signal.SIGKILL) -> Iterator[None]:
        """A block in which the borg on the server gets a signal as soon as files come."""
        ended = threading.Event()

        def look() -> None:
            while not ended.is_set():
                serving = self.borgs("serve")
                if serving and any(self.demo.rglob("large")):
                    self.strike(serving, number)
                    return
                time.sleep(0.02)

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self.strike(self.borgs("serve"), signal.SIGKILL)

    def argv(self, *words: str) -> list[str]:
        return [*REAR, "-c", f"{self.etc}", *words]

    def rear(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.argv(*words), capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)

    def run(self, workflow: str = "mkbackuponly", config: str = "", **options: object) -> Run:
        """A run in this process; programs in the folder `bin` stand in for others."""
        text = CONFIG.format(top=self.top) + self.more + config
        shared = Plugins(builtin.modules()).call("rear_settings")
        sources = Sources(assignments=tuple(parse(text, "local.conf")))
        settings = evaluate(sources, [*shared, *rear_backup_borg.rear_settings()], {})
        report = Report(terminal=io.StringIO(), verbose=True)
        given = {"config_dir": self.etc, "target": self.demo, "unattended": True, "demo": True, **options}
        (self.top / "work").mkdir(exist_ok=True)
        run = Run(settings, Plugins([rear_backup_borg]), Options(**given), report, build_dir=self.top / "work")  # type: ignore[arg-type]
        run.sh = vendors.LabShell(report.log, {"BORG_BASE_DIR": str(self.top)}, self.top / "bin")
        run.layout, run.phases = Layout(), WORKFLOWS[workflow]
        return run

    def save(self, config: str = "") -> Run:
        run = self.run(config=config)
        rear_backup_borg.record(run)
        rear_backup_borg.save_files(run)
        return run

    def check(self, config: str = "", **options: object) -> Run:
        run = self.run("restoreonly", config, **options)
        rear_backup_borg.check_backup(run)
        return run

    def restore(self, config: str = "", **options: object) -> Run:
        run = self.check(config, **options)
        with run.undo:
            rear_backup_borg.restore_files(run)
        return run

    @property
    def restored(self) -> Path:
        return Path(f"{self.demo}{self.data}")

    def stand_in(self, script: str) -> None:
        """A program that comes before borg, for runs in this process; $borg is the real one, and comes after it."""
        program = self.top / "bin/borg"
        program.unlink(missing_ok=True)
        program.write_text(f'#!/bin/sh\nborg={BORG}\n{script}\nexec "$borg" "$@"\n')
        program.chmod(0o755)

    def largest(self) -> Path:
        """The file of the repository with the data."""
        files = [path for path in (self.folder / "data").rglob("*") if path.is_file()]
        return max(files, key=lambda path: path.stat().st_size)

    def damage(self, *places: float) -> None:
        """Change some bytes in the data, at parts of its length."""
        with self.largest().open("r+b") as file:
            length = os.fstat(file.fileno()).st_size
            for place in places:
                file.seek(int(length * place))
                file.write(b"damaged")


@contextmanager
def small(place: Path, size: str) -> Iterator[None]:
    """A small file system at a place."""
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "borg", place], check=True)
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


def terminal(run: Run) -> str:
    stream = run.report._terminal
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


def settings_problem(name: str, *values: str) -> str:
    setting: Setting = next(one for one in rear_backup_borg.rear_settings() if one.name == name)
    assert setting.check
    return setting.check(values if setting.type is list else values[0])
