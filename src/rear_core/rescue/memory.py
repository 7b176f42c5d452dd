# SPDX-License-Identifier: GPL-3.0-or-later
"""A place in memory for the tree of the rescue system: thousands of small files cost a disk seconds."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path

from ..errors import ProgramFailed
from ..shell import Shell

# How much more memory must be free than the place is expected to take: programs of this machine need theirs.
RESERVE = 4


def available(meminfo: Path = Path("/proc/meminfo")) -> int:
    """The bytes that programs can have without swapping (proc(5), MemAvailable); 0 when the kernel does not say."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB$", meminfo.read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def mount(sh: Shell, place: Path, size: int, undo: ExitStack) -> bool:
    """Put a directory in memory until `undo` is unwound; False, and it stays on its disk, when that cannot be.

    A place that outgrows `size` is full at half of the memory, as tmpfs is (tmpfs(5)).
    """
    if available() < RESERVE * size:
        return False
    try:
        sh.run("mount", "--types", "tmpfs", "--options", "nodev,nosuid,mode=0755", "rear", place)
    except ProgramFailed:
        # A container may not mount.
        return False
    undo.callback(give_back, sh, place)
    return True


def give_back(sh: Shell, place: Path) -> None:
    """Free the memory of a directory that is in memory, with all that is in it."""
    if place.is_mount():
        sh.run("umount", "--lazy", place)
