# SPDX-License-Identifier: GPL-3.0-or-later
"""The storage as it is: described, started and mounted, with the ids of the recorded one."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from ..storage import passphrases
from .storage import kinds, recorded_layout

if TYPE_CHECKING:
    from ..run import Run
    from ..storage.kinds import Starting
    from ..storage.layout import Layout


def described(
    run: Run, disks: Mapping[str, str], recorded: Layout | None = None, exclude: Sequence[str] = ()
) -> Layout:
    """The storage as it is now, with the recorded ids of the disks; only of technologies that `recorded` uses.

    The rescue system has no tools for the others. `exclude` has patterns of disks that are left out.
    """
    from ..storage.capture import capture
    from ..storage.disk import Disk
    from ..storage.outcome import renamed

    used = [kind for kind in kinds(run) if recorded is None or any(type(item) in kind.items for item in recorded)]
    paths = sorted(set(disks.values()))
    now = capture(run.sh, used, warn=run.report.log, include=paths, exclude=exclude, originals=paths)
    ids = {path: id for id, path in disks.items()}
    return renamed(now, {item.id: ids[item.device] for item in now.of(Disk) if item.device in ids})


def starting(run: Run, layout: Layout, disks: Mapping[str, str]) -> Starting:
    """How storage that is there is started, with the paths of its disks by id."""
    from ..storage.command import Site
    from ..storage.kinds import Starting

    return Starting(run.sh, run.report.detail, partial(passphrases.unlock, run), Site(layout, disks).device)


def mount_present(run: Run) -> None:
    """Assemble, open and mount what is there already; it stays mounted when the run ends.

    What lies on a disk that a recovery leaves alone, as that with the backup, is left out.
    """
    from ..storage.activate import activate, mounting
    from ..storage.execute import execute
    from ..storage.mount import Mount
    from ..storage.plan import without
    from .choice import decide

    recorded = recorded_layout(run)
    assignment = decide(run, recorded, takes=False).assignment
    layout = without(recorded, {match.recorded.id for match in assignment.matches if not match.path})
    for mount in recorded.of(Mount):
        if mount.id not in layout:
            run.report.warn(f"{mount} is left out with its disk")
    activate(layout, kinds(run), starting(run, layout, assignment.disks))
    now = described(run, assignment.disks, layout)
    execute(run.sh, mounting(layout, now, assignment.disks, kinds(run), os.fspath(run.target)), tell=run.report.say)
