# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps LVM of the recovered system from ignoring its new disks, which its configuration names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..hookspecs import hookimpl
from ..step import Step

if TYPE_CHECKING:
    from ..run import Run


@hookimpl
def rear_finalize(run: Run) -> Iterable[Step]:
    from ..finalize import lvm_devices
    from ..storage.technologies.lvm import PhysicalVolume

    if run.layout is None or run.layout.of(PhysicalVolume):
        yield Step(33, "Update the list of LVM disks", lvm_devices.update_list)
        yield Step(81, "Check the device filters of LVM", lvm_devices.check_filters)
