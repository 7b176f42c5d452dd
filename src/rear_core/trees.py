# SPDX-License-Identifier: GPL-3.0-or-later
"""Walks through folders that users may nest as deep as they like: without a call of Python's own for each level."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator


def below(top: str, wanted: Callable[[os.DirEntry[str]], bool] = lambda _: True) -> Iterator[os.DirEntry[str]]:
    """All that is below a folder and wanted, parents first, in a fixed order; links are not followed.

    What is below a folder that is not wanted is passed over. Raises `OSError` where one cannot be read.
    """
    left = _sorted(top, wanted)
    while left:
        entry = left.pop()
        yield entry
        if entry.is_dir(follow_symlinks=False):
            left += _sorted(entry.path, wanted)


def _sorted(folder: str, wanted: Callable[[os.DirEntry[str]], bool]) -> list[os.DirEntry[str]]:
    """What is wanted of a folder, the first one last."""
    with os.scandir(folder) as entries:
        return sorted(filter(wanted, entries), key=lambda entry: entry.name, reverse=True)


def walk(top: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """`os.walk` from the top down, which calls itself for each level before Python 3.12."""
    left = [top]
    while left:
        folder = left.pop()
        folders, files = _names(folder)
        yield folder, folders, files
        paths = [os.path.join(folder, name) for name in reversed(folders)]
        left += [path for path in paths if not os.path.islink(path)]


def _names(folder: str) -> tuple[list[str], list[str]]:
    """The names of the folders in one, and those of all else; none of one that cannot be read."""
    folders: list[str] = []
    files: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                (folders if _is_folder(entry) else files).append(entry.name)
    except OSError:
        return [], []
    return folders, files


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
