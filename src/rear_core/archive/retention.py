# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backups stay in a repository of an engine with --keep-daily and the like, as restic and borg have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..run import Run

KINDS = ("last", "hourly", "daily", "weekly", "monthly", "yearly")


def problem(values: Sequence[str]) -> str:
    """What is wrong with a list such as `daily 7 weekly 4`, for the `check` of a setting."""
    pairs = list(zip(values[::2], values[1::2]))
    right = all(kind in KINDS and number.isdigit() and int(number) for kind, number in pairs)
    if right and len(values) % 2 == 0:
        return ""
    return f"must be pairs, as daily 7 weekly 4: one of {', '.join(KINDS)}, and a number"


def policy(run: Run, setting: str) -> list[str]:
    """The options that say which backups stay: as a setting says, or the last ones, as many as BACKUP_KEEP says."""
    words = list(run.settings[setting]) or ["last", str(run.settings["BACKUP_KEEP"])]
    return [option for kind, number in zip(words[::2], words[1::2]) for option in (f"--keep-{kind}", number)]
