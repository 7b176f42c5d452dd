# SPDX-License-Identifier: GPL-3.0-or-later
"""Software RAID by md: levels 0, 1, 4, 5, 6 and 10, linear, and their spares."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from rear_core.contents import Contents
from rear_core.storage.inventory import Device
from rear_core.storage.layout import Item, Layout
from rear_core.storage.survey import Survey

if TYPE_CHECKING:
    from rear_core.storage.exclusions import Exclusions
    from rear_core.storage.resize import Sizes

# How lsblk calls what runs: raid1, linear, md for one that is idle.
RUNNING = ("raid", "linear", "md", "container")


@dataclass(frozen=True)
class Array(Item):
    """An md array. `needs` are its members in the order of their roles, then the spares, then its journal.

    `chunk`, `component_size`, `data_offset` and `bitmap_chunk` are bytes, 0 where the level or metadata has none.
    `missing` are the roles nobody fills now: a degraded array is recreated complete. `write_mostly` and
    `failfast` are the roles with these flags, `write_behind` is how many writes the former may lag behind. One that is
    `reshaping` is on its way from one geometry to another. Of `no_bad_block_log` only a note speaks.
    """

    type = "md"
    noun = "RAID array"
    dracut = "mdraid"
    starts_from_each = True

    level: str
    members: int
    metadata: str
    uuid: str
    name: str = ""
    device: str = field(default="", compare=False)
    size: int = 0
    chunk: int = 0
    layout: str = ""
    component_size: int = 0
    data_offset: int = 0
    spares: int = 0
    missing: tuple[int, ...] = field(default=(), compare=False)
    bitmap: str = ""
    consistency: str = ""
    bitmap_chunk: int = 0
    write_mostly: tuple[int, ...] = ()
    failfast: tuple[int, ...] = ()
    journal: bool = False
    write_behind: int = 0
    reshaping: bool = False
    no_bad_block_log: bool = field(default=False, compare=False)

    @property
    def begins(self) -> int:
        """Behind the metadata of each member."""
        return self.data_offset

    @property
    def modules(self) -> frozenset[str]:
        """The personality of its level."""
        return frozenset({"raid456" if self.level in ("raid4", "raid5", "raid6") else self.level})

    @property
    def identifiers(self) -> Mapping[str, str]:
        """Its UUID, of which configuration speaks in words of md's own."""
        return {"MD": self.uuid}

    @property
    def device_paths(self) -> frozenset[str]:
        """Its number, and its name without that of the machine."""
        name = self.name.rpartition(":")[2]
        return super().device_paths | ({f"/dev/md/{name}"} if name else set())

    def is_linked(self, name: str) -> bool:
        """By its UUID."""
        return name == f"md-uuid-{self.uuid}"

    def names(self) -> Iterator[str]:
        """/dev/md127, md127, and for one that has the name host:data, also data, md/data and /dev/md/data."""
        name = self.name.rpartition(":")[2]
        for path in (self.device, *([f"/dev/md/{name}"] if name else [])):
            yield from (path, path[len("/dev/") :])
        yield from filter(None, (self.name, name))

    def excluded_by(self, exclusions: Exclusions) -> str:
        """EXCLUDE_MD."""
        return "EXCLUDE_MD names it" if {*self.names()} & {*exclusions.arrays} else ""

    def setting_names(self) -> dict[str, list[str]]:
        """All of its names."""
        return {"EXCLUDE_MD": [*self.names()]}

    def any_size(self, sizes: Sizes) -> bool:
        """As what is on it."""
        return sizes.take_any_size(self.id)

    def named_beside(self, taken: Collection[str]) -> Array:
        """With its own number if that is free, or the highest one that is."""
        free = (f"/dev/md{number}" for number in range(127, -1, -1) if f"/dev/md{number}" not in taken)
        wanted = self.place("")
        return replace(self, device=wanted if wanted not in taken else next(free))

    def place(self, _below: str) -> str:
        """The same number as before; an array without a number of its own gets one counted from the top."""
        return self.device if re.fullmatch(r"/dev/md\d+", self.device) else "/dev/md127"


