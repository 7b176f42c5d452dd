# SPDX-License-Identifier: GPL-3.0-or-later
"""Fits a layout to disks of other sizes: the last growable partition of each disk takes the difference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from .btrfs import Btrfs
from .disk import EXTENDED, Disk, Partition, PartitionTable
from .ext import Ext
from .filesystem import FileSystem
from .layout import Item, Layout, make
from .luks import Luks
from .lvm import LogicalVolume, PhysicalVolume, VolumeGroup
from .lvm_parts import Segment
from .md import Array
from .mount import Mount
from .xfs import Xfs

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
class _Sizes:
    """The items while they are fitted; `used` are the bytes that files take, by mount point."""

    items: dict[str, Item]
    used: Mapping[str, int]
    resized: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def on(self, id: str) -> list[Item]:
        return [item for item in self.items.values() if id in item.needs]

    def partitions(self, disk: str) -> list[Partition]:
        """The partitions of a disk in the order of their places."""
        tables = {item.id for item in self.on(disk) if isinstance(item, PartitionTable)}
        found = [p for p in self.items.values() if isinstance(p, Partition) and tables.intersection(p.needs)]
        return sorted(found, key=lambda partition: (partition.start, partition.number))


def minimum(layout: Layout, used: Mapping[str, int]) -> dict[str, int]:
    """How many bytes each disk must have at least, by its id; `used` are those that files take by mount point."""
    sizes = _Sizes({item.id: item for item in layout}, used)
    return {item.id: _disk_minimum(sizes, item) for item in layout if isinstance(item, Disk)}


def fit(layout: Layout, disks: Mapping[str, int], used: Mapping[str, int]) -> Fitted:
    """The layout for disks with other sizes, given by their ids; those not named stay as they are."""
    sizes = _Sizes({item.id: item for item in layout}, used)
    for id, size in sorted(disks.items()):
        disk = sizes.items[id]
        assert isinstance(disk, Disk)
        if size != disk.size:
            sizes.items[id] = replace(disk, size=size)
            sizes.resized.add(id)
            if _disk_minimum(_Sizes({item.id: item for item in layout}, used), disk) > size:
                sizes.problems.append(f"{disk} has no room on a disk of {size} bytes")
            elif partitions := sizes.partitions(id):
                _fit_partitions(sizes, disk, partitions, size)
            elif size < disk.size:
                _shrink_contents(sizes, id, disk.size - size)
    for item in layout:
        if isinstance(item, Disk):
            sizes.problems += _misplaced(sizes, item.id)
    return Fitted(
        make(sizes.items.values(), layout.left_out), frozenset(sizes.resized), tuple(sizes.notes), tuple(sizes.problems)
    )


def _misplaced(sizes: _Sizes, disk: str) -> Iterator[str]:
    """What is wrong with the places of partitions, as an edited layout may have it."""
    end, size = 0, getattr(sizes.items[disk], "size", 0)
    for partition in sizes.partitions(disk):
        if partition.start + partition.size > size:
            yield f"{partition} ends behind the end of its disk"
        if partition.code not in EXTENDED:
            if partition.start < end:
                yield f"{partition} begins before the end of the one before it"
            end = partition.start + partition.size


def _fit_partitions(sizes: _Sizes, disk: Disk, partitions: list[Partition], size: int) -> None:
    """Move the end of the last growable partition, and everything behind it, by whole MiB."""
    end = max(partition.start + partition.size for partition in partitions)
    if size > disk.size:
        label = next(table.label for table in sizes.on(disk.id) if isinstance(table, PartitionTable))
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
            _shrink_contents(sizes, chosen.id, -change)


def _growable(sizes: _Sizes, partitions: list[Partition]) -> Partition | None:
    """The last partition whose contents can have another size; one for booting only when there is no other."""
    found = [partition for partition in partitions if _takes_any_size(sizes, partition.id)]
    others = [p for p in found if not {"/boot", "/boot/efi"}.intersection(_targets(sizes, p.id))]
    return (others or found)[-1] if found else None


def _takes_any_size(sizes: _Sizes, id: str) -> bool:
    contents = sizes.on(id)
    return any(
        isinstance(item, (Ext, Xfs, Btrfs, PhysicalVolume))
        or (isinstance(item, (Luks, Array)) and _takes_any_size(sizes, item.id))
        for item in contents
    )


def _targets(sizes: _Sizes, id: str) -> set[str]:
    """Where the file systems directly on a device are mounted."""
    found: set[str] = set()
    waiting = [id]
    while waiting:
        for item in sizes.on(waiting.pop()):
            if isinstance(item, Mount):
                found.add(item.target)
            else:
                waiting.append(item.id)
    return found


def _disk_minimum(sizes: _Sizes, disk: Disk) -> int:
    """The end of the last partition, less what the last growable one can do without."""
    partitions = sizes.partitions(disk.id)
    if not partitions:
        return disk.size - _spare(sizes, disk.id, disk.size)
    chosen = _growable(sizes, partitions)
    spare = _spare(sizes, chosen.id, chosen.size) // MIB * MIB if chosen else 0
    end = max(partition.start + partition.size for partition in partitions)
    return min(disk.size, end - spare + TAIL)


def _spare(sizes: _Sizes, id: str, size: int) -> int:
    """How many bytes a device of that size can lose."""
    contents = sizes.on(id)
    if len(contents) != 1:
        return 0
    (item,) = contents
    if isinstance(item, (Ext, Xfs, Btrfs)) and len(item.needs) == 1:
        return max(0, size - _needed(sizes, item)) if _is_known(sizes, item) else 0
    if isinstance(item, Luks):
        return _spare(sizes, item.id, size - item.offset) if sizes.on(item.id) else 0
    if isinstance(item, PhysicalVolume):
        group = next((group for group in sizes.on(item.id) if isinstance(group, VolumeGroup)), None)
        return _group_spare(sizes, group) if group and len(group.needs) == 1 else 0
    return 0


def _group_spare(sizes: _Sizes, group: VolumeGroup) -> int:
    """What a volume group on one physical volume can lose: its free extents, and what one volume can."""
    volume = _shrinkable(sizes, group)
    spare = _spare(sizes, volume.id, volume.size) if volume else 0
    return (_free(sizes, group) + spare) // group.extent_size * group.extent_size


def _free(sizes: _Sizes, group: VolumeGroup) -> int:
    taken = sum(_extents(volume, group.extent_size) for volume in _volumes(sizes, group))
    return max(0, group.extents - taken) * group.extent_size


def _volumes(sizes: _Sizes, group: VolumeGroup) -> Iterator[LogicalVolume]:
    return (item for item in sizes.on(group.id) if isinstance(item, LogicalVolume))


def _extents(volume: LogicalVolume, extent: int) -> int:
    """How many extents a volume takes at most, with its copies and metadata."""
    if volume.pool:
        return 0
    # A spare for the metadata of pools is as large as the largest of them.
    metadata = 2 * -(-volume.metadata_size // extent) if volume.metadata_size else 0
    if volume.parts:
        return sum(_taken(part.size // extent, part.segments) for part in volume.parts) + metadata
    return _taken(volume.size // extent, volume.segments) + metadata


def _taken(extents: int, segments: Sequence[Segment]) -> int:
    """How many extents so many of a volume take with copies, parity and what belongs to RAID."""
    if not segments:
        return extents
    first = segments[0]
    images = first.stripes if "raid" in first.kind else 0
    if first.parity and first.kind not in ("raid1", "mirror"):
        return extents * first.stripes // max(1, first.stripes - first.parity) + images
    return extents * max(first.copies, 1) + images


def _shrinkable(sizes: _Sizes, group: VolumeGroup) -> LogicalVolume | None:
    """The plain volume that can lose most."""
    plain = [v for v in _volumes(sizes, group) if v.layout in ("linear", "striped")]
    return max(plain, key=lambda v: (_spare(sizes, v.id, v.size), v.id), default=None)


def _is_known(sizes: _Sizes, item: FileSystem) -> bool:
    targets = _targets(sizes, item.id)
    return bool(targets) and targets <= set(sizes.used)


def _needed(sizes: _Sizes, item: FileSystem) -> int:
    """Bytes for the files of a file system with its own bookkeeping, rounded up to whole MiB."""
    used = max(sizes.used[target] for target in _targets(sizes, item.id))
    journal = item.journal_size if isinstance(item, Ext) else 64 * MIB
    least = 320 * MIB if isinstance(item, Xfs) else 64 * MIB
    return max(least, -(-(used * 5 // 4 + journal + 64 * MIB) // MIB) * MIB)


def _shrink_contents(sizes: _Sizes, id: str, amount: int) -> None:
    """Take what a device lost from the logical volumes on it; file systems are made as large as their device."""
    for item in sizes.on(id):
        if isinstance(item, Luks):
            _shrink_contents(sizes, item.id, amount)
        elif isinstance(item, PhysicalVolume):
            for group in sizes.on(item.id):
                if isinstance(group, VolumeGroup):
                    _shrink_group(sizes, group, amount)


def _shrink_group(sizes: _Sizes, group: VolumeGroup, amount: int) -> None:
    lost = -(-amount // group.extent_size) * group.extent_size
    missing = max(0, lost - _free(sizes, group))
    volume = _shrinkable(sizes, group)
    if missing and volume:
        if volume.layout == "striped":
            stripe = group.extent_size * max(segment.stripes for segment in volume.segments)
            missing = -(-missing // stripe) * stripe
        sizes.items[volume.id] = replace(volume, size=volume.size - missing)
        sizes.resized.add(volume.id)
        sizes.notes.append(f"{volume} shrinks from {volume.size // MIB} to {(volume.size - missing) // MIB} MiB")
    # Extents that were there are not: LVM chooses where everything goes.
    for other in list(_volumes(sizes, group)):
        current = sizes.items[other.id]
        assert isinstance(current, LogicalVolume)
        parts = tuple(replace(part, segments=_unplaced(part.segments)) for part in current.parts)
        sizes.items[other.id] = replace(current, segments=_unplaced(current.segments), parts=parts)


def _unplaced(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    return tuple(replace(segment, ranges=()) for segment in segments)
