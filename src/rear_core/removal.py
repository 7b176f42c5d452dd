# SPDX-License-Identifier: GPL-3.0-or-later
"""Removes directory trees, and never what is mounted in them: nothing else in rear does."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .mounts import mount_id


def remove_tree(path: Path) -> None:
    """Remove a directory and everything in it; a link in it goes, what it leads to stays.

    Raises `OSError` at the first thing that cannot be removed, among them a directory on which something is mounted,
    also a part of the same file system: names are resolved from descriptors, so nothing outside can be reached.
    """
    parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _remove(parent, path.name, mount_id(parent), os.fspath(path))
    except RecursionError:
        raise OSError(errno.ELOOP, "too many folders in each other", os.fspath(path)) from None
    finally:
        os.close(parent)


def discard(path: Path) -> None:
    """Remove as much of a directory as can be; for leftovers that are only in the way."""
    with suppress(OSError):
        remove_tree(path)


def _remove(parent: int, name: str, mount: str, shown: str) -> None:
    with _named(shown):
        directory = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        if mount_id(directory) != mount:
            raise OSError(errno.EBUSY, "something is mounted there", shown)
        with os.scandir(directory) as found:
            entries = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in found]
        for entry, is_directory in entries:
            if is_directory:
                _remove(directory, entry, mount, f"{shown}/{entry}")
            else:
                with _named(f"{shown}/{entry}"):
                    os.unlink(entry, dir_fd=directory)
    finally:
        os.close(directory)
    with _named(shown):
        os.rmdir(name, dir_fd=parent)


@contextmanager
def _named(path: str) -> Iterator[None]:
    """Has an error name the whole path."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
