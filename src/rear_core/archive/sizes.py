# SPDX-License-Identifier: GPL-3.0-or-later
"""How much room files take, looked at in their own file system alone."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator

from ..mounts import mount_points
from ..patterns import leaving_out
from ..trees import walk


def bytes_used(mount_point: str) -> int:
    """What a mounted file system holds."""
    status = os.statvfs(mount_point)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def bytes_below(path: str) -> int:
    """What lies below a folder on its file system, or in all that a pattern matches on that where it begins.

    What cannot be looked at counts nothing.
    """
    fixed = re.split(r"[*?[]", path)[0]
    return _bytes_below(path) if fixed == path else sum(map(_bytes_below, _matching(path, os.path.dirname(fixed))))


def _matching(pattern: str, start: str) -> Iterator[str]:
    """The paths that a pattern of tar means, those in one that matches left away."""
    mounted = _mounted()
    try:
        device = os.lstat(start).st_dev
    except OSError:
        return
    for folder, folders, files in walk(start):
        paths = {name: f"{folder.rstrip('/')}/{name}" for name in (*folders, *files)}
        paths = {name: path for name, path in paths.items() if path not in mounted}
        folders[:] = [name for name in folders if name in paths]
        inside = {name for name in folders if _device(paths[name]) == device}
        chosen = {
            name for name in paths if (name in inside or name not in folders) and leaving_out(paths[name], [pattern])
        }
        yield from (paths[name] for name in sorted(chosen))
        folders[:] = [name for name in folders if name in inside - chosen]


def _mounted() -> set[str]:
    """Where something is mounted, which is not to be looked at: whoever serves it may never answer."""
    return {point.target for point in mount_points()}


def _device(path: str) -> int:
    try:
        return os.lstat(path).st_dev
    except OSError:
        return -1


def _bytes_below(path: str) -> int:
    try:
        found = os.lstat(path)
    except OSError:
        return 0
    total = found.st_blocks * 512
    mounted, folders = _mounted(), [path]
    while folders:
        for entry in _entries(folders.pop()):
            try:
                status = entry.stat(follow_symlinks=False) if entry.path not in mounted else None
            except OSError:
                continue
            if status and status.st_dev == found.st_dev:
                total += status.st_blocks * 512
                if stat.S_ISDIR(status.st_mode):
                    folders.append(entry.path)
    return total


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []
