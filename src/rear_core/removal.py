# SPDX-License-Identifier: GPL-3.0-or-later
"""Removes directory trees, and never what is mounted in them: nothing else in rear does."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .mounts import mount_id

# What is nested deeper is moved to the top first: users make more levels than there are calls and descriptors.
DEEPEST = 100


def remove_tree(path: Path) -> None:
    """Remove a directory and everything in it; a link in it goes, what it leads to stays.

    Raises `OSError` at the first thing that cannot be removed, among them a directory on which something is mounted,
    also a part of the same file system: names are resolved from descriptors, so nothing outside can be reached.
    """
    parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _remove(parent, path.name, mount_id(parent), os.fspath(path), [])
    finally:
        os.close(parent)


def discard(path: Path) -> None:
    """Remove as much of a directory as can be; for leftovers that are only in the way."""
    with suppress(OSError):
        remove_tree(path)


def _remove(parent: int, name: str, mount: str, shown: str, moved: list[str], above: tuple[int, ...] = ()) -> None:
    """Remove a directory in an open one.

    `above` are those of the tree that it is in, the outermost first; `moved` is what was moved to that one.
    """
    with _named(shown):
        directory = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        if mount_id(directory) != mount:
            raise OSError(errno.EBUSY, "something is mounted there", shown)
        for entry, is_directory in _entries(directory):
            inside = f"{shown}/{entry}"
            if is_directory and len(above) < DEEPEST:
                _remove(directory, entry, mount, inside, moved, (*above, directory))
                continue
            with _named(inside):
                if is_directory:
                    moved.append(secrets.token_hex(8))
                    os.rename(entry, moved[-1], src_dir_fd=directory, dst_dir_fd=above[0])
                else:
                    os.unlink(entry, dir_fd=directory)
        while moved and not above:
            _remove(directory, inside := moved.pop(), mount, f"{shown}/{inside}", moved, (directory,))
    finally:
        os.close(directory)
    with _named(shown):
        os.rmdir(name, dir_fd=parent)


def _entries(directory: int) -> list[tuple[str, bool]]:
    """What is in an open directory, and which of it are directories."""
    with os.scandir(directory) as found:
        return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in found]


@contextmanager
def _named(path: str) -> Iterator[None]:
    """Has an error name the whole path."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
