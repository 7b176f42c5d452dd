# SPDX-License-Identifier: GPL-3.0-or-later
"""Ends work that hangs: a dead server, or a program of a user whose file system never answers, is no backup.

Whoever works, however slowly, uses the processor or wakes up now and then; one that waits for ever does neither. That
is looked at for rear itself and all programs that it has started. Whoever writes to a place that is dead may be woken
by the kernel for ever, so of a write it counts when it ends. While the user is asked something, nothing hangs.
"""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from types import FrameType
from typing import TYPE_CHECKING

from .. import questions
from ..errors import Interrupted, RearError
from ..mounts import mount_points
from ..report import Report
from ..shell import Shell
from .coverage import is_served

if TYPE_CHECKING:
    from ..run import Run
    from .repository import Repository

# Seconds between two looks.
INTERVAL = 2.0
# Seconds that what is undone may stand still once something hung: it may be about the same place.
PATIENCE = 60.0
LEAVE_OUT = "repair the server, disk or program behind it, or leave it out with BACKUP_PROG_EXCLUDE"
SEE_TO_IT = "repair its server, disk or program, then run it again"
# Of the main thread: what it waits for then ends with an exception of ours. Nothing else in rear uses it.
SIGNAL = signal.SIGUSR1
# Threads of this name work for nobody: that they wake up says nothing.
ASIDE = "aside"


def watch(run: Run, repository: Repository, *, advice: str = LEAVE_OUT, error: type[RearError] = RearError) -> Watch:
    """A watch of work at a place, for as long as the settings say."""
    minutes, folder = run.settings["BACKUP_STALL_MINUTES"], repository.folder
    return Watch(minutes, run.report, str(repository), lambda: given_up(run.sh, folder), advice=advice, error=error)


