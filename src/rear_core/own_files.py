# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads files of rear's own folders: what else is in their place is named, and not waited for or read for ever."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import ExitStack
from pathlib import Path

from .errors import ConfigurationError

# Bytes: no description of a machine is as large.
LARGEST = 64 << 20
# Somebody may have named the path, as /dev/null or /root: nobody is to remove that.
REMOVE_IT = "name a file; where rear itself keeps one, find out who replaced it, then remove or restore it"

KINDS = (
    (stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a named pipe"), (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"),
)  # fmt: skip


class NoFile(ConfigurationError):
    """Something else in the place of a file: a FIFO, a device, a folder, or what has no end."""


def read(path: Path, largest: int = LARGEST) -> bytes:
    """What is in a file, also behind a link; `NoFile` for what is none, and `OSError`."""
    try:
        # No pipe is waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            what = "a loop of links" if error.errno == errno.ELOOP else "a socket"
            raise NoFile(f"{path} is {what}, where a file should be", REMOVE_IT) from error
        raise
    with ExitStack() as undo:
        undo.callback(os.close, descriptor)
        found = os.fstat(descriptor)
        check(path, found)
        if found.st_size > largest:
            raise NoFile(f"{path} has {found.st_size} bytes, too many for a file of rear", REMOVE_IT)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(largest)


def read_text(path: Path) -> str:
    """The text of a file; `NoFile`, `OSError`, and `ValueError` for what is no text."""
    return read(path).decode()


def unreadable(path: Path, error: Exception) -> ConfigurationError:
    """The error for a part of the description of a machine that cannot be read, with what helps against its cause."""
    if isinstance(error, PermissionError):
        return ConfigurationError(f"cannot read {path}: {error.strerror}", "run it as root, for example with sudo")
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    return ConfigurationError(f"cannot read {path}: {reason}", "run `rear savelayout` to create it again")


def lost_link(path: Path) -> str:
    """The first link on the way to a path that leads nowhere or in a circle, and where; "" when there is none."""
    for place in (*reversed(path.parents), path):
        if place.is_symlink() and not place.exists():
            leads = f"{place} links to {os.readlink(place)}"
            return f"{leads}, which leads in a circle" if _is_loop(place) else f"{leads}, which is not there"
    return ""


def check_links(path: Path) -> None:
    """Raise `NoFile` if a link leads nowhere: a disk that is not mounted would count as a file that nobody wrote."""
    if lost := lost_link(path):
        raise NoFile(lost, "mount or create what the link names, or remove the link")


def _is_loop(link: Path) -> bool:
    try:
        link.stat()
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


def check(path: Path, found: os.stat_result) -> None:
    """Raise `NoFile` for anything but a file."""
    if not stat.S_ISREG(found.st_mode):
        what = next((word for is_it, word in KINDS if is_it(found.st_mode)), "no file")
        raise NoFile(f"{path} is {what}, where a file should be", REMOVE_IT)
