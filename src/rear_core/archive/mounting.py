# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups as folders of this machine, to look at and to copy from, for as long as somebody wants."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .. import questions
from ..mounts import mount_points

if TYPE_CHECKING:
    from ..run import Run

# Seconds between two looks at what somebody else may have ended.
LOOK = 0.5


def show(run: Run, directory: Path) -> None:
    """Show a folder with backups at `run.target`, read-only, until the Enter key, ^C, or somebody unmounts it."""
    target, is_new = run.target, not run.target.exists()
    target.mkdir(mode=0o700, exist_ok=True)
    run.sh.run("mount", "--bind", directory, target)
    try:
        run.sh.run("mount", "--options", "remount,bind,ro,nodev,nosuid", target)
        run.report.say(f"The backups are in {target}")
        if questions.is_interactive(run):
            questions.wait(run, "When nothing uses that folder any more, come back", quits="no longer shown")
        else:
            run.report.say(f"`umount {target}` ends it")
            while is_shown(target):
                time.sleep(LOOK)
    finally:
        if is_shown(target) and run.sh.run("umount", target, ok=(0, 32)).status:
            run.sh.run("umount", "--lazy", target)
            run.report.warn(f"something still uses {target}: it disappears when nothing does")
        if is_new and not is_shown(target):
            target.rmdir()


def is_shown(target: Path) -> bool:
    """Whether something is mounted there; os.path.ismount does not see what is bound from the same file system."""
    return any(point.target == os.fspath(target) for point in mount_points())
