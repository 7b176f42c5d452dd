# SPDX-License-Identifier: GPL-3.0-or-later
"""Volume groups on devices of other sizes: free extents go first, then what a plain volume can do without."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from .layout import Item
from .lvm import LogicalVolume, PhysicalVolume, VolumeGroup
from .lvm_parts import Segment
from .resize import MIB, Sizes


def fits(item: Item, sizes: Sizes, size: int) -> bool:
    """Whether all extents of a physical volume have their place."""
    if not isinstance(item, PhysicalVolume):
        return False
    group = _group(item, sizes)
    return size - item.data_start >= item.extents * (group.extent_size if group else 1)


def any_size(item: Item, _sizes: Sizes) -> bool:
    """A physical volume takes any device."""
    return isinstance(item, PhysicalVolume)


def spare(item: Item, sizes: Sizes, _size: int) -> int:
    """What the group of a physical volume can lose, if it has no other."""
    group = _group(item, sizes)
    return _group_spare(sizes, group) if group and len(group.needs) == 1 else 0


def shrink(item: Item, sizes: Sizes, amount: int) -> None:
    """Take it from the group of a physical volume."""
    if group := _group(item, sizes):
        _shrink_group(sizes, group, amount)


def _group(item: Item, sizes: Sizes) -> VolumeGroup | None:
    return next((group for group in sizes.on(item.id) if isinstance(group, VolumeGroup)), None)


def _group_spare(sizes: Sizes, group: VolumeGroup) -> int:
    """What a volume group on one physical volume can lose: its free extents, and what one volume can."""
    volume = _shrinkable(sizes, group)
    spare = sizes.spare(volume.id, volume.size) if volume else 0
    return (_free(sizes, group) + spare) // group.extent_size * group.extent_size


def _free(sizes: Sizes, group: VolumeGroup) -> int:
    taken = sum(_extents(volume, group.extent_size) for volume in _volumes(sizes, group))
    return max(0, group.extents - taken) * group.extent_size


def _volumes(sizes: Sizes, group: VolumeGroup) -> Iterator[LogicalVolume]:
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


def _shrinkable(sizes: Sizes, group: VolumeGroup) -> LogicalVolume | None:
    """The plain volume that can lose most."""
    plain = [v for v in _volumes(sizes, group) if v.layout in ("linear", "striped")]
    return max(plain, key=lambda v: (sizes.spare(v.id, v.size), v.id), default=None)


def _shrink_group(sizes: Sizes, group: VolumeGroup, amount: int) -> None:
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
