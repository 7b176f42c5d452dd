# SPDX-License-Identifier: GPL-3.0-or-later
"""LVM made again: with the same names, UUIDs, sizes, kinds and places, by the tools that make it.

The recorded metadata is not restored, which would be unsound as soon as a disk differs. But LVM takes the UUIDs of
groups and volumes from metadata alone, so they are put into that of what was made (vgcfgbackup(8), vgcfgrestore(8)).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from .command import Command, Site
from .kinds import StorageKind
from .layout import Item
from .lvm import LogicalVolume, PhysicalVolume, Segment, VolumeGroup, capture, contents

# Fast storage that is attached to a volume: the volume itself is made, plain.
CACHED = ("cache", "writecache")


def recreate(item: Item, site: Site) -> Iterator[Command]:
    """The commands that make an item of LVM."""
    if isinstance(item, PhysicalVolume):
        yield from _physical_volume(item, site)
    elif isinstance(item, VolumeGroup):
        # With all its volumes, as nothing may use one of them yet when they get their UUIDs.
        ordered = (volume for volume in site.layout.order() if isinstance(volume, LogicalVolume))
        volumes = [volume for volume in ordered if volume.group == item.name and _is_made(volume)]
        yield from _volume_group(item, site)
        for volume in volumes:
            yield from _logical_volume(volume, item, site)
        yield from _identity(item, volumes)


def notes(item: Item, _site: Site) -> list[str]:
    """What will not be as it was."""
    if isinstance(item, LogicalVolume):
        if not _is_made(item):
            return ["it is a cache pool: it has to be made and attached again by hand"]
        if item.segments and item.segments[0].kind in CACHED:
            return ["it is made without its cache"]
        if item.read_only:
            return ["it was read-only, and must be written to now: `lvchange --permission=r` makes it so again"]
        if item.origin:
            return [f"it is made as a thin volume of its own, no longer as a snapshot of {item.origin}"]
    return []


def _is_made(item: LogicalVolume) -> bool:
    return "pool" not in item.layout.split(",") or "thin" in item.layout.split(",")


def _physical_volume(item: PhysicalVolume, site: Site) -> Iterator[Command]:
    device = site.device(item.id)
    options = [f"--uuid={item.uuid}", "--norestorefile", f"--metadatacopies={item.metadata_areas}"]
    options += [f"--metadatasize={item.metadata_size}b"] * bool(item.metadata_size)
    options += [f"--dataalignment={item.data_start}b"] * bool(item.data_start)
    options += [f"--bootloaderareasize={item.boot_area_size}b"] * bool(item.boot_area_size)
    yield Command(
        ("lvm", "pvcreate", "--yes", *options, device),
        f"make {item.noun} {item.uuid}",
        destroys=f"what lies on {device}",
        devices=(device,),
    )


def _volume_group(item: VolumeGroup, site: Site) -> Iterator[Command]:
    options = [f"--physicalextentsize={item.extent_size}b", f"--alloc={item.allocation}"]
    options += [f"--maxlogicalvolumes={item.max_logical_volumes}"] * bool(item.max_logical_volumes)
    options += [f"--maxphysicalvolumes={item.max_physical_volumes}"] * bool(item.max_physical_volumes)
    options += [f"--addtag={tag}" for tag in item.tags]
    volumes = [site.device(need) for need in item.needs]
    yield Command(("lvm", "vgcreate", *options, item.name, *volumes), f"make {item.noun} {item.name}")
    for need in item.needs:
        volume = site.item(need)
        if isinstance(volume, PhysicalVolume) and volume.tags:
            tags = [f"--addtag={tag}" for tag in volume.tags]
            yield Command(("lvm", "pvchange", *tags, site.device(need)), f"tag {volume}")


def _identity(group: VolumeGroup, volumes: Sequence[LogicalVolume]) -> Iterator[Command]:
    """The UUIDs that a group and its volumes had: LVM chooses new ones for what it makes."""
    metadata = f"/run/rear-{group.name}.lvm"
    # A level of its text format is indented by one tab. Of the characters in names the dot alone means more to sed.
    edits = [rf'/^{_literal(group.name)} {{/,/^}}/s/^\tid = .*/\tid = "{group.uuid}"/']
    edits += [
        rf'/^\tlogical_volumes {{/,/^\t}}/{{/^\t\t{_literal(volume.name)} {{/,/^\t\t}}/'
        rf's/^\t\t\tid = .*/\t\t\tid = "{volume.uuid}"/}}'
        for volume in volumes
    ]
    forced = ["--force"] if any(volume.layout.startswith("thin") for volume in volumes) else []
    yield Command(("lvm", "vgchange", "--activate=n", group.name), f"stop {group.noun} {group.name}")
    backup = ("lvm", "vgcfgbackup", f"--file={metadata}", group.name)
    yield Command(backup, f"read the metadata of {group.noun} {group.name}")
    edit = ("sed", "--in-place", "--file=/dev/stdin", metadata)
    yield Command(edit, f"put the UUIDs of {group.noun} {group.name} there", input="\n".join(edits) + "\n")
    restore = ("lvm", "vgcfgrestore", "--yes", *forced, f"--file={metadata}", group.name)
    yield Command(restore, f"write the metadata of {group.noun} {group.name}")
    yield Command(("lvm", "vgchange", "--activate=y", group.name), f"start {group.noun} {group.name}")


def _literal(name: str) -> str:
    return name.replace(".", r"\.")


def _logical_volume(item: LogicalVolume, group: VolumeGroup, site: Site) -> Iterator[Command]:
    name = f"{item.group}/{item.name}"
    made = ("lvm", "lvcreate", "--yes", f"--name={item.name}")
    # LVM reports bytes and is told sectors.
    options = [f"--readahead={int(item.read_ahead) >> 9}"] if item.read_ahead.isdigit() else []
    options += [f"--addtag={tag}" for tag in item.tags]
    options += [f"--alloc={item.allocation}"] * (item.allocation not in ("inherit", group.allocation))
    if item.pool:
        argv = (*made, "--type=thin", f"--virtualsize={item.size}b", f"--thinpool={item.pool}", *options, item.group)
        yield Command(argv, f"make {item.noun} {name} (thin)")
        return
    first, *more = item.segments
    placed = not site.is_resized(item.id)
    if not placed:
        # The extents are not what they were: one segment of the first one's kind takes what is free.
        first, more = _whole(first, item.size), []
    argv = (
        *made, *_kind(item, first), *_wiped(first), f"--extents={first.size // group.extent_size}", *options,
        item.group, *(_places(first, site) if placed else ()),
    )  # fmt: skip
    yield Command(argv, f"make {item.noun} {name} ({'linear' if first.kind in CACHED else first.kind})")
    for segment in more:
        extend = ("lvm", "lvextend", *_stripes(segment), f"--extents=+{segment.size // group.extent_size}", name)
        yield Command((*extend, *_places(segment, site)), f"extend {item.noun} {name} ({segment.kind})")


def _wiped(segment: Segment) -> Iterator[str]:
    """Whatever lay on these extents before must not be found; thin pools refuse to be asked, and give out zeros."""
    if segment.kind != "thin-pool":
        yield "--wipesignatures=y"


def _whole(segment: Segment, size: int) -> Segment:
    return replace(segment, start=0, size=size, ranges=())


def _kind(item: LogicalVolume, segment: Segment) -> Iterator[str]:
    """The options that say how a volume is laid out over its physical volumes."""
    if segment.kind in CACHED:
        yield "--type=linear"
        return
    yield f"--type={segment.kind}"
    if segment.kind == "thin-pool":
        yield f"--poolmetadatasize={item.metadata_size}b"
        yield f"--chunksize={segment.chunk_size}b"
        yield f"--discards={item.discards or 'passdown'}"
        yield f"--zero={'y' if item.zero else 'n'}"
    elif segment.kind in ("raid1", "mirror"):
        yield f"--mirrors={(segment.copies if segment.copies > 1 else segment.stripes) - 1}"
    elif segment.kind.startswith("raid10"):
        yield f"--mirrors={segment.copies - 1}"
        yield f"--stripes={segment.stripes // segment.copies}"
    elif segment.kind.startswith("raid"):
        yield f"--stripes={segment.stripes - segment.parity}"
    if segment.kind.startswith("raid") and segment.stripe_size:
        yield f"--stripesize={segment.stripe_size}b"
    if segment.region_size:
        yield f"--regionsize={segment.region_size}b"
    if segment.kind == "striped":
        yield from _stripes(segment)


def _stripes(segment: Segment) -> Iterator[str]:
    if segment.kind == "striped":
        yield f"--stripes={segment.stripes}"
        yield f"--stripesize={segment.stripe_size}b"
    elif segment.kind == "linear":
        yield "--type=linear"


def _places(segment: Segment, site: Site) -> Iterator[str]:
    """Where a segment lay: its extents; only the physical volumes for one whose parts need some of their own."""
    exact = segment.kind in ("linear", "striped")
    for extents in segment.ranges:
        uuid, _, range = extents.rpartition(":")
        if f"pv:{uuid}" in site.layout:
            yield site.device(f"pv:{uuid}") + (f":{range}" if exact else "")


KIND = StorageKind("lvm", (PhysicalVolume, VolumeGroup, LogicalVolume), capture, contents, recreate=recreate, notes=notes)
