# SPDX-License-Identifier: GPL-3.0-or-later
"""Which kernel modules it takes to reach a file system: drivers of the disks it lies on, and what lies between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..rescue.modules import ModuleIndex, normalize
from ..storage.btrfs import Btrfs
from ..storage.disk import Disk
from ..storage.ext import Ext
from ..storage.filesystem import FileSystem
from ..storage.layout import Item, Layout
from ..storage.luks import Luks
from ..storage.lvm import LogicalVolume
from ..storage.md import Array
from ..storage.multipath import MultipathDisk
from ..storage.vfat import Fat
from ..storage.xfs import Xfs

FILE_SYSTEMS: dict[type[FileSystem], str] = {Btrfs: "btrfs", Xfs: "xfs", Fat: "vfat"}
PERSONALITIES = {"raid4": "raid456", "raid5": "raid456", "raid6": "raid456"}


def below(layout: Layout, id: str) -> list[Item]:
    """An item of the layout and all it needs."""
    found: dict[str, Item] = {}
    todo = [id]
    while todo:
        item = layout[todo.pop()]
        if item.id not in found:
            found[item.id] = item
            todo += item.needs
    return list(found.values())


def disks_below(layout: Layout, id: str) -> list[Disk]:
    """The disks that an item lies on."""
    return [item for item in below(layout, id) if isinstance(item, Disk)]


def of_stack(items: list[Item]) -> set[str]:
    """The modules for the file systems, volumes and arrays among the items."""
    needed = set()
    for item in items:
        if isinstance(item, Ext):
            needed.add(f"ext{item.version or 4}")
        elif isinstance(item, FileSystem):
            needed |= {name for kind, name in FILE_SYSTEMS.items() if isinstance(item, kind)}
        elif isinstance(item, Luks):
            needed.add("dm_crypt")
        elif isinstance(item, LogicalVolume):
            needed |= _of_volume(item)
        elif isinstance(item, Array):
            needed.add(PERSONALITIES.get(item.level, item.level))
        elif isinstance(item, MultipathDisk):
            needed.add("dm_multipath")
    return needed


def _of_volume(volume: LogicalVolume) -> set[str]:
    words = set(volume.layout.split(","))
    found = {"dm_mod"}
    if "thin" in words:
        found.add("dm_thin_pool")
    if "raid" in words:
        found.add("dm_raid")
    if "cache" in words:
        found.add("dm_cache")
    return found


def of_disk(device: str, sysfs: Path = Path("/sys")) -> set[str]:
    """The modules that drive a disk and every bus between it and the processor, as this kernel uses them.

    /sys/class/block/vda -> ../../devices/pci0000:00/0000:00:04.0/virtio1/block/vda, where each folder of a device
    has a link driver/module -> /sys/module/virtio_blk. A driver without that link is part of the kernel.
    """
    place = (sysfs / "class/block" / Path(device).resolve().name).resolve()
    found = set()
    for start in (place, *_controllers(place)):
        for folder in (start, *start.parents):
            if folder == sysfs.resolve():
                break
            module = folder / "driver/module"
            if module.exists():
                found.add(normalize(module.resolve().name))
    return found


def _controllers(place: Path) -> Iterator[Path]:
    """The controllers of an NVMe disk that several can lead to: links in its folder below devices/virtual."""
    if "virtual" in place.parts:
        for link in sorted(place.parent.glob("nvme*")):
            if (link / "device").exists():
                yield (link / "device").resolve()


def missing(needed: set[str], carried: frozenset[str], modules: Path) -> list[str]:
    """Those modules that are neither carried nor part of the kernel whose modules are in that folder."""
    index = ModuleIndex(modules)

    def is_there(name: str) -> bool:
        # ext4 also reads ext2 and ext3.
        names = {name, "ext4"} if name in ("ext2", "ext3") else {name}
        return bool(names & carried) or any(index.is_builtin(name) for name in names)

    return sorted(name for name in needed if not is_there(name))
