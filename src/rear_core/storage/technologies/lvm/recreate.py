# SPDX-License-Identifier: GPL-3.0-or-later
"""LVM recreated: with the same names, UUIDs, sizes, kinds and places, by the tools that make it.

The recorded metadata is not restored, which would be unsound as soon as a disk differs. But LVM takes the UUIDs of
groups and volumes from metadata alone, so they are put into that of what was made (vgcfgbackup(8), vgcfgrestore(8)).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import gcd

from rear_core.storage.command import Command, Site, zeros
from rear_core.storage.disk import BLANK, sector_size
from rear_core.storage.kinds import StorageKind
from rear_core.storage.layout import Item

from . import running
from .capture import capture, contents, within
from .items import LogicalVolume, PhysicalVolume, VolumeGroup
from .parts import CACHED, Part, Segment

# What a volume can be made of besides RAID, and what only a volume as a whole can be.
PLAIN = ("linear", "striped", "mirror")
LAYERS = ("thin", "thin-pool", "cache-pool", *CACHED)


def recreate(item: Item, site: Site) -> Iterator[Command]:
    """The commands that make an item of LVM."""
    if isinstance(item, PhysicalVolume):
        yield from _physical_volume(item, site)
    elif isinstance(item, VolumeGroup):
        # With all its volumes, as nothing may use one of them yet when they get their UUIDs.
        ordered = (volume for volume in site.layout.order() if isinstance(volume, LogicalVolume))
        volumes = [volume for volume in ordered if volume.group == item.name]
        yield from _volume_group(item, site)
        for volume in volumes:
            yield from _logical_volume(volume, item, site)
        for need in item.needs:
            if not getattr(site.item(need), "allocatable", True):
                closed = ("lvm", "pvchange", "--allocatable=n", site.device(need))
                yield Command(closed, f"forbid new extents on {site.item(need)}")
        yield from _identity(item, volumes)
        yield from _started_by_hand(item, volumes)
        marks = {word for other in site.layout for word in getattr(other, "marks", ())}
        for volume in volumes:
            is_active = not (volume.read_only or volume.skip_activation)
            if volume.is_plain and is_active and f"{BLANK}{volume.device}" in marks:
                yield zeros(site.device(volume.id), volume.size)


def refuses(item: Item, _site: Site) -> Iterator[str]:
    """Volumes of kinds that cannot be made here, or whose parts are not as they are made here."""
    if isinstance(item, LogicalVolume):
        whole = {segment.kind for segment in item.segments if segment.kind not in LAYERS}
        parts = {segment.kind for part in item.parts for segment in part.segments}
        unknown = sorted(kind for kind in whole | parts if kind not in PLAIN and not kind.startswith("raid"))
        if unknown:
            yield f"rear cannot recreate a volume of this kind ({', '.join(unknown)})"
        if any(not part.segments for part in item.parts):
            yield "rear does not know which parts it consists of"


def notes(item: Item, _site: Site) -> Iterator[str]:
    """What will not be as it was."""
    if isinstance(item, PhysicalVolume) and item.ignored_areas:
        yield "LVM kept no metadata on it, and does now: undo that with `pvchange --metadataignore=y`"
    if isinstance(item, VolumeGroup):
        if item.exported:
            yield "it was exported and is no longer: undo that with `vgexport`"
        if item.metadata_copies:
            number = f"--vgmetadatacopies={item.metadata_copies}"
            yield f"its metadata are on all disks, no longer on a few: set that with `vgchange {number}`"
        if item.lock_type not in ("", "none"):
            yield f"it was shared (lock type {item.lock_type}), now it is for one machine: see `vgchange --lock-type`"
        if item.system_id:
            yield f"it may lack its system ID {item.system_id} or have another one: set it with `vgchange --systemid`"
    if isinstance(item, LogicalVolume):
        if item.skip_activation and not item.origin:
            yield "its activation is no longer skipped: restore that with `lvchange --setactivationskip=y`"
        if item.read_only:
            yield "it was read-only and is now writable, for the restore: undo that with `lvchange --permission=r`"
        if item.minor >= 0:
            number = f"--persistent=y --minor={item.minor}"
            yield f"its device no longer has a number of its own: restore that with `lvchange {number}`"
        if any(segment.log == "mirrored" for segment in item.segments):
            yield "the log of this mirror was a mirror, which LVM no longer creates: it is on one disk now"
        if item.origin:
            yield f"it is created as a separate thin volume, no longer as a snapshot of {item.origin}"


def _physical_volume(item: PhysicalVolume, site: Site) -> Iterator[Command]:
    device = site.device(item.id)
    options = [f"--uuid={item.uuid}", "--norestorefile", f"--metadatacopies={item.metadata_areas}"]
    options += [f"--metadatasize={item.metadata_size}b"] * bool(item.metadata_size)
    # Both areas are rounded up to the alignment: with the place of the first extent they would be of that size.
    alignment = gcd(item.boot_area_start, item.data_start) if item.boot_area_size else item.data_start
    options += [f"--dataalignment={alignment}b"] * bool(alignment)
    options += [f"--bootloaderareasize={item.boot_area_size}b"] * bool(item.boot_area_size)
    yield Command(
        ("lvm", "pvcreate", "--yes", *options, device),
        f"create {item.noun} {item.uuid}",
        destroys=f"everything on {device}",
        devices=(device,),
    )


def _volume_group(item: VolumeGroup, site: Site) -> Iterator[Command]:
    options = [f"--physicalextentsize={item.extent_size}b", f"--alloc={item.allocation}"]
    options += [f"--maxlogicalvolumes={item.max_logical_volumes}"] * bool(item.max_logical_volumes)
    options += [f"--maxphysicalvolumes={item.max_physical_volumes}"] * bool(item.max_physical_volumes)
    options += [f"--addtag={tag}" for tag in item.tags]
    # LVM refuses disks whose sectors have different sizes, which only file systems mind that were there before.
    mixed = len({sector_size(site, need) for need in item.needs}) > 1
    options += ["--config=devices/allow_mixed_block_sizes=1"] * mixed
    volumes = [site.device(need) for need in item.needs]
    yield Command(("lvm", "vgcreate", *options, item.name, *volumes), f"create {item.noun} {item.name}")
    for need in item.needs:
        volume = site.item(need)
        if isinstance(volume, PhysicalVolume) and volume.tags:
            tags = [f"--addtag={tag}" for tag in volume.tags]
            yield Command(("lvm", "pvchange", *tags, site.device(need)), f"tag {volume}")


def _started_by_hand(group: VolumeGroup, volumes: Sequence[LogicalVolume]) -> Iterator[Command]:
    """What nothing is to start by itself: a cluster would have it on two machines at once."""
    if group.by_hand:
        yield Command(("lvm", "vgchange", "--setautoactivation=n", group.name), f"leave {group} to be started by hand")
    for volume in volumes:
        if volume.by_hand:
            name = f"{group.name}/{volume.name}"
            yield Command(("lvm", "lvchange", "--setautoactivation=n", name), f"leave {volume} to be started by hand")


def _identity(group: VolumeGroup, volumes: Sequence[LogicalVolume]) -> Iterator[Command]:
    """The UUIDs that a group and its volumes had: LVM chooses new ones for what it makes."""
    metadata = f"/run/rear-{group.name}.lvm"
    # A level of its text format is indented by one tab. Of the characters in names the dot alone means more to sed.
    edits = [rf'/^{_literal(group.name)} {{/,/^}}/s/^\tid = .*/\tid = "{group.uuid}"/']
    edits += [
        rf"/^\tlogical_volumes {{/,/^\t}}/{{/^\t\t{_literal(volume.name)} {{/,/^\t\t}}/"
        rf's/^\t\t\tid = .*/\t\t\tid = "{volume.uuid}"/}}'
        for volume in volumes
    ]
    forced = ["--force"] if any(volume.layout.startswith("thin") for volume in volumes) else []
    yield Command(("lvm", "vgchange", "--activate=n", group.name), f"stop {group.noun} {group.name}")
    backup = ("lvm", "vgcfgbackup", f"--file={metadata}", group.name)
    yield Command(backup, f"read the metadata of {group.noun} {group.name}")
    edit = ("sed", "--in-place", "--file=/dev/stdin", metadata)
    yield Command(edit, f"set the recorded UUIDs of {group.noun} {group.name}", input="\n".join(edits) + "\n")
    restore = ("lvm", "vgcfgrestore", "--yes", *forced, f"--file={metadata}", group.name)
    yield Command(restore, f"write the metadata of {group.noun} {group.name}")
    yield Command(("lvm", "vgchange", "--activate=y", group.name), f"start {group.noun} {group.name}")


def _literal(name: str) -> str:
    return name.replace(".", r"\.")


def _logical_volume(item: LogicalVolume, group: VolumeGroup, site: Site) -> Iterator[Command]:
    name = f"{item.group}/{item.name}"
    # LVM reports bytes and takes sectors.
    options = [f"--readahead={int(item.read_ahead) >> 9}"] if item.read_ahead.isdigit() else []
    options += [f"--addtag={tag}" for tag in item.tags]
    options += [f"--alloc={item.allocation}"] * (item.allocation not in ("inherit", group.allocation))
    make = _Maker(group, site, placed=not site.is_resized(item.id))
    if item.pool:
        made = ("lvm", "lvcreate", "--yes", f"--name={item.name}")
        argv = (*made, "--type=thin", f"--virtualsize={item.size}b", f"--thinpool={item.pool}", *options, item.group)
        yield Command(argv, f"create {item.noun} {name} (thin)")
    elif item.parts:
        yield from _composed(item, make, options)
    else:
        yield from make.volume(item.name, item.size, item.segments, [*_pool(item), *options])
    if item.integrity:
        yield Command(("lvm", "lvconvert", "--yes", "--raidintegrity=y", name), f"add integrity data to {name}")


def _composed(item: LogicalVolume, make: _Maker, options: list[str]) -> Iterator[Command]:
    """Make the hidden volumes of a pool or a cached volume under names of their own, then join them."""
    parts = {part.role: part for part in item.parts}
    name, convert = f"{item.group}/{item.name}", ("lvm", "lvconvert", "--yes")
    if "origin" not in parts:
        yield from make.part(parts["data"], item.name, options)
        yield from make.part(parts["metadata"], f"{item.name}_meta", [])
        kind = item.segments[0].kind
        argv = (*convert, f"--type={kind}", f"--poolmetadata={item.group}/{item.name}_meta", *_pool(item), name)
        yield Command(argv, f"convert {name} to a {kind}")
        return
    yield from make.part(parts["origin"], item.name, options)
    chunk = [f"--chunksize={item.segments[0].chunk_size}b"] * bool(item.segments[0].chunk_size)
    fast = f"{item.group}/{item.cache}"
    if "cache" in parts:
        yield from make.part(parts["cache"], item.cache, [])
        # It is not attached while it is in use.
        yield Command(("lvm", "lvchange", "--activate=n", fast), f"stop {fast}")
        attached = [f"--cachevol={item.cache}", *chunk]
    else:
        yield from make.part(parts["cache data"], item.cache, [])
        yield from make.part(parts["cache metadata"], f"{item.cache}_meta", [])
        pool = ("--type=cache-pool", f"--poolmetadata={fast}_meta", *chunk, fast)
        yield Command((*convert, *pool), f"convert {fast} to a cache pool")
        attached = [f"--cachepool={item.cache}"]
    attached += [f"--cachemode={item.cache_mode}"] * bool(item.cache_mode)
    attached += [f"--cachepolicy={item.cache_policy}"] * bool(item.cache_policy)
    attached += [f"--cachesettings={item.cache_settings}"] * bool(item.cache_settings)
    argv = (*convert, f"--type={item.segments[0].kind}", *attached, name)
    yield Command(argv, f"cache {name} with {fast}")


@dataclass(frozen=True)
class _Maker:
    """Makes the volumes of a group, at their old places where these are as they were (`placed`)."""

    group: VolumeGroup
    site: Site
    placed: bool

    def part(self, part: Part, name: str, options: list[str]) -> Iterator[Command]:
        """A volume that will be a part of another one."""
        return self.volume(name, part.size, part.segments, options)

    def volume(self, name: str, size: int, segments: Sequence[Segment], options: Sequence[str]) -> Iterator[Command]:
        """A volume with its segments."""
        first, *more = segments
        if not self.placed:
            # The extents are not what they were: one segment of the first one's kind takes what is free.
            first, more = replace(first, start=0, size=size, ranges=()), []
        extent, full = self.group.extent_size, f"{self.group.name}/{name}"
        argv = (
            "lvm", "lvcreate", "--yes", f"--name={name}", *_kind(first), *_wiped(first),
            f"--extents={first.size // extent}", *options, self.group.name,
            *(_places(first, self.site) if self.placed else ()),
        )  # fmt: skip
        yield Command(argv, f"create {LogicalVolume.noun} {full} ({first.kind})")
        for segment in more:
            extend = ("lvm", "lvextend", *_stripes(segment), f"--extents=+{segment.size // extent}", full)
            reason = f"extend {LogicalVolume.noun} {full} ({segment.kind})"
            yield Command((*extend, *_places(segment, self.site)), reason)


def _wiped(segment: Segment) -> Iterator[str]:
    """Whatever lay on these extents before must not be found; thin pools refuse to be asked, and give out zeros."""
    if segment.kind != "thin-pool":
        yield "--wipesignatures=y"


def _pool(item: LogicalVolume) -> Iterator[str]:
    """The options of a pool."""
    first = item.segments[0]
    if first.kind == "thin-pool":
        yield from [] if item.parts else [f"--poolmetadatasize={item.metadata_size}b"]
        yield f"--chunksize={first.chunk_size}b"
        yield f"--discards={item.discards or 'passdown'}"
        yield f"--zero={'y' if item.zero else 'n'}"
    elif first.kind == "cache-pool":
        yield f"--chunksize={first.chunk_size}b"


def _kind(segment: Segment) -> Iterator[str]:
    """The options that say how a volume is laid out over its physical volumes."""
    yield f"--type={segment.kind}"
    if segment.kind in ("raid1", "mirror"):
        yield f"--mirrors={(segment.copies if segment.copies > 1 else segment.stripes) - 1}"
        yield from ["--mirrorlog=core"] * (segment.log == "core")
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


KIND = StorageKind(
    "lvm", (PhysicalVolume, VolumeGroup, LogicalVolume), capture, contents, recreate=recreate,
    refuses=refuses, notes=notes, start=running.start, read_only=running.read_only, stop=running.stop,
    appear=running.appear, configure=running.configure, words=running.words, within=within,
    exclusive=(PhysicalVolume, VolumeGroup), signatures=("LVM2_member",),
)  # fmt: skip
