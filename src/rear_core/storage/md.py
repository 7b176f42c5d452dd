# SPDX-License-Identifier: GPL-3.0-or-later
"""Software RAID by md: levels 0, 1, 4, 5, 6 and 10, linear, and their spares."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ..rescue.contents import Contents
from . import md_references
from .command import Command, Site
from .disk import sector_size
from .execute import is_block_device
from .inventory import Device
from .kinds import Starting, StorageKind
from .layout import Item, Layout
from .survey import Survey

if TYPE_CHECKING:
    from .exclusions import Exclusions
    from .resize import Sizes

# How lsblk calls what runs: raid1, linear, md for one that is idle.
RUNNING = ("raid", "linear", "md", "container")


@dataclass(frozen=True)
class Array(Item):
    """An md array. `needs` are its members in the order of their roles, then the spares, then its journal.

    `chunk`, `component_size`, `data_offset` and `bitmap_chunk` are bytes, 0 where the level or metadata has none.
    `missing` are the roles nobody fills now: a degraded array is recreated complete. `write_mostly` and
    `failfast` are the roles with these flags.
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
        data_offset=_data_offset(survey, next(iter(active.values()), "")),
        spares=len(spares),
        missing=missing,
        bitmap=detail.get("Intent Bitmap", "").lower(),
        consistency=detail.get("Consistency Policy", ""),
        bitmap_chunk=_bitmap_chunk(survey, device) if "Intent Bitmap" in detail else 0,
        write_mostly=tuple(role for role in sorted(active) if "writemostly" in flags.get(active[role], ())),
        failfast=tuple(role for role in sorted(active) if "failfast" in flags.get(active[role], ())),
        journal=bool(journal),
    )


def _bitmap_chunk(survey: Survey, device: Device) -> int:
    """What a bit of the bitmap stands for; mdadm itself prints it rounded."""
    text = survey.file(f"/sys/block/{device.kernel_name}/md/bitmap/chunksize").strip()
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


def _data_offset(survey: Survey, member: str) -> int:
    """`Data Offset : 4096 sectors` of `mdadm --examine`; without it the array may turn out smaller than it
    was."""
    if not member:
        return 0
    lost = f"the data offset of the array on {member} is unknown; the new array may be a little smaller"
    offset = read_detail(survey.ask("mdadm", "--examine", member, lost=lost)).get("Data Offset", "")
    return _number(offset) * 512


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


def recreate(item: Array, site: Site) -> Iterator[Command]:
    """Create the array; it synchronizes its members while the recovery goes on.

    The members of a new array differ wherever nothing was written yet, so that it is never said to be clean.
    """
    host, _, name = item.name.rpartition(":")
    devices = tuple(site.device(need) for need in item.needs)
    same_size = not any(site.is_resized(need) for need in item.needs)
    # In larger sectors a member can have some bytes less.
    sector = sector_size(site, item.id)
    size = item.component_size // sector * sector
    options = [
        f"--metadata={item.metadata}",
        f"--level={item.level}",
        # One is taken for a mistake, and has to be allowed before it is named.
        *["--force"] * (item.members == 1),
        f"--raid-devices={item.members}",
        f"--uuid={item.uuid}",
    ]
    if item.metadata != "0.90":
        options += [f"--homehost={host or 'any'}", f"--name={name}"] if name else []
        if same_size and item.data_offset and item.metadata not in ("1.0",):
            options.append(f"--data-offset={item.data_offset >> 10}")
    if same_size and size and item.level not in ("raid0", "linear"):
        options.append(f"--size={size >> 10}")
    options += [f"--spare-devices={item.spares}"] * bool(item.spares)
    options += [f"--chunk={item.chunk >> 10}"] * bool(item.chunk)
    options += [f"--layout={_layout(item)}"] * bool(_layout(item))
    if item.journal:
        options.append(f"--write-journal={devices[-1]}")
    elif item.consistency == "ppl":
        options.append("--consistency-policy=ppl")
    elif item.level not in ("raid0", "linear"):
        internal = item.bitmap.startswith("internal")
        options.append(f"--bitmap={'internal' if internal else 'none'}")
        options += [f"--bitmap-chunk={item.bitmap_chunk >> 10}"] * (internal and same_size and bool(item.bitmap_chunk))
    options += ["--failfast"] * (len(item.failfast) == item.members)
    array = site.device(item.id)
    yield Command(
        ("mdadm", "--create", array, "--run", *options, *_members(item, devices)),
        f"create {item.noun} {array} ({item.level})",
        destroys=f"everything on {', '.join(devices)}",
        devices=devices,
    )
    yield Command(("udevadm", "settle", "--timeout=60"), f"wait for {array}")


