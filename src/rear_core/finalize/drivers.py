# SPDX-License-Identifier: GPL-3.0-or-later
"""Which kernel modules it takes to reach a file system: drivers of the disks it lies on, and what lies between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..rescue.modules import ModuleIndex, normalize


def of_disk(device: str, sysfs: Path = Path("/sys")) -> set[str]:
    """The modules that drive a disk and every bus between it and the processor, as this kernel uses them.

    /sys/class/block/vda -> ../../devices/pci0000:00/0000:00:04.0/virtio1/block/vda, where each folder of a device
    has a link driver/module -> /sys/module/virtio_blk. A driver without that link is part of the kernel.
    """
    place = (sysfs / "class/block" / Path(device).resolve().name).resolve()
    return set().union(*(_on_the_way(start, sysfs) for start in (place, *_controllers(place))))


def of_cards(sysfs: Path = Path("/sys")) -> set[str]:
    """The modules that drive the network cards that are up: a disk may be at the other end of any.

    /sys/class/net/eth0 -> ../../devices/pci0000:00/0000:00:03.0/virtio0/net/eth0
    """
    cards = [card for card in (sysfs / "class/net").glob("*") if (card / "device").exists()]
    up = [card for card in cards if (card / "operstate").read_text().strip() == "up"]
    return set().union(*(_on_the_way(card.resolve(), sysfs) for card in up))


def _on_the_way(start: Path, sysfs: Path) -> set[str]:
    found = set()
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
