# SPDX-License-Identifier: GPL-3.0-or-later
"""Notes where programs of users have mounted something while files are saved: root may not look at that."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
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

    def lies_in(self, path: str) -> bool:
        """Whether a path is such a mount point, or below one and no other file system's."""
        places = (path[:end] for end in range(len(path), 0, -1) if path[end:] == "" or path[end] == "/")
        return next((self._own[place] for place in places if place in self._own), False)

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
