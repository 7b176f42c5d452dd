# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks and their partition tables: MBR with logical partitions, and GPT."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..contents import Contents
from . import hybrid
from .command import Command, Site, zeros
from .inventory import Device, is_same_disk, partition_number
from .kinds import StorageKind
from .layout import Item, Layout
from .survey import Survey
from .tables import read_table

if TYPE_CHECKING:
    from typing_extensions import Self

    from .present import PresentDisk
    from .resize import Sizes

EXTENDED = ("5", "f", "85", "c5")
# Partitions without a file system that a boot loader is written to: BIOS boot of GPT, PReP of GPT and MBR.
BIOS_BOOT = "21686148-6449-6e6f-744e-656564454649"
BOOT_LOADERS = (BIOS_BOOT, "9e1a2d38-c612-4316-aa26-8b49521e5a8b", "41")
# How the marks of a disk begin that say which of its partitions are blank, or hold data without a signature.
BLANK, DATA = "blank/", "data/"


@dataclass(frozen=True)
class Disk(Item):
    """A disk. Sizes are bytes; `device`, `transport` and what else its place decides are no part of its
    identity. `marks` are those of all that was found on it, described or not."""

    type = "disk"
    noun = "disk"
    is_divided = True

    size: int
    device: str = field(default="", compare=False)
    model: str = ""
    vendor: str = ""
    serial: str = ""
    wwn: str = ""
    transport: str = field(default="", compare=False)
    rotational: bool = field(default=False, compare=False)
    logical_sector_size: int = 512
    physical_sector_size: int = 512
    minimum_io: int = field(default=0, compare=False)
    optimal_io: int = field(default=0, compare=False)
    alignment_offset: int = field(default=0, compare=False)
    marks: tuple[str, ...] = field(default=(), compare=False)

    def replaced_by(self, present: PresentDisk) -> Self:
        """A recorded disk as its successor is."""
        return replace(
            self,
            device=present.path,
            size=present.size,
            model=present.model,
            vendor=present.vendor,
            serial=present.serial,
            wwn=present.wwn,
            transport=present.transport,
            logical_sector_size=present.logical_sector_size,
            physical_sector_size=present.physical_sector_size,
        )

    def is_linked(self, name: str) -> bool:
        """Whether a name of udev ends in its serial number or WWN.

        ata-QEMU_HARDDISK_QM00001, wwn-0x5000c500a1b2c3d4, scsi-35000c500a1b2c3d4, nvme-eui.002538b121b0c0a5,
        nvme-Samsung_SSD_980_S64DNX0R_1, virtio-root.
        """
        serial = re.escape(re.sub(r"\s+", "_", self.serial.strip()))
        wwn = re.escape(self.wwn[2:] if self.wwn.startswith("0x") else self.wwn)
        by_serial = bool(serial) and bool(re.search(rf"[-_]{serial}(_\d+)?$", name))
        by_wwn = len(wwn) >= 8 and bool(re.search(f"{wwn}$", name))
        return by_serial or by_wwn or super().is_linked(name)


@dataclass(frozen=True)
class PartitionTable(Item):
    """A partition table. `first_lba` and `last_lba` bound what GPT partitions may use, in sectors of
    `sector_size`; `entries` is the number of places for them, 0 for the usual 128. `mbr_id` and `mbr` are the MBR
    before a GPT where it is not the usual one."""

    type = "partition table"
    noun = "partition table on"
    is_divided = True
    is_device = False

    label: str
    uuid: str = ""
    sector_size: int = 512
    first_lba: int = 0
    last_lba: int = 0
    entries: int = 0
    mbr_id: str = ""
    mbr: tuple[hybrid.MbrEntry, ...] = ()


@dataclass(frozen=True)
class Partition(Item):
    """A partition; `start` and `size` are bytes, `alignment` is the largest power of two, up to 1 MiB, that
    divides the start. `code` is the type: two hexadecimal digits (MBR) or a UUID (GPT). A logical partition
    needs the extended."""

    type = "partition"
    noun = "partition"
    bounded = True

    number: int
    start: int
    size: int
    code: str
    alignment: int = 0
    uuid: str = ""
    name: str = ""
    attributes: str = ""
    bootable: bool = False
    device: str = field(default="", compare=False)

    @property
    def identifiers(self) -> Mapping[str, str]:
        """Its own identifiers in the table."""
        return {"PARTUUID": self.uuid, "PARTLABEL": self.name}

    def fits(self, _sizes: Sizes, _size: int) -> bool:
        """Only an extended partition can be cut off, as its own end says nothing."""
        return self.code in EXTENDED

    def place(self, below: str) -> str:
        """The kernel's name: /dev/sda1, /dev/nvme0n1p1; on a multipath disk as udev named it before."""
        separator = "p" if below[-1:].isdigit() else ""
        if below.startswith("/dev/mapper/"):
            found = re.search(r"([-_]part|p?)\d+$", self.device)
            separator = found[1] if found and self.device.startswith("/dev/mapper/") else "-part"
        return f"{below}{separator}{self.number}"


