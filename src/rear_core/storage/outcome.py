# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares what was built with what was planned: new identifiers, and everything else that differs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from .btrfs import Btrfs, Subvolume
from .compare import compare
from .layout import Item, Layout, make
from .luks import Luks
from .lvm import LogicalVolume, VolumeGroup
from .lvm_parts import Segment
from .mount import Mount
from .swap import Swap, SwapFile
from .vfat import Fat

# What the configuration of the running system says; it is back when the files are.
OF_THE_SYSTEM = {
    Swap: ("fstab_spec", "fstab_options"),
    Luks: ("key_file", "crypttab_options"),
    # Set when the files are back, or by hand.
    Subvolume: ("read_only",),
    LogicalVolume: ("read_only",),
}

# Flags that Btrfs sets when something is first used.
BY_USE = ("BIG_METADATA", "COMPRESS_LZO", "COMPRESS_ZSTD", "DEFAULT_SUBVOL", "FREE_SPACE_TREE_VALID")

# mkfs.vfat ends a file system at a whole track, and the kernel has another opinion of tracks on each kind of bus.
TRACK = 64


def outcome(planned: Layout, now: Layout) -> tuple[dict[str, str], list[str]]:
    """The identifiers that changed, old to new, and what else differs, one line each."""
    identifiers: dict[str, str] = {}
    items: list[Item] = []
    for item in now:
        before = planned.get(item.id)
        if isinstance(item, (VolumeGroup, LogicalVolume)) and isinstance(before, type(item)):
            if before.uuid != item.uuid:
                identifiers[before.uuid] = item.uuid
            item = replace(item, uuid=before.uuid)
        if isinstance(item, Fat) and isinstance(before, Fat) and abs(item.sectors - before.sectors) < TRACK:
            item = replace(item, sectors=before.sectors)
        if isinstance(item, LogicalVolume) and isinstance(before, LogicalVolume):
            item = _same_places(item, before)
        items.append(item)
    wanted = [item for item in planned if not isinstance(item, (Mount, SwapFile))]
    known = {item.id for item in wanted}
    found = [item for item in items if item.id in known]
    return identifiers, compare(make(map(_bare, wanted)), make(map(_bare, found)))


def renamed(layout: Layout, names: Mapping[str, str]) -> Layout:
    """The layout with other ids for some items."""
    return make(
        (
            replace(item, id=names.get(item.id, item.id), needs=tuple(names.get(need, need) for need in item.needs))
            for item in layout
        ),
        layout.left_out,
    )


def _same_places(item: LogicalVolume, before: LogicalVolume) -> LogicalVolume:
    """Where the extents of a volume lie is LVM's affair, and so is that which of them a snapshot belongs to."""
    parts = item.parts
    if len(parts) == len(before.parts):
        pairs = zip(parts, before.parts)
        parts = tuple(replace(now, segments=_placed(now.segments, was.segments)) for now, was in pairs)
    return replace(item, segments=_placed(item.segments, before.segments), parts=parts, role=before.role)


def _placed(segments: tuple[Segment, ...], before: tuple[Segment, ...]) -> tuple[Segment, ...]:
    if len(segments) != len(before):
        return segments
    return tuple(replace(now, ranges=was.ranges) for now, was in zip(segments, before))


def _bare(item: Item) -> Item:
    """The item without what the configuration of the running system, or its files, add."""
    if isinstance(item, Btrfs):
        features = tuple(f for f in item.features if f not in BY_USE)
        return replace(item, features=features, ro_features=tuple(f for f in item.ro_features if f not in BY_USE))
    for kind, names in OF_THE_SYSTEM.items():
        if isinstance(item, kind):
            defaults: dict[str, Any] = {field.name: field.default for field in fields(item) if field.name in names}
            return replace(item, **defaults)
    return item