class Watch:
    """Looks at a block of work at a place; where nothing has moved for so many minutes it ends, and says what hangs.

    `give_up` has the kernel end the wait for the place, and says whether it did; `advice` is what to do when not the
    place hangs but tar at a file.
    """

    def __init__(
        self,
        minutes: float,
        report: Report,
        place: str,
        give_up: Callable[[], bool] = lambda: False,
        *,
        advice: str = LEAVE_OUT,
        error: type[RearError] = RearError,
    ) -> None:
        self._limit = minutes * 60
        self._report = report
        self._place = place
        self._give_up = give_up
        self._advice = advice
        self._error = error
        self._programs = False
        self._writing = False
        self._written = 0
        self._pids: Sequence[int] = ()
        self._ended = Event()
        self._stalls = 0
        self._hung: tuple[str, str] | None = None

    def follow(self, pids: Sequence[int]) -> None:
        """These are the programs of a pipe."""
        self._pids = pids

    @contextmanager
    def programs(self, running: bool = True) -> Iterator[None]:
        """A block in which we wait for programs, and not for the place."""
        before, self._programs = self._programs, running
        try:
            yield
        finally:
            self._programs = before

    def at_place(self) -> AbstractContextManager[None]:
        """A block in which programs wait for us, and we for the place."""
        return self.programs(running=False)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A block in which some bytes are written to the place: it must end."""
        self._writing = True
        try:
            yield
        finally:
            self._written += 1
            self._writing = False

    @contextmanager
    def watching(self) -> Iterator[Watch]:
        """The block that is watched, which is about the place; raises `error` with what hung."""
        watching = Thread(target=self._work, name=ASIDE, daemon=True)
        before = signal.signal(SIGNAL, self._wake)
        watching.start()
        try:
            yield self
        except Interrupted:
            raise
        except Exception as error:
            if self._hung:
                raise self._error(*self._hung) from error
            raise
        finally:
            self._ended.set()
            watching.join()
            signal.signal(SIGNAL, before)

    def _wake(self, number: int, frame: FrameType | None) -> None:
        if self._hung and not self._ended.is_set():
            raise self._error(*self._hung)

    def _work(self) -> None:
        before: object = None
        since = time.monotonic()
        while not self._ended.wait(min(INTERVAL, self._limit or INTERVAL)):
            now = self._written if self._writing else activity()
            limit = min(self._limit, PATIENCE) if self._hung else self._limit
            if questions.WAITING.is_set() or now != before:
                before, since = now, time.monotonic()
            elif 0 < limit < time.monotonic() - since:
                self._end()
                since = time.monotonic()

    def _end(self) -> None:
        """End the programs, then what we wait for, as often as it hangs; at last all, where no signal wakes us."""
        self._stalls += 1
        self._hung = self._hung or self._said()
        for pid in filter(is_ours, self._pids):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self._stalls == 2 and any(map(sleeps, ours())) and self._give_up():
            return
        if self._stalls > 1 and sleeps(threading.main_thread()):
            self._report.log(self._hung[0])
            self._report.end(self._error(*self._hung))
            os._exit(self._error.exit_code)
        elif self._stalls > 1 or self._writing or not self._programs:
            signal.pthread_kill(threading.main_thread().ident or 0, SIGNAL)

    def _said(self) -> tuple[str, str]:
        for_so_long = f"no progress for {self._limit / 60:g} minutes"
        if self._writing or not self._programs:
            return f"{for_so_long}: {self._place} hangs", SEE_TO_IT
        path = next(filter(None, map(open_path, [*filter(is_ours, self._pids), os.getpid()])), "an unknown place")
        return f"{for_so_long}: tar hangs at {path}", self._advice


def activity() -> list[int]:
    """How often our threads, and the programs that we have started, and those by them, were given a processor."""
    return [wake_ups(f"/proc/self/task/{thread.native_id}") for thread in ours()] + _activity_of(children("self"))


def ours() -> list[Thread]:
    """Our threads that work."""
    return [thread for thread in threading.enumerate() if thread.name != ASIDE]


def _activity_of(pids: Sequence[int]) -> list[int]:
    return [count for pid in pids for count in (pid, wake_ups(f"/proc/{pid}"), *_activity_of(children(pid)))]


def children(pid: int | str) -> list[int]:
    """The programs that a process has started (proc(5), /proc/pid/task/tid/children)."""
    found: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                found += map(int, (task / "children").read_text().split())
    return found


def is_ours(pid: int) -> bool:
    """Whether it still is a program that we have started: its number may be another's by now."""
    try:
        return f"\nPPid:\t{os.getpid()}\n" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def sleeps(thread: Thread) -> bool:
    """Whether a thread waits for a file system so that a signal does not wake it."""
    with suppress(OSError):
        return "\nState:\tD" in Path(f"/proc/self/task/{thread.native_id}/status").read_text()
    return False


def given_up(sh: Shell, folder: Path | None) -> bool:
    """Whether the kernel ends all waits for the file system of a folder, by an error, and was made to do so.

    It can that for FUSE and NFS (umount2(2), MNT_FORCE), which stay mounted as long as they are in use. Until then not
    even the end of rear may end its wait.
    """
    holding = [point for point in mount_points() if f"{folder}/".startswith(f"{point.target.rstrip('/')}/")]
    point = max(holding, key=lambda point: len(point.target), default=None)
    if folder is None or point is None or point.target == "/" or not is_served(point.fstype):
        return False
    with suppress(RearError):
        # By its name as it is, and without help: who looks at it waits as well.
        sh.run("umount", "--force", "--no-canonicalize", "--internal-only", point.target, ok=(0, 32), timeout=PATIENCE)
        return True
    return False


def wake_ups(task: str) -> int:
    """How often a process or thread was given its processor (proc_pid_status(5)), 0 when it has ended.

    >>> Path("/proc/4711/status").read_text()
    voluntary_ctxt_switches:        150
    nonvoluntary_ctxt_switches:     545
    """
    try:
        found = re.findall(r"ctxt_switches:\s*(\d+)", Path(f"{task}/status").read_text())
    except OSError:
        return 0
    return sum(map(int, found))


def open_path(pid: int) -> str:
    """The file or folder that a process has opened last, "" for one that has none open."""
    found = {}
    with suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                path = os.readlink(entry)
                if path.startswith("/") and not path.startswith(("/dev/", "/proc/", "/memfd:")):
                    found[int(entry.name)] = path
    return found[max(found)] if found else ""
