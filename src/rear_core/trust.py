# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether what root reads and runs is root's: nobody else may be able to change it, or to put another in its place."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def changeable(path: Path) -> str:
    """The first of a path and the folders above it that others than root can change, and by what; "" when none is.

    In a folder with the sticky bit, as /tmp, nobody can replace what is root's.
    """
    for place in (path, *path.parents):
        try:
            found = os.stat(place)
        except OSError:
            continue
        if found.st_uid not in (0, os.geteuid()):
            return f"{place} belongs to another user than root"
        open_to_all = found.st_mode & stat.S_IWOTH or (found.st_mode & stat.S_IWGRP and found.st_gid != 0)
        if open_to_all and not found.st_mode & stat.S_ISVTX:
            return f"others than root can write {place}"
    return ""
