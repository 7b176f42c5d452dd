# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine whose only files are a folder, for the tests of backups by another program: restic, borg, rsync."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from lab import vendors
from rear_core import Run, Setting, builtin
from rear_core.archive.mounting import is_shown
from rear_core.plugins import Plugins
from rear_core.report import Report
from rear_core.run import Options
from rear_core.settings import Sources, evaluate, parse
from rear_core.storage.layout import Layout
from rear_core.workflow import WORKFLOWS

REAR = [sys.executable, "-c", "from rear_core.cli import main; main()"]
CONFIG = """\
TMPDIR={top}
LOGFILE={top}/log
VAR_DIR={top}/var
CACHE_DIR={top}/cache
EXCLUDE_MOUNTPOINTS=( '/*' )
BACKUP_PROG_EXCLUDE=( '{top}/data/left out' )
BACKUP_PROG_INCLUDE=( {top}/data )
"""


class Lab:
    """The machine; its backups are below the folder `place` unless something else is set.

    `plugin` is the package that is tried, `config` what every configuration says of it, `program` the one that it
    starts.
    """

    plugin: ModuleType
    config: str
    program: str

    def __init__(self, top: Path) -> None:
        self.top, self.data, self.etc, self.demo = top, top / "data", top / "etc", top / "demo"
        for folder in ("data/one", "data/left out", "etc/recovery", "place", "bin", "work"):
            (top / folder).mkdir(parents=True)
        (self.data / "one/file").write_text("first")
        (self.data / "left out/file").write_text("not saved")
        (self.data / "large").write_bytes(os.urandom(3_000_000))
        self.configure(f"BACKUP_URL=file://{top}/place\n")

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables of the program, in runs in this process."""
        return {}

    @property
    def restored(self) -> Path:
        """Where the saved folder comes back."""
        return Path(f"{self.demo}{self.data}")

    def configure(self, more: str) -> None:
        """Write the configuration, with these lines behind what all have."""
        self.more = more
        (self.etc / "local.conf").write_text(self.text())

    def text(self) -> str:
        """The configuration."""
        return (CONFIG + self.config).format(top=self.top) + self.more

    def argv(self, *words: str) -> list[str]:
        """The command line of rear."""
        return [*REAR, "-c", f"{self.etc}", *words]

    def rear(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run it in a process of its own."""
        return subprocess.run(self.argv(*words), capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)

    def run(self, workflow: str = "mkbackuponly", config: str = "", **options: object) -> Run:
        """A run in this process; programs in the folder `bin` stand in for others."""
        shared = Plugins(builtin.modules()).call("rear_settings")
        sources = Sources(assignments=tuple(parse(self.text() + config, "local.conf")))
        settings = evaluate(sources, [*shared, *self.plugin.rear_settings()], {})
        report = Report(terminal=io.StringIO(), verbose=True)
        given = {"config_dir": self.etc, "target": self.demo, "unattended": True, "demo": True, **options}
        (self.top / "work").mkdir(exist_ok=True)
        run = Run(settings, Plugins([self.plugin]), Options(**given), report, build_dir=self.top / "work")  # type: ignore[arg-type]
        run.sh = vendors.LabShell(report.log, self.environment, self.top / "bin")
        run.layout, run.phases = Layout(), WORKFLOWS[workflow]
        return run

    def save(self, config: str = "") -> Run:
        """Save the folder."""
        run = self.run(config=config)
        self.plugin.record(run)
        self.plugin.save_files(run)
        return run

    def check(self, config: str = "", **options: object) -> Run:
        """Do what a recovery does before it writes."""
        run = self.run("restoreonly", config, **options)
        self.plugin.check_backup(run)
        return run

    def restore(self, config: str = "", **options: object) -> Run:
        """Bring the files back into a folder."""
        run = self.check(config, **options)
        with run.undo:
            self.plugin.restore_files(run)
        return run

    @contextmanager
    def shown(self, status: int = 0) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
        """A block in which `rear backup mount` shows the backups in a new folder, with its process. At its end somebody
        unmounts them, unless they are gone already, and it ends with this status."""
        folder = self.top / "shown"
        argv = self.argv("backup", "mount", f"{folder}")
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as running:
            wait_until(lambda: is_shown(folder) or running.poll() is not None)
            try:
                yield folder, running
            finally:
                if running.poll() is None and is_shown(folder):
                    subprocess.run(["umount", folder], check=True)
                said = running.communicate(timeout=60)[1]
        assert running.returncode == status, said
        assert not folder.exists()

    def stand_in(self, script: str) -> None:
        """What comes before the program, for runs in this process: unless the script ends, the real one comes after it,
        which it can call by a variable of the program's name."""
        stand_in, real = self.top / "bin" / self.program, shutil.which(self.program)
        stand_in.unlink(missing_ok=True)
        stand_in.write_text(f'#!/bin/sh\n{self.program}={real}\n{script}\nexec "${self.program}" "$@"\n')
        stand_in.chmod(0o755)


@contextmanager
def small(place: Path, size: str) -> Iterator[None]:
    """A small file system at a place."""
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "small", place], check=True)
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
    """What the user of a run sees."""
    stream = run.report._terminal
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


def settings_problem(plugin: ModuleType, name: str, *values: str) -> str:
    """What a plugin finds wrong with the value of a setting."""
    setting: Setting = next(one for one in plugin.rear_settings() if one.name == name)
    assert setting.check
    return setting.check(values if setting.type is list else values[0])
