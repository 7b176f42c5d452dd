# SPDX-License-Identifier: GPL-3.0-or-later
"""Rebuilds the initramfs of a recovered system if this hardware needs another one; OS plugins say how."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import RearError
from .decision import reasons_for_new_initramfs

if TYPE_CHECKING:
    from ..run import Run


def renew_initramfs(run: Run, make: Callable[[Run], None]) -> None:
    """Call `make` where the initramfs that was restored does not fit this machine; a failure is a problem."""
    reasons = reasons_for_new_initramfs(run)
    if not reasons:
        run.report.log("the initramfs fits this machine and stays as it is")
        return
    run.report.say(f"Rebuilding the initramfs: {'; '.join(reasons)}")
    try:
        make(run)
    except RearError as error:
        # The boot loader is installed all the same, so that only this is left to repair.
        run.recovery.problems.append(f"cannot rebuild the initramfs ({'; '.join(reasons)}): {error.message}")
    else:
        run.recovery.done.append(f"initramfs rebuilt: {'; '.join(reasons)}")
