# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads files once more that were shorter than they had been: a disk with an error in a block may look like that."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import OF_THE_MACHINE, RearError
from ..mounts import mount_id, mount_points
from ..pipes import BLOCK
from .coverage import is_served


def check(names: Iterable[str], root: Path) -> None:
    """Raise `RearError` for a file that cannot be read; names are relative to `root`.

    By now a user may have put anything in the place of one: a link, a FIFO, what his own program serves. Only what is a
    plain file in the same folders is opened, and no more of it is read than it has.
    """
    for name in names:
        try:
            with _opened(root, name) as descriptor:
                _read(descriptor)
        except OSError as error:
            # ENXIO is a socket in its place.
            if error.errno in OF_THE_MACHINE - {errno.ENXIO}:
                path = os.path.normpath(root / name)
                raise RearError(f"cannot read {path}: {error.strerror}", "check its file system and disk") from error


@contextmanager
def _opened(root: Path, name: str) -> Iterator[int]:
    """A descriptor of a plain file; raises `OSError` for anything else, which is not opened."""
    with _found(root, name) as place:
        if not stat.S_ISREG(os.fstat(place).st_mode):
            raise OSError(errno.EINVAL, "not a plain file")
        descriptor = os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _found(root: Path, name: str) -> Iterator[int]:
    """Where a name leads from one folder to the next, and never by a link, as a descriptor of the place alone."""
    place = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        mount = mount_id(place)
        for part in Path(name).parts:
            parent, place = place, os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place)
            os.close(parent)
            before, mount = mount, mount_id(place)
            if mount != before and any(point.id == mount and is_served(point.fstype) for point in mount_points()):
                raise OSError(errno.EXDEV, "a server or program may never answer")
        yield place
    finally:
        os.close(place)


def _read(descriptor: int) -> None:
    """Read what a file has on its disk: its holes, which may be larger than any disk, are left out."""
    buffer = bytearray(BLOCK)
    size, place = os.fstat(descriptor).st_size, 0
    while place < size:
        place = _next_data(descriptor, place, size)
        count = os.preadv(descriptor, [buffer], place)
        if not count:
            return
        place += count


def _next_data(descriptor: int, place: int, size: int) -> int:
    """Where there are data from a place on, the size where there are none (lseek(2)); what fails is left to reading."""
    try:
        return os.lseek(descriptor, place, os.SEEK_DATA)
    except OSError as error:
        return size if error.errno == errno.ENXIO else place
