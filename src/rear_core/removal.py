# SPDX-License-Identifier: GPL-3.0-or-later
"""Removes directory trees, and never what is mounted in them: nothing else in rear does."""
from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path


def remove_tree(path: Path) -> None:
    """Remove a directory and everything in it; a link in it goes, what it leads to stays.

    Raises `OSError` at the first thing that cannot be removed, among them a directory on which something is mounted,
    also a part of the same file system: names are resolved from descriptors, so nothing outside can be reached.
    """
    parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _remove(parent, path.name, _mount(parent), os.fspath(path))
    finally:
        os.close(parent)


def discard(path: Path) -> None:
    """Remove as much of a directory as can be; for leftovers that are only in the way."""
    with suppress(OSError):
        remove_tree(path)


def _remove(parent: int, name: str, mount: bytes, shown: str) -> None:
    directory = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        if _mount(directory) != mount:
            raise OSError(errno.EBUSY, "something is mounted there", shown)
        with os.scandir(directory) as found:
            entries = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in found]
        for entry, is_directory in entries:
            if is_directory:
                _remove(directory, entry, mount, f"{shown}/{entry}")
            else:
                os.unlink(entry, dir_fd=directory)
    finally:
        os.close(directory)
    os.rmdir(name, dir_fd=parent)


def _mount(descriptor: int) -> bytes:
    """The mount that a descriptor lies in (proc(5), /proc/pid/fdinfo): bind mounts share the device number."""
    lines = Path(f"/proc/self/fdinfo/{descriptor}").read_bytes().splitlines()
    return next(line for line in lines if line.startswith(b"mnt_id:"))