def capture(survey: Survey) -> Iterator[Item]:
    """Each disk, with the partition table of whatever has one (an array can have one, too).

    Multipath disks, and the disks that are their paths, are left to `multipath.py`.
    """
    disks: list[Device] = []
    for device in survey.devices.values():
        if device.type == "mpath" or any(survey.devices[child].type == "mpath" for child in device.children):
            continue
        name = device.path
        if not device.parents:
            name = identity(survey, device)
            if other := next((disk for disk in disks if is_same_disk(disk, device)), None):
                survey.warn(
                    f"{other.path} and {device.path} are the same disk by their WWN and serial number, which a recovery"
                    " cannot create twice: start multipathd before rear describes the storage"
                )
            disks.append(device)
            yield _disk(device, f"disk:{name}")
        with survey.reading(f"partition table on {device.path}", [device.path]):
            yield from [*tables(survey, device, name)]


def identity(survey: Survey, device: Device) -> str:
    """WWN, else serial number, else the path."""
    return survey.identity(device.wwn or device.serial, device.path)


def _disk(device: Device, id: str) -> Disk:
    return Disk(
        id=id,
        needs=(),
        size=device.size,
        device=device.path,
        model=device.model,
        vendor=device.vendor,
        serial=device.serial,
        wwn=device.wwn,
        transport=device.transport,
        rotational=device.rotational,
        logical_sector_size=device.logical_sector_size,
        physical_sector_size=device.physical_sector_size,
        minimum_io=device.minimum_io,
        optimal_io=device.optimal_io,
        alignment_offset=device.alignment_offset,
    )


def tables(survey: Survey, device: Device, disk: str) -> Iterator[Item]:
    """The partition table of a device and its partitions, if it has one; `disk` names what has no UUID."""
    table = read_table(survey, device)
    if not table:
        return
    sector = int(table.get("sectorsize", device.logical_sector_size))
    uuid = str(table.get("id", "")).lower()
    name = survey.identity(uuid if uuid.strip("0x-") else "", disk)
    rows = table.get("partitions", ())
    places = {(row["start"], row["size"]): partition_number(row["node"], device.path) for row in rows}
    mbr_id, mbr = hybrid.read(survey, device, places) if table["label"] == "gpt" else ("", ())
    yield PartitionTable(
        id=f"table:{name}",
        needs=(device.path,),
        label=table["label"],
        uuid=uuid,
        sector_size=sector,
        first_lba=int(table.get("firstlba", 0)),
        last_lba=int(table.get("lastlba", 0)),
        entries=int(table.get("table-length", 0)),
        mbr_id=mbr_id,
        mbr=mbr,
    )
    extended: tuple[str, ...] = ()
    for row in rows:
        partition = _partition(survey, row, device.path, disk, uuid if table["label"] == "dos" else "", sector)
        needs: tuple[str, ...] = (f"table:{name}",)
        if table["label"] == "dos" and partition.number > 4:
            needs += extended
        elif partition.code in EXTENDED:
            extended = (partition.id,)
        yield replace(partition, needs=needs)


def _partition(survey: Survey, row: dict[str, Any], path: str, disk: str, mbr_id: str, sector: int) -> Partition:
    number = partition_number(row["node"], path)
    uuid = str(row.get("uuid", "")).lower()
    if mbr_id.strip("0x"):
        # The kernel makes this PARTUUID of the MBR's disk id and the number.
        uuid = f"{mbr_id[2:]}-{number:02x}"
    start = int(row["start"]) * sector
    return Partition(
        id=f"partition:{survey.identity(uuid, f'{disk}#{number}')}",
        needs=(),
        number=number,
        start=start,
        size=int(row["size"]) * sector,
        code=str(row["type"]).lower(),
        alignment=min(start & -start, 1 << 20),
        uuid=uuid,
        name=row.get("name", ""),
        attributes=row.get("attrs", ""),
        bootable=bool(row.get("bootable")),
        device=row["node"],
    )


def sector_size(site: Site, id: str) -> int:
    """The bytes of a logical sector of a device: the most that one of the disks below it has."""
    disks = (site.item(below) for below in site.below(id))
    return max((disk.logical_sector_size for disk in disks if isinstance(disk, Disk)), default=512)


def has_other_sectors(site: Site, id: str) -> bool:
    """Whether the sectors of a device had another size when its partitions were recorded."""
    tables = [table for below in site.below(id) if isinstance(table := site.item(below), PartitionTable)]
    return any(table.sector_size != sector_size(site, table.id) for table in tables)


def tail_sectors(table: PartitionTable, sector: int) -> int:
    """How many sectors a GPT takes at the end of its disk: a header, and 128 bytes for each entry."""
    return 1 - -(table.entries or 128) * 128 // sector if table.label == "gpt" else 0


