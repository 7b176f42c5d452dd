# SPDX-License-Identifier: GPL-3.0-or-later
"""What the phases of a workflow are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .run import Run


MAKING = ("prep", "analyse_dr", "analyse_rescue", "build", "pack", "backup", "output")
RECOVERING = ("config", "verify", "recreate", "restore", "finalize")
PHASES = (*MAKING, *RECOVERING, "cleanup")


@dataclass(frozen=True)
class Step:
    """One piece of a phase: `number` 0 to 99 orders it, `title` tells the user, `action` does it.

    Steps of one number run in the order core, extra, OS, backup, output, administrator's scripts, then by title. With
    `by_settings` a step of the phase prep looks at nothing but settings and files of the configuration: `rear config
    check` runs it, too. Give it a number below 10, so that nobody installs programs for settings that cannot be.
    """

    number: int
    title: str
    action: Callable[[Run], None]
    by_settings: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.number <= 99:
            raise ValueError(f"the step {self.title!r} has the number {self.number}, which is not 0 to 99")
