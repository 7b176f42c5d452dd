# SPDX-License-Identifier: GPL-3.0-or-later
"""A lock for what several machines write to the tree: boot loaders, and the menu of all machines."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from rear_core import RearError, Run
from rear_core.places.delivery import checksum
from rear_core.places.place import Place

FOLDER, NAME = "rear", "lock"
# Seconds that whoever looked before us needs to write, after which one who says nothing is dead, and of patience.
SETTLE, SILENT, PATIENCE = 1.0, 120.0, 900.0


@contextmanager
def locked(run: Run, place: Place) -> Iterator[Callable[[], None]]:
    """A block that one machine at a time is in, of all that write to the tree.

    It calls what it is given before each file that it puts: that renews the mark now and then, so that nobody takes a
    slow machine for dead, and raises `RearError` where somebody did.

    No place can create a file only where there is none. So each writes its mark, waits longer than another one that saw
    no mark needs to write its own, and goes on if its mark is still there (the algorithm of Fischer). No clock of
    another machine counts: a mark that has not changed for `SILENT` seconds is of a run that was killed.
    """
    mark, written = _new_mark(run), time.monotonic()
    until = time.monotonic() + PATIENCE
    while True:
        _wait_until_free(place, until)
        if _is_taken(run, place, mark, until):
            break

    def renew() -> None:
        nonlocal mark, written
        if time.monotonic() - written < SILENT / 8:
            return
        if place.read(f"{FOLDER}/{NAME}") != mark.encode():
            raise RearError("another machine took this one for dead and writes to the tree", "run it again")
        mark, written = _new_mark(run), time.monotonic()
        _put(run, place, mark)

    try:
        yield renew
    finally:
        if place.read(f"{FOLDER}/{NAME}") == mark.encode():
            place.remove(FOLDER, [NAME])


def _new_mark(run: Run) -> str:
    return f"{run.system.hostname} {uuid.uuid4().hex}"


def _is_taken(run: Run, place: Place, mark: str, until: float) -> bool:
    began = time.monotonic()
    try:
        _put(run, place, mark)
    except RearError:
        # Another one wrote its own at the same moment, beside the same name.
        if time.monotonic() > until:
            raise
        time.sleep(random.uniform(0, SETTLE))
        return False
    time.sleep(SETTLE + 3 * (time.monotonic() - began))
    return place.read(f"{FOLDER}/{NAME}") == mark.encode()


def _put(run: Run, place: Place, mark: str) -> None:
    with TemporaryDirectory(dir=run.build_dir) as work:
        path = Path(work, "file")
        path.write_text(mark)
        place.put(path, f"{FOLDER}/{NAME}", checksum(path))


def _wait_until_free(place: Place, until: float) -> None:
    seen, since = place.read(f"{FOLDER}/{NAME}"), time.monotonic()
    while seen is not None and time.monotonic() - since < SILENT:
        if time.monotonic() > until:
            raise RearError("other machines write to the tree all the time", "run it again later")
        time.sleep(SETTLE / 2)
        found = place.read(f"{FOLDER}/{NAME}")
        seen, since = found, since if found == seen else time.monotonic()
