# SPDX-License-Identifier: GPL-3.0-or-later
"""How much of a file system came back from a vendor's client, counted by the kernel: enough, less, or too little."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .progress import size

if TYPE_CHECKING:
    from ..run import Run


@dataclass(frozen=True)
class Usage:
    """What is in use of a file system: 0 files where nobody counts them (btrfs, vfat)."""

    bytes: int = 0
    files: int = 0


@dataclass(frozen=True)
class Share:
    """How much of a file system, or of several on one device, was to come back, and how much of that came."""

    paths: tuple[str, ...]
    wanted: Usage
    came: Usage


# The client saved at another moment than the machine was described. Below the first part, what came is worth a
# warning, below the second it is a lack; but not where no more is gone than comes and goes by itself: a log, an old
# kernel, a journal.
NEARLY, ENOUGH = 0.95, 0.5
LITTLE, MUCH = Usage(64 << 20, 20), Usage(1 << 30, 200)
# Less than this part is nothing, also of a small file system.
NOTHING = 0.05
# What lies there is not meant to last.
PASSING = {"/tmp", "/var/tmp"}


def usage(place: Path) -> Usage:
    """What is in use of the file system of a place."""
    status = os.statvfs(place)
    return Usage((status.f_blocks - status.f_bfree) * status.f_frsize, status.f_files - status.f_ffree)


def weigh(run: Run, share: Share) -> None:
    """Have the run fail where too little of a file system came, and warn where it is less than there was."""
    files = f"{share.came.files} of {share.wanted.files} files"
    amount = f"{size(share.came.bytes)} of {size(max(share.wanted.bytes, 0))}"
    short = [
        text
        for text, is_short in (
            (files, _is_short(share.came.files, share.wanted.files, NEARLY, LITTLE.files)),
            (amount, _is_short(share.came.bytes, share.wanted.bytes, NEARLY, LITTLE.bytes)),
        )
        if is_short
    ]
    if not short:
        return
    said = f"only {' and '.join(short)} of {' '.join(share.paths)} were restored (counted when described)"
    if _is_lacking(share):
        run.lack(said)
    else:
        run.report.warn(said)


def _is_lacking(share: Share) -> bool:
    """Whether that is no longer the machine that was described."""
    if PASSING.issuperset(share.paths):
        return False
    came, wanted = share.came, share.wanted
    if _is_short(came.files, wanted.files, ENOUGH, MUCH.files) or _is_short(
        came.bytes, wanted.bytes, ENOUGH, MUCH.bytes
    ):
        return True
    if wanted.files > 0:
        return _is_short(came.files, wanted.files, NOTHING, LITTLE.files)
    return _is_short(came.bytes, wanted.bytes, NOTHING, LITTLE.bytes)


def _is_short(came: int, wanted: int, part: float, slack: int) -> bool:
    """Whether less than a part came, and more than the slack is gone."""
    return came < wanted * part and wanted - came > slack
