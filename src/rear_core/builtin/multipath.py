# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives new multipath disks the names that the old ones had."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..hookspecs import hookimpl
from ..step import Step

if TYPE_CHECKING:
    from ..run import Run


@hookimpl
def rear_finalize(run: Run) -> Iterable[Step]:
    from ..storage.technologies.multipath import MultipathDisk

    if run.layout is None or run.layout.of(MultipathDisk):
        # Before anything else asks for names.
        yield Step(25, "Update the WWIDs of multipath disks", update_wwids)


def update_wwids(run: Run) -> None:
    """Write the WWIDs of the new disks into the configuration of multipath-tools."""
    from ..finalize import multipath
    from ..finalize.devices import changed_wwids

    changed = changed_wwids(run)
    run.recovery.differences += [f"multipath disk {old}: WWID {new} instead" for old, new in sorted(changed.items())]
    for name in multipath.rewrite_wwids(run.target, changed):
        run.recovery.rewritten.append(name)
        run.recovery.done.append(f"{name}: the WWIDs of the new disks")
