# SPDX-License-Identifier: GPL-3.0-or-later
"""What a recovery will give back of each disk and what it destroys, told when the media are made."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from .. import durable
from ..hookspecs import hookimpl
from ..step import Step

if TYPE_CHECKING:
    from ..run import Run


@hookimpl
def rear_analyse_dr(run: Run) -> Iterable[Step]:
    yield Step(25, "Note how full the file systems are", save_usage)
    yield Step(26, "See what a recovery gives back of each disk", tell_stakes)
    if "build" in run.phases:
        yield Step(27, "Try how the file systems are made again", try_filesystems)


def save_usage(run: Run) -> None:
    """Write recovery/usage.json: the bytes that files take, by mount point; smaller disks depend on it."""
    from ..storage.mount import mounted

    assert run.layout is not None
    used: dict[str, int] = {}
    for target in mounted(run.layout):
        status = os.statvfs(target)
        used[target] = (status.f_blocks - status.f_bfree) * status.f_frsize
    durable.write(run.recovery_dir / "usage.json", json.dumps(used, indent=2, sort_keys=True) + "\n")


def tell_stakes(run: Run) -> None:
    """Say which disks a recovery leaves alone, and warn of those that it takes although not all of them comes back."""
    from ..storage.choice import at_stake
    from ..storage.mount import why_no_root
    from ..storage.spared import backup_disks

    assert run.layout is not None
    if reason := why_no_root(run.layout):
        run.report.warn(f"no recovery can make this machine again: its root file system is not described ({reason})")
    spared = backup_disks(run, run.layout)
    for id, stake in at_stake(run, run.layout).items():
        if id in spared:
            run.report.detail(f"{stake.disk} is left alone by a recovery: it holds the backup")
        elif stake.why_alone:
            run.report.say(f"{stake.disk} is left alone by a recovery: {stake.why_alone}")
        elif stake.lost:
            run.report.warn(
                f"{stake.disk} is taken by a recovery, which destroys what is not saved:"
                f" {'; '.join(map(str, stake.lost))}. `rear recover` will ask, and with -n it ends:"
                " save it, or name it in GIVE_UP"
            )
        run.report.log(f"{stake.disk}: {stake}")


def try_filesystems(run: Run) -> None:
    """Make every file system in a sparse file, as a recovery will on a disk; `Refused` when one cannot be made."""
    from ..storage.trial import try_commands
    from .storage import kinds

    assert run.layout is not None
    try_commands(run, run.layout, kinds(run))