def first_sector(table: PartitionTable, sector: int) -> int:
    """The first sector that partitions may use: before them lie the MBR, and what a GPT has at the end as well."""
    return 1 + tail_sectors(table, sector)


def contents(_layout: Layout) -> Contents:
    """What writes partition tables, and tells the kernel."""
    return Contents(
        programs=["sfdisk", "lsblk", "blkid", "wipefs", "blockdev", "udevadm", "cmp", "dd"],
        optional_programs=["partx", "sgdisk", "parted"],
    )


def recreate(item: Item, site: Site) -> Iterator[Command]:
    """A partition table with all its partitions, in one script; disks and partitions need nothing more."""
    if not isinstance(item, PartitionTable):
        return
    disk = site.device(item.id)
    command = ("sfdisk", "--wipe", "always", "--wipe-partitions", "always", disk)
    yield Command(
        command,
        f"create {item.noun} {disk}",
        destroys=f"all partitions on {disk}",
        input=script(item, site),
        devices=(disk,),
        trial=command if item.mbr and item.sector_size == 512 else (),
    )
    if item.mbr:
        nested = ("sfdisk", "--wipe", "never", "--label-nested", "dos", disk)
        reason = f"restore the hybrid MBR of {disk}"
        yield Command(nested, reason, input=_mbr(item, site), trial=nested if item.sector_size == 512 else ())
    yield Command(("udevadm", "settle", "--timeout=60"), f"wait for the partitions of {disk}")
    marks = getattr(site.item(item.needs[0]), "marks", ())
    for partition in site.layout:
        if isinstance(partition, Partition) and item.id in partition.needs and f"{BLANK}{partition.number}" in marks:
            yield zeros(site.device(partition.id), partition.size)


def script(table: PartitionTable, site: Site) -> str:
    """The input of sfdisk: the same identifiers, places, types and attributes.

    A disk with other sectors has the same bytes in other numbers.
    """
    sector = sector_size(site, table.id)
    lines = [f"label: {table.label}", *([f"label-id: {table.uuid}"] if table.uuid else []), "unit: sectors"]
    if table.label == "gpt" and sector == table.sector_size:
        lines += [f"first-lba: {table.first_lba}"] * bool(table.first_lba)
        lines += [f"last-lba: {table.last_lba}"] * bool(table.last_lba and table.needs[0] not in site.resized)
    if table.label == "gpt":
        lines += [f"table-length: {table.entries}"] * (table.entries not in (0, 128))
    partitions = [item for item in site.layout.of(Partition) if table.id in item.needs]
    if table.label == "gpt" and sector != table.sector_size and any(p.start < 1 << 20 for p in partitions):
        # sfdisk has the first one begin at 1 MiB.
        lines.append(f"first-lba: {first_sector(table, sector)}")
    if table.label == "dos" and any(partition.start % (1 << 20) for partition in partitions):
        # Sectors of old tables begin anywhere, and sfdisk would move the first usable one to 1 MiB.
        lines.append(f"grain: {sector}")
    lines.append("")
    for partition in sorted(partitions, key=lambda partition: partition.number):
        fields = [f"start={partition.start // sector}", f"size={partition.size // sector}", f"type={partition.code}"]
        fields += [f"uuid={partition.uuid}"] * (table.label == "gpt" and bool(partition.uuid))
        fields += [f"name={_quoted(partition.name)}"] * bool(partition.name)
        fields += [f"attrs={_quoted(partition.attributes)}"] * bool(partition.attributes)
        fields += ["bootable"] * partition.bootable
        lines.append(f"{partition.number} : " + ", ".join(fields))
    return "\n".join(lines) + "\n"


def _mbr(table: PartitionTable, site: Site) -> str:
    """The input of sfdisk for the MBR before a GPT."""
    sector = sector_size(site, table.id)
    partitions = [item for item in site.layout.of(Partition) if table.id in item.needs]
    places = {item.number: (item.start // sector, item.size // sector) for item in partitions}
    return hybrid.script(table.mbr_id, table.mbr, places, site.size(table.needs[0]) // sector)


def _quoted(text: str) -> str:
    """A string of sfdisk, which reads \\x22 as a quotation mark and \\x0a as an end of line: names may have both."""
    return '"' + re.sub(r'["\\\\$`\x01-\x1f\x7f]', lambda found: f"\\x{ord(found[0]):02x}", text) + '"'


def refuses(item: Item, site: Site) -> Iterator[str]:
    """An MBR before a GPT that counts in sectors of another size what no partition of the GPT is."""
    own = isinstance(item, PartitionTable) and any(entry.start > 1 and not entry.partition for entry in item.mbr)
    if own and has_other_sectors(site, item.id):
        yield "the hybrid MBR has partitions of its own, which rear cannot create with another sector size"


KIND = StorageKind("disk", (Disk, PartitionTable, Partition), capture, contents, recreate=recreate, refuses=refuses)
