# SPDX-License-Identifier: GPL-3.0-or-later
"""What LVM has: physical volumes, groups, logical volumes, and how they take to devices of other sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from rear_core.storage.layout import Item

from .parts import Part, Segment, placed

if TYPE_CHECKING:
    from rear_core.storage.exclusions import Exclusions
    from rear_core.storage.resize import Sizes

MIB = 1 << 20


@dataclass(frozen=True)
class PhysicalVolume(Item):
    """A physical volume; sizes are bytes. `data_start` is where the first extent begins."""

    type = "pv"
    noun = "physical volume"
    goes_with_contents = True

    uuid: str
    size: int = 0
    extents: int = 0
    data_start: int = 0
    metadata_size: int = 0
    metadata_areas: int = 1
    boot_area_start: int = 0
    boot_area_size: int = 0
    tags: tuple[str, ...] = ()
    allocatable: bool = True
    # Areas for metadata in which LVM keeps none.
    ignored_areas: int = 0

    @property
    def begins(self) -> int:
        """That of the first extent."""
        return self.data_start

    def component_names(self, below: str) -> list[str]:
        """As in `EXCLUDE_COMPONENTS=( pv:/dev/sda2 )`."""
        return [f"pv:{below}"]

    def any_size(self, _sizes: Sizes) -> bool:
        """It takes any device."""
        return True

    def fits(self, sizes: Sizes, size: int) -> bool:
        """Whether all its extents have their place."""
        group = self._group(sizes)
        return size - self.data_start >= self.extents * (group.extent_size if group else 1)

    def spare(self, sizes: Sizes, _size: int) -> int:
        """What its group can lose, if that has no other."""
        group = self._group(sizes)
        return _group_spare(sizes, group) if group and len(group.needs) == 1 else 0

    def shrink(self, sizes: Sizes, amount: int) -> None:
        """Free extents of its group go first, then what a plain volume can do without."""
        if group := self._group(sizes):
            _shrink_group(sizes, group, amount)

    def _group(self, sizes: Sizes) -> VolumeGroup | None:
        return next((group for group in sizes.on(self.id) if isinstance(group, VolumeGroup)), None)


@dataclass(frozen=True)
class VolumeGroup(Item):
    """A volume group on its physical volumes; `extent_size` is bytes."""

    type = "vg"
    noun = "volume group"
    renewed = ("uuid",)
    is_divided = True
    is_device = False

    name: str
    uuid: str
    extent_size: int
    extents: int = 0
    max_logical_volumes: int = 0
    max_physical_volumes: int = 0
    allocation: str = "normal"
    system_id: str = ""
    lock_type: str = ""
    # Nothing starts it by itself, as in a cluster.
    by_hand: bool = False
    exported: bool = False
    # 0 stands for those of all its physical volumes.
    metadata_copies: int = 0
    tags: tuple[str, ...] = ()

    def component_names(self, _below: str) -> list[str]:
        """Its folder, which is no device."""
        return [f"/dev/{self.name}"]

    def excluded_by(self, exclusions: Exclusions) -> str:
        """EXCLUDE_VG, or ONLY_INCLUDE_VG for all others."""
        names = {self.name, *self.component_names("")}
        if names.intersection(exclusions.groups):
            return "EXCLUDE_VG names it"
        if exclusions.only_groups and not names.intersection(exclusions.only_groups):
            return f"ONLY_INCLUDE_VG does not name {self.name}"
        return ""

    def setting_names(self) -> dict[str, list[str]]:
        """Its name, and that of its folder."""
        names = [self.name, *self.component_names("")]
        return {"EXCLUDE_VG": names, "ONLY_INCLUDE_VG": names}


@dataclass(frozen=True)
class LogicalVolume(Item):
    """A logical volume. `layout` is LVM's word list (linear, striped, raid,raid1, thin,pool ...); a thin
    volume needs its pool, a snapshot its origin; `metadata_size` is that of a pool. `cache` is the name of what a
    volume is cached by. A pool has `parts` where they are more than linear volumes."""

    type = "lv"
    noun = "logical volume"
    dracut = "lvm"
    # What is read-only is set so when the files are back, or by hand.
    configured = ("read_only",)
    renewed = ("uuid",)
    bounded = True

    group: str
    name: str
    uuid: str
    size: int
    layout: str
    device: str = field(default="", compare=False)
    role: str = field(default="", compare=False)
    segments: tuple[Segment, ...] = ()
    pool: str = ""
    origin: str = ""
    metadata_size: int = 0
    discards: str = ""
    zero: bool = False
    cache_mode: str = ""
    cache_policy: str = ""
    cache: str = ""
    cache_settings: str = ""
    integrity: bool = False
    parts: tuple[Part, ...] = ()
    read_only: bool = False
    allocation: str = "inherit"
    read_ahead: str = "auto"
    skip_activation: bool = False
    by_hand: bool = False
    # -1 is that of nobody's choice.
    minor: int = -1
    tags: tuple[str, ...] = ()

    @property
    def modules(self) -> frozenset[str]:
        """The targets of device-mapper that its layout takes."""
        words = set(self.layout.split(","))
        targets = {"thin": "dm_thin_pool", "raid": "dm_raid", "cache": "dm_cache"}
        return frozenset({"dm_mod"} | {target for word, target in targets.items() if word in words})

    def as_planned(self, planned: LogicalVolume) -> LogicalVolume:
        """Where its extents lie is LVM's affair, and so is that which of them a snapshot belongs to."""
        parts = self.parts
        if len(parts) == len(planned.parts):
            pairs = zip(parts, planned.parts)
            parts = tuple(replace(now, segments=placed(now.segments, was.segments)) for now, was in pairs)
        segments = placed(self.segments, planned.segments)
        return replace(super().as_planned(planned), segments=segments, parts=parts, role=planned.role)

    @property
    def flexible(self) -> bool:
        """Linear and striped volumes go first, to the extents they had; parts of the others have none recorded."""
        return any(segment.kind not in ("linear", "striped") for segment in self.segments)

    @property
    def is_plain(self) -> bool:
        """Whether all of it is linear or striped, so that starting it writes nothing."""
        return not self.flexible and not self.is_pool

    @property
    def may_be_blank(self) -> bool:
        """To start another one would write to it."""
        return self.is_plain

    @property
    def is_pool(self) -> bool:
        """Thin pools, and those for caches and VDO."""
        return "pool" in self.layout.split(",")

    @property
    def identifiers(self) -> Mapping[str, str]:
        """Its name, of which configuration speaks in words of LVM's own."""
        return {"LV": f"{self.group}/{self.name}"}

    @property
    def device_paths(self) -> frozenset[str]:
        """Its mapping, and the link in the folder of its group."""
        return super().device_paths | {f"/dev/{self.group}/{self.name}"}

    def component_names(self, _below: str) -> list[str]:
        """Its device, and the link that LVM makes to it."""
        return [self.device, f"/dev/{self.group}/{self.name}"]

    def place(self, _below: str) -> str:
        """As device-mapper names it, with hyphens doubled."""
        return "/dev/mapper/" + "-".join(name.replace("-", "--") for name in (self.group, self.name))


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
