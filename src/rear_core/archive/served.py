# SPDX-License-Identifier: GPL-3.0-or-later
"""Notes where programs of users have mounted something while files are saved: root may not look at that."""

from __future__ import annotations

import os
import select
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from threading import Thread

from ..mounts import mount_points
from .coverage import is_served
from .watch import ASIDE


class Served:
    """The mounts that were seen, also those that were there for a moment only."""

    def __init__(self) -> None:
        self._own: dict[str, bool] = {}

    @contextmanager
    def noted(self) -> Iterator[None]:
        """A block in which each change of what is mounted is looked at."""
        self._look()
        reading, writing = os.pipe()
        looking = Thread(target=self._work, args=[reading], name=ASIDE, daemon=True)
        looking.start()
        try:
            yield
        finally:
            os.close(writing)
            looking.join()
            os.close(reading)
            self._look()

    def holds(self, path: str, starts: Iterable[str]) -> bool:
        """Whether a path is such a mount point, or below one, and none of what is saved begins there."""
        return is_foreign(path, self._own, starts)

    def _work(self, ended: int) -> None:
        # The kernel tells of a change by these two (proc(5), /proc/pid/mounts).
        with open("/proc/self/mountinfo", "rb", buffering=0) as mounts:
            poll = select.poll()
            poll.register(mounts, select.POLLERR | select.POLLPRI)
            poll.register(ended, select.POLLIN)
            while ended not in dict(poll.poll()):
                self._look()

    def _look(self) -> None:
        for point in mount_points():
            self._own[point.target] = self._own.get(point.target, False) or is_served(point.fstype)


def is_foreign(path: str, mounts: Mapping[str, bool], starts: Iterable[str]) -> bool:
    """Whether a path lies in a mount that is served, as `mounts` say, and that is not saved because one is wished for.

    >>> is_foreign("/home/ada/mnt/file", {"/home": False, "/home/ada/mnt": True}, ["/home"])
    True
    >>> is_foreign("/srv/nas/a/file", {"/srv/nas": True}, ["/", "/srv/nas/a"])
    False
    """
    mount = max((mount for mount in mounts if _lies_in(path, mount)), key=len, default="")
    wished = any(_lies_in(start, mount) and _lies_in(path, start) for start in starts)
    return mounts.get(mount, False) and not wished


def _lies_in(path: str, folder: str) -> bool:
    return f"{path.rstrip('/')}/".startswith(f"{folder.rstrip('/')}/")
