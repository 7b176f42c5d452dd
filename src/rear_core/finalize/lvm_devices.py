# SPDX-License-Identifier: GPL-3.0-or-later
"""LVM's list of its devices, which knows disks by their serial numbers: lvmdevices(8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..boot.chroot import run_inside
from ..errors import RearError
from ..storage.disk import Disk
from . import files

if TYPE_CHECKING:
    from ..run import Run

LIST = "/etc/lvm/devices/system.devices"


def are_other_disks(run: Run) -> bool:
    """Whether a disk was replaced, or has another name."""
    assert run.layout is not None and run.rebuilt is not None
    for was in run.layout:
        now = run.rebuilt.site.layout.get(was.id)
        if isinstance(was, Disk) and isinstance(now, Disk) and _identity(was) != _identity(now):
            return True
    return False


def _identity(disk: Disk) -> tuple[str, str, str]:
    return disk.device, disk.serial, disk.wwn


def put_right(run: Run) -> None:
    """Make the list anew: LVM uses no disk that it does not name, and all of them where there is no list."""
    path = files.inside(run.target, LIST)
    if not path.is_file() or not are_other_disks(run):
        return
    path.unlink()
    run.recovery.rewritten.append(LIST)
    try:
        run_inside(run, "vgimportdevices", "--all")
    except RearError as error:
        run.recovery.differences.append(f"{LIST} is gone, so that LVM looks at all devices: {error.message}")
        return
    if path.is_file():
        files.label(path)
    run.recovery.done.append(f"{LIST}: the disks of this machine")