def capture(survey: Survey) -> Iterator[Item]:
    """The arrays that run; one that does not is named as left out by its members."""
    arrays = [d for d in survey.devices.values() if d.type.startswith(RUNNING)]
    exports = {device: read_export(survey, device) for device in arrays}
    for device, export in exports.items():
        kind = export.get("MD_METADATA", "")
        level = export.get("MD_LEVEL", "container")
        if kind[:1].isdigit() and (level == "container" or not device.size):
            reason = "a stopped array with missing members: `mdadm --run` starts it without them"
            survey.leave_out(device.path, reason, lost=True, on=device.parents, device=device.path)
            continue
        if level == "container":
            survey.leave_out(device.path, f"a container of firmware RAID ({kind}): the arrays in it are described")
            continue
        if "MD_CONTAINER" in export:
            # What metadata an array of firmware RAID has is said of its container alone.
            others = (e for d, e in exports.items() if d is not device and {*d.parents} & {*device.parents})
            kind = next((e["MD_METADATA"] for e in others if "MD_METADATA" in e), "firmware")
        with survey.reading(device.path, device.parents, device=device.path):
            yield _array(survey, device, {**export, "MD_METADATA": kind})
    for device in survey.of_type("dmraid"):
        # Without mdadm, device-mapper runs the arrays of firmware.
        id, members = f"md:{device.path}", device.parents
        yield Array(id, members, "dmraid", len(members), "dmraid", "", device=device.path)
    for device in survey.carrying("linux_raid_member"):
        if not device.children:
            reason = "member of a stopped array: `mdadm --assemble --scan` starts it"
            survey.leave_out(device.path, reason, lost=True, on=[device.path])


def read_export(survey: Survey, device: Device) -> dict[str, str]:
    """What mdadm says for programs.

    >>> sh.query("mdadm", "--detail", "--export", "/dev/md0")
    MD_LEVEL=raid1
    MD_DEVICES=2
    MD_METADATA=1.2
    MD_UUID=5d0b1c3f:6b3c1e34:0a6a0a9c:33bd9ac2
    MD_DEVNAME=data
    MD_NAME=lab:data
    MD_DEVICE_dev_vdb_ROLE=0
    MD_DEVICE_dev_vdb_DEV=/dev/vdb
    MD_DEVICE_dev_vdd_ROLE=spare
    MD_DEVICE_dev_vdd_DEV=/dev/vdd
    """
    text = survey.sh.query("mdadm", "--detail", "--export", device.path)
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def _array(survey: Survey, device: Device, export: dict[str, str]) -> Array:
    text = survey.sh.query("mdadm", "--detail", device.path)
    detail, flags = read_detail(text), read_flags(text)
    roles = {
        value: export[key[: -len("_DEV")] + "_ROLE"]
        for key, value in export.items()
        if key.startswith("MD_DEVICE_") and key.endswith("_DEV")
    }
    active = {int(role): path for path, role in roles.items() if role.isdigit()}
    # The journal counts as a spare there.
    journal = [path for path in roles if "journal" in flags.get(path, ())]
    spares = sorted(path for path, role in roles.items() if role == "spare" and path not in journal)
    members = int(export.get("MD_DEVICES", len(active)))
    missing = tuple(role for role in range(members) if role not in active)
    if missing:
        survey.warn(f"{device.path} is degraded: {len(missing)} of its {members} members are missing")
    chunk = re.match(r"(\d+)K", detail.get("Chunk Size", ""))
    uuid, metadata = export.get("MD_UUID", ""), export["MD_METADATA"]
    examined = _examine(survey, next(iter(active.values()), ""), metadata)
    return Array(
        id=f"md:{uuid or device.path}",
        needs=(*(active[role] for role in sorted(active)), *spares, *journal),
        level=export["MD_LEVEL"],
        members=members,
        metadata=metadata,
        uuid=uuid,
        # Metadata 0.90 has no name: the one that udev then makes up is another one next time.
        name="" if metadata == "0.90" else export.get("MD_NAME", export.get("MD_DEVNAME", "")),
        device=device.path,
        size=device.size,
        chunk=int(chunk.group(1)) << 10 if chunk else 0,
        layout=detail.get("Layout", ""),
        component_size=_number(detail.get("Used Dev Size", "")) << 10,
        data_offset=_number(examined.get("Data Offset", "")) * 512,
        spares=len(spares),
        missing=missing,
        bitmap=detail.get("Intent Bitmap", "").lower(),
        consistency=detail.get("Consistency Policy", ""),
        # What a bit of it stands for; mdadm itself prints that rounded.
        bitmap_chunk=_of_bitmap(survey, device, "chunksize") if "Intent Bitmap" in detail else 0,
        write_mostly=tuple(role for role in sorted(active) if "writemostly" in flags.get(active[role], ())),
        failfast=tuple(role for role in sorted(active) if "failfast" in flags.get(active[role], ())),
        journal=bool(journal),
        write_behind=_of_bitmap(survey, device, "backlog") if "Intent Bitmap" in detail else 0,
        # Before a grown array is copied there is no status yet.
        reshaping="Reshape Status" in detail or "Delta Devices" in detail,
        # That of 0.90 has none, and a new one neither.
        no_bad_block_log=metadata.startswith("1.") and bool(examined) and "Bad Block Log" not in examined,
    )


