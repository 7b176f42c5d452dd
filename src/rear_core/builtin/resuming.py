# SPDX-License-Identifier: GPL-3.0-or-later
"""What an earlier run of this rescue system has built, which a recovery need not build again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .planning import recovery_plan

if TYPE_CHECKING:
    from ..run import Run
    from ..storage.plan import Plan


def journal_path(run: Run) -> Path:
    """Where it is noted what was done."""
    return run.var_dir / "journal"


def is_built(run: Run) -> bool:
    """Whether an earlier run of this rescue system has built just this plan, and all of it is still there.

    Not when it was going to restore another backup than this run: that one's files would stay among ours.
    """
    from ..storage.execute import Journal, is_block_device

    made, journal = recovery_plan(run), Journal(journal_path(run))
    if journal.built() != made.id or (run.backup and journal.restored() not in ("", run.backup_name)):
        return False
    if not all(is_block_device(device) for command in made.mount for device in command.devices):
        return False
    # A device of the same name may be on another disk by now, or hold something else.
    return journal.holds() in (None, identifiers(run, made))


def identifiers(run: Run, made: Plan) -> dict[str, str]:
    """The UUIDs of what a plan mounts, as they are on the devices, and what its disks are: a copy, or the disk that was
    lost and is back, has the same UUIDs."""
    from ..storage.inventory import probe

    devices = sorted({device for command in made.mount for device in command.devices})
    uuids = {device: probe(run.sh, device)[1].get("UUID", "") for device in devices}
    return {**(run.held.identities if run.held else {}), **uuids}
