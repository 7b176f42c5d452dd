# SPDX-License-Identifier: GPL-3.0-or-later
"""Fits a layout to disks of other sizes: the last growable partition of each disk takes the difference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from .disk import EXTENDED, Disk, Partition, PartitionTable
from .layout import Item, Layout, make, of_type
from .mount import Mount

MIB = 1 << 20
# Sectors behind the last partition: the copy of a GPT, and what alignment takes.
TAIL = MIB


@dataclass(frozen=True)
class Fitted:
    """A layout for disks of other sizes, the items whose size changed, and what there is to say about it."""

    layout: Layout
    resized: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass
class Sizes:
    """The items while they are fitted; `used` are the bytes that files take by mount point.

    Whoever gives an item another size puts it into `items` again, and its id into `resized`.
    """

    items: dict[str, Item]
    used: Mapping[str, int]
    resized: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def on(self, id: str) -> list[Item]:
        """What lies on an item."""
        return [item for item in self.items.values() if id in item.needs]

    def partitions(self, disk: str) -> list[Partition]:
        """The partitions of a disk in the order of their places."""
        tables = {table.id for table in of_type(self.on(disk), PartitionTable)}
        found = [p for p in of_type(self.items.values(), Partition) if tables.intersection(p.needs)]
        return sorted(found, key=lambda partition: (partition.start, partition.number))

    def targets(self, id: str) -> set[str]:
        """Where the file systems on an item are mounted."""
        found: set[str] = set()
        waiting = [id]
        while waiting:
            # Not what is mounted on what is mounted there.
            mounts = {mount.id: mount.target for mount in of_type(self.on(waiting[0]), Mount)}
            found |= {*mounts.values()}
            waiting += [item.id for item in self.on(waiting.pop(0)) if item.id not in mounts]
        return found

    def take_any_size(self, id: str) -> bool:
        """Whether what lies on a device can be made on one of another size."""
        return any(item.any_size(self) for item in self.on(id))

    def fit(self, id: str, size: int) -> bool:
        """Whether all that lies on a device can be made in so many bytes."""
        return all(item.fits(self, size) for item in self.on(id))

    def spare(self, id: str, size: int) -> int:
        """How many bytes a device of that size can lose."""
        contents = self.on(id)
        return contents[0].spare(self, size) if len(contents) == 1 else 0

    def shrink(self, id: str, amount: int) -> None:
        """Take the bytes that a device has lost from what lies on it; file systems are made as large as it is."""
        for item in self.on(id):
            item.shrink(self, amount)


def minimum(layout: Layout, used: Mapping[str, int]) -> dict[str, int]:
    """How many bytes each disk must have at least, by its id; `used` are those that files take by mount point."""
    sizes = Sizes({item.id: item for item in layout}, used)
    return {item.id: _disk_minimum(sizes, item) for item in layout.of(Disk)}


def fit(layout: Layout, disks: Mapping[str, int], used: Mapping[str, int]) -> Fitted:
    """The layout for disks with other sizes, given by their ids; those not named stay as they are."""
    sizes = Sizes({item.id: item for item in layout}, used)
    for id, size in sorted(disks.items()):
        (disk,) = of_type([sizes.items[id]], Disk)
        if size != disk.size:
            sizes.items[id] = replace(disk, size=size)
            sizes.resized.add(id)
            if _disk_minimum(Sizes({item.id: item for item in layout}, used), disk) > size:
                sizes.problems.append(f"{disk} does not fit on a disk of {size} bytes")
            elif partitions := sizes.partitions(id):
                _fit_partitions(sizes, disk, partitions, size)
            elif size < disk.size:
                sizes.shrink(id, disk.size - size)
    for item in layout.of(Disk):
        sizes.problems += _misplaced(sizes, item.id)
    return Fitted(
        make(sizes.items.values(), layout.left_out), frozenset(sizes.resized), tuple(sizes.notes), tuple(sizes.problems)
    )


def _misplaced(sizes: Sizes, disk: str) -> Iterator[str]:
    """What is wrong with the places of partitions, as an edited layout may have it."""
    end, size = 0, getattr(sizes.items[disk], "size", 0)
    for partition in sizes.partitions(disk):
        if partition.start + partition.size > size:
            yield f"{partition} ends after the end of its disk"
        if partition.code not in EXTENDED:
            if partition.start < end:
                yield f"{partition} begins before the end of the previous partition"
            end = partition.start + partition.size


def _fit_partitions(sizes: Sizes, disk: Disk, partitions: list[Partition], size: int) -> None:
    """Move the end of the last growable partition, and everything behind it, by whole MiB."""
    end = max(partition.start + partition.size for partition in partitions)
    if size > disk.size:
        (label,) = [table.label for table in of_type(sizes.on(disk.id), PartitionTable)]
        # Sector numbers of an MBR have 32 bits.
        limit = min(size, (1 << 32) * disk.logical_sector_size - TAIL) if label == "dos" else size
        change = max(0, limit - disk.size) // MIB * MIB
    else:
        change = min(0, size - TAIL - end) // MIB * MIB
    chosen = _growable(sizes, partitions)
    if change and chosen:
        grown = replace(chosen, size=chosen.size + change)
        for partition in partitions:
            if partition.start > chosen.start:
                sizes.items[partition.id] = replace(partition, start=partition.start + change)
            elif partition.code in EXTENDED and partition.id in chosen.needs:
                sizes.items[partition.id] = replace(partition, size=partition.size + change)
        sizes.items[chosen.id] = grown
        sizes.resized.add(chosen.id)
        verb = "grows" if change > 0 else "shrinks"
        sizes.notes.append(f"{chosen} {verb} from {chosen.size // MIB} to {grown.size // MIB} MiB")
        if change < 0:
            sizes.shrink(chosen.id, -change)


def _growable(sizes: Sizes, partitions: list[Partition]) -> Partition | None:
    """The last partition whose contents can have another size; one for booting only when there is no other."""
    found = [partition for partition in partitions if sizes.take_any_size(partition.id)]
    others = [p for p in found if not {"/boot", "/boot/efi"}.intersection(sizes.targets(p.id))]
    return (others or found)[-1] if found else None


def _disk_minimum(sizes: Sizes, disk: Disk) -> int:
    """The end of the last partition, less what the last growable one can do without."""
    partitions = sizes.partitions(disk.id)
    if not partitions:
        return disk.size - sizes.spare(disk.id, disk.size)
    chosen = _growable(sizes, partitions)
    spare = sizes.spare(chosen.id, chosen.size) // MIB * MIB if chosen else 0
    end = max(partition.start + partition.size for partition in partitions)
    return min(disk.size, end - spare + TAIL)
