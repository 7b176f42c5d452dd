# SPDX-License-Identifier: GPL-3.0-or-later
"""Ends programs that hang: a dead server, or a program of a user whose file system never answers, is no backup.

A program that works, however slowly, uses its processor or wakes up now and then; one that waits for ever does neither.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

from ..errors import ProgramFailed, RearError

# Seconds between two looks.
INTERVAL = 2.0
LEAVE_OUT = "see to the server, disk or program behind it, or leave it out by BACKUP_PROG_EXCLUDE"


class Watch:
    """Looks at the stages of a pipe while we wait for them; the one at the files is named when nothing has moved."""

    def __init__(self, minutes: float, advice: str = LEAVE_OUT) -> None:
        self._advice = advice
        self._limit = minutes * 60
        self._pids: Sequence[int] = ()
        self._busy = False
        self._ended = Event()
        self._hung: str | None = None

    def follow(self, pids: Sequence[int]) -> None:
        """These are the processes."""
        self._pids = pids

    @contextmanager
    def busy(self) -> Iterator[None]:
        """A block in which they wait for us, who may be asking for another tape."""
        self._busy = True
        try:
            yield
        finally:
            self._busy = False

    @contextmanager
    def watching(self) -> Iterator[Watch]:
        """A block in which they are watched; raises `RearError` with the path at which tar hung."""
        watching = Thread(target=self._work, daemon=True)
        watching.start()
        try:
            yield self
        except ProgramFailed as error:
            if self._hung is None:
                raise
            raise RearError(
                f"nothing has moved for {self._limit / 60:g} minutes: tar hangs at {self._hung}",
                self._advice,
            ) from error
        finally:
            self._ended.set()
            watching.join()

    def _work(self) -> None:
        before: list[int] = []
        since = time.monotonic()
        while not self._ended.wait(min(INTERVAL, self._limit or INTERVAL)):
            now = [wake_ups(pid) for pid in self._pids]
            if self._busy or now != before:
                before, since = now, time.monotonic()
            elif now and 0 < self._limit < time.monotonic() - since:
                self._hung = next(filter(None, map(open_path, self._pids)), "an unknown place")
                for pid in self._pids:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                return


def wake_ups(pid: int) -> int:
    """How often a process was given its processor (proc_pid_status(5)), 0 when it has ended.

    >>> Path("/proc/4711/status").read_text()
    voluntary_ctxt_switches:        150
    nonvoluntary_ctxt_switches:     545
    """
    try:
        found = re.findall(r"ctxt_switches:\s*(\d+)", Path(f"/proc/{pid}/status").read_text())
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