def _members(item: Array, devices: tuple[str, ...]) -> Iterator[str]:
    """The members by their roles, and the spares; the flag holds for all that come after it."""
    places = iter(devices[: len(devices) - item.journal])
    for role in range(item.members):
        if item.write_mostly[:1] == (role,) and _can_flag(item):
            yield "--write-mostly"
        yield "missing" if role in item.missing else next(places)
    yield from places


def _can_flag(item: Array) -> bool:
    """Whether nothing comes after the members that are write-mostly."""
    last = tuple(role for role in range(item.write_mostly[0], item.members) if role not in item.missing)
    return not item.spares and last == item.write_mostly


def start(item: Array, starting: Starting) -> None:
    """Assemble the array; it is no failure that it runs already."""
    starting.tell(f"assemble {item}")
    starting.sh.run("mdadm", "--assemble", "--scan", f"--uuid={item.uuid}", ok=(0, 1, 2))


def read_only(item: Array) -> tuple[list[str], list[str]] | None:
    """Assemble it so that it does not even count that it was started."""
    link = f"/dev/disk/by-id/md-uuid-{item.uuid}"
    argv = ["mdadm", "--assemble", "--readonly", "--scan", f"--uuid={item.uuid}"]
    return None if is_block_device(link) else (argv, ["mdadm", "--stop", link])


def stop(device: Device) -> Command | None:
    """Arrays, and the containers of those of firmware."""
    if not device.type.startswith(RUNNING):
        return None
    return Command(("mdadm", "--stop", device.path), f"stop the array {device.path}")


def refuses(item: Array, _site: Site) -> Iterator[str]:
    """Arrays whose metadata belong to the firmware, or to a cluster."""
    if not re.fullmatch(r"0\.90|1(\.\d)?|", item.metadata):
        yield f"rear cannot recreate an array of firmware RAID ({item.metadata})"
    if "cluster" in item.bitmap:
        yield "rear cannot recreate an array that a cluster shares"


def lacking(item: Array, gone: Collection[str]) -> Array | None:
    """The array degraded, its spares in the places of members; None where more are gone than its level survives,
    whichever they are."""
    roles = [role for role in range(item.members) if role not in item.missing]
    others = list(item.needs[len(roles) :])
    journal = [others.pop()] if item.journal else []
    spares = [need for need in others if need not in gone]
    members: dict[int, str] = {}
    for role, need in zip(roles, item.needs):
        if need not in gone:
            members[role] = need
        elif spares:
            members[role] = spares.pop(0)
    copies = int(_layout(item)[1:]) if item.level == "raid10" else 0
    survives = {"raid1": item.members - 1, "raid4": 1, "raid5": 1, "raid6": 2, "raid10": copies - 1}
    missing = tuple(role for role in range(item.members) if role not in members)
    if len(missing) > survives.get(item.level, 0):
        return None
    journal = [need for need in journal if need not in gone]
    needs = (*(members[role] for role in sorted(members)), *spares, *journal)
    return replace(item, needs=needs, missing=missing, spares=len(spares), journal=bool(journal))


def notes(item: Array, _site: Site) -> Iterator[str]:
    """What mdadm cannot be told when it makes an array."""
    if item.missing:
        roles = ", ".join(map(str, item.missing))
        yield f"it is created degraded, without the members {roles}; add them later with `mdadm --add`"
    if item.write_mostly and not _can_flag(item):
        yield f"members {', '.join(map(str, item.write_mostly))} were write-mostly: set that by hand"
    if item.failfast and len(item.failfast) < item.members:
        yield f"members {', '.join(map(str, item.failfast))} failed fast: set that by hand"
    if item.bitmap and not item.bitmap.startswith("internal"):
        yield f"its bitmap was the file {item.bitmap}; it is created without one"


def _layout(item: Array) -> str:
    """The word of `mdadm --create`: `near=1, far=2` of RAID 10 is f2; RAID 0 and 1 choose their own."""
    if item.level == "raid10":
        copies = dict(re.findall(r"(near|far|offset)=(\d+)", item.layout))
        word = max(copies, key=lambda word: int(copies[word]), default="near")
        return f"{word[0]}{copies.get(word, 2)}"
    return item.layout if item.level in ("raid5", "raid6") and not item.layout.startswith("-") else ""


KIND = StorageKind(
    "md", (Array,), capture, contents, recreate=recreate, refuses=refuses, notes=notes, lacking=lacking, start=start,
    read_only=read_only, stop=stop, naming_files=md_references.FILES, words=md_references.words,
)  # fmt: skip