def _of_bitmap(survey: Survey, device: Device, name: str) -> int:
    """A number that the kernel has of a bitmap, 0 where it has none."""
    text = survey.file(f"/sys/block/{device.kernel_name}/md/bitmap/{name}").strip()
    return int(text) if text.isdigit() else 0


def read_flags(text: str) -> dict[str, tuple[str, ...]]:
    """The words about each member.

    >>> sh.query("mdadm", "--detail", "/dev/md0")
        Number   Major   Minor   RaidDevice State
           0       8        0        0      active sync failfast   /dev/sda
           1       8       16        1      active sync writemostly failfast   /dev/sdb
           3       8       48        -      journal   /dev/sdd
    """
    found = re.findall(r"^ +\d+ +\d+ +\d+ +[-\d]+ +(.*?) +(/dev/\S+)$", text, re.MULTILINE)
    return {path: tuple(words.split()) for words, path in found}


def read_detail(text: str) -> dict[str, str]:
    """The lines `Name : value`.

    >>> sh.query("mdadm", "--detail", "/dev/md0")
    /dev/md0:
               Version : 1.2
            Raid Level : raid5
            Array Size : 129024 (126.00 MiB 132.12 MB)
         Used Dev Size : 64512 (63.00 MiB 66.06 MB)
          Raid Devices : 3
         Intent Bitmap : Internal
                Layout : left-symmetric
            Chunk Size : 512K
    Consistency Policy : bitmap
    """
    pairs = (line.split(" : ", 1) for line in text.splitlines() if " : " in line)
    return {name.strip(): value.strip() for name, value in pairs}


def _examine(survey: Survey, member: str, metadata: str) -> dict[str, str]:
    """What the metadata on a member say of it; without its data offset the array may turn out smaller than it was.

    >>> sh.query("mdadm", "--examine", "--metadata=1.2", "/dev/vdb")
        Data Offset : 4096 sectors
      Bad Block Log : 512 entries available at offset 16 sectors
    """
    if not member:
        return {}
    # A member also has the metadata of an array that lies on this one, at its other end.
    kind = [f"--metadata={metadata}"] if metadata.startswith("1.") else []
    lost = f"the data offset of the array on {member} is unknown; the new array may be a little smaller"
    return read_detail(survey.ask("mdadm", "--examine", *kind, member, lost=lost))


def _number(text: str) -> int:
    """The number that a value begins with, 0 for `unknown` and others: an array is made as mdadm then chooses."""
    found = re.match(r"\d+", text)
    return int(found.group()) if found else 0


def contents(_layout: Layout) -> Contents:
    """mdadm and the personalities; which one an array wants is known when it is made."""
    return Contents(
        programs=["mdadm"],
        optional_programs=["mdmon"],
        modules=["md_mod", "linear", "raid0", "raid1", "raid10", "raid456"],
        files=["/etc/mdadm.conf", "/etc/mdadm/mdadm.conf", "/usr/lib/udev/rules.d/*-md-raid-*.rules"],
    )
