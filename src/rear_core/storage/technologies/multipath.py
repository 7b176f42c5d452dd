# SPDX-License-Identifier: GPL-3.0-or-later
"""Multipath disks: one disk that is seen on several paths."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from rear_core.contents import Contents
from rear_core.shell import Shell
from rear_core.storage.disk import Disk, identity, tables
from rear_core.storage.kinds import StorageKind
from rear_core.storage.layout import Item, Layout
from rear_core.storage.survey import Survey

if TYPE_CHECKING:
    from typing_extensions import Self

    from rear_core.storage.exclusions import Exclusions
    from rear_core.storage.present import PresentDisk


@dataclass(frozen=True)
class MultipathDisk(Disk):
    """A disk with several paths; `name` is that of its map, `paths` the kernel's names of the disks it is
    made of."""

    type = "multipath disk"
    noun = "multipath disk"
    dracut = "multipath"

    name: str = ""
    paths: tuple[str, ...] = field(default=(), compare=False)

    def excluded_by(self, exclusions: Exclusions) -> str:
        """AUTOEXCLUDE_MULTIPATH."""
        return "AUTOEXCLUDE_MULTIPATH leaves it out" if exclusions.multipath else ""

    def replaced_by(self, present: PresentDisk) -> Self:
        """Without a name from its configuration a map is called by the WWID of its disk."""
        return replace(super().replaced_by(present), name=present.path.rpartition("/")[2])

    @property
    def modules(self) -> frozenset[str]:
        """The target of device-mapper."""
        return frozenset({"dm_multipath"})


def capture(survey: Survey) -> Iterator[Item]:
    """The maps that lsblk shows as `mpath`, with the identity that all their paths share.

    Partition tables on them are read as those of any disk.
    """
    for device in survey.of_type("mpath"):
        # A path can be left out, or unreadable, while others are not.
        leg = next(survey.devices[path] for path in device.parents if path in survey.devices)
        name = identity(survey, leg)
        yield MultipathDisk(
            id=f"disk:{name}",
            needs=(),
            size=device.size,
            device=device.path,
            model=leg.model,
            vendor=leg.vendor,
            serial=leg.serial,
            wwn=leg.wwn,
            transport=leg.transport,
            rotational=leg.rotational,
            logical_sector_size=device.logical_sector_size,
            physical_sector_size=device.physical_sector_size,
            minimum_io=device.minimum_io,
            optimal_io=device.optimal_io,
            alignment_offset=device.alignment_offset,
            name=device.path.rpartition("/")[2],
            paths=device.parents,
        )
        yield from tables(survey, device, name)


def contents(_layout: Layout) -> Contents:
    """The daemon's tools and its configuration."""
    return Contents(
        # By dmsetup udev tells them that a map is there, which they wait for.
        programs=["multipath", "multipathd", "dmsetup"],
        optional_programs=["kpartx"],
        libraries=["/lib*/multipath/*.so", "/lib/*/multipath/*.so", "/usr/lib*/multipath/*.so"],
        modules=["dm_multipath", "dm_round_robin", "dm_queue_length", "dm_service_time", "scsi_dh_alua"],
        files=["/etc/multipath.conf", "/etc/multipath"],
    )


def appear(sh: Shell) -> None:
    """Make the maps of all disks that have several paths; without one each path would be a disk that looks the same."""
    sh.run("modprobe", "dm-multipath")
    # 1: there are none, or not all could be made.
    sh.run("multipath", "-v1", ok=(0, 1))
    sh.run("udevadm", "settle", "--timeout=60")


KIND = StorageKind(
    "multipath", (MultipathDisk,), capture, contents, recreate=lambda _disk, _site: (), appear=appear,
    signatures=("mpath_member",),
)  # fmt: skip
