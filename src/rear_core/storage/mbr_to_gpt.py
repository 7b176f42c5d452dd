# SPDX-License-Identifier: GPL-3.0-or-later
"""A GPT in the place of an MBR, which reaches no more than 2 TiB of a disk with sectors of 512 bytes.

Partitions keep their numbers and places, and so their names; logical ones are partitions as all others then. What an
MBR identifies by the number of its disk gets UUIDs, always the same ones for the same MBR.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from .disk import EXTENDED, Disk, Partition, PartitionTable, first_sector, tail_sectors
from .layout import Item, Layout, make
from .sectors import MBR_SECTORS

# Types of a GPT by those of an MBR (UEFI Specification 2.10, 5.3.3; discoverable partitions of systemd; fdisk(8)).
LINUX, DATA = "0fc63daf-8483-4772-8e79-3d69d8477de4", "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7"
CODES = {
    "83": LINUX, "82": "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f", "8e": "e6d6d379-f507-44c2-a23c-238f2a3df928",
    "fd": "a19d880f-05fc-4d3b-a006-743f0f84911e", "ef": "c12a7328-f81f-11d2-ba4b-00a0c93ec93b",
    "41": "9e1a2d38-c612-4316-aa26-8b49521e5a8b", "da": LINUX,
    **dict.fromkeys(("1", "4", "6", "7", "b", "c", "e"), DATA),
}  # fmt: skip
# What an active partition is in a GPT.
BOOTABLE = "LegacyBIOSBootable"


@dataclass(frozen=True)
class Converted:
    """A layout with other partition tables; `identifiers` are the new ones of tables and partitions by the old ones.

    Their ids stay; `ids` are these by those that a description of what was made has.
    """

    layout: Layout
    identifiers: Mapping[str, str] = field(default_factory=dict)
    ids: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def too_large(layout: Layout, sizes: Mapping[str, int]) -> list[PartitionTable]:
    """The MBRs that do not reach the ends of disks of these sizes, by their ids."""
    disks = {disk.id: disk for disk in layout.of(Disk)}
    return [
        table
        for table in layout.of(PartitionTable)
        for disk in [disks.get(table.needs[0])]
        if table.label == "dos" and disk and sizes.get(disk.id, 0) > MBR_SECTORS * disk.logical_sector_size
    ]


def convert(layout: Layout, tables: Collection[PartitionTable], sizes: Mapping[str, int]) -> Converted:
    """The layout with a GPT in the place of each of these, on disks of these sizes."""
    found = Converted(layout)
    for table in tables:
        found = _convert(found, table, sizes[table.needs[0]])
    return found


def _convert(before: Converted, table: PartitionTable, size: int) -> Converted:
    layout, changed, ids = before.layout, dict(before.identifiers), dict(before.ids)
    partitions = [item for item in layout.of(Partition) if table.id in item.needs]
    extended = {item.id for item in partitions if item.code in EXTENDED}
    problems = [
        f"{item} has the type {item.code}, for which there is none in a GPT"
        for item in partitions
        if item.id not in extended and item.code not in CODES
    ]
    new = _uuid(table, "")
    changed |= {table.uuid: new} if table.uuid else {}
    ids[f"table:{new}"] = table.id
    items: dict[str, Item] = {item.id: item for item in layout if item.id not in extended}
    gpt, sector = replace(table, label="gpt", uuid=new), table.sector_size
    last = size // sector - 1 - tail_sectors(gpt, sector)
    items[table.id] = replace(gpt, first_lba=first_sector(gpt, sector), last_lba=last)
    for item in partitions if not problems else ():
        if item.id in extended:
            continue
        own = _uuid(table, str(item.number))
        changed |= {item.uuid: own} if item.uuid else {}
        ids[f"partition:{own}"] = item.id
        items[item.id] = replace(
            item, needs=(table.id,), code=CODES[item.code], uuid=own, bootable=False,
            attributes=BOOTABLE if item.bootable else "",
        )  # fmt: skip
    disk = layout[table.needs[0]]
    note = f"{disk} gets a GPT in the place of its MBR, which does not reach its end: the ids of its partitions change"
    made = layout if problems else make(items.values(), layout.left_out)
    return Converted(made, changed, ids, (*before.problems, *problems), (*before.notes, note))


def _uuid(table: PartitionTable, part: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{table.id} {table.uuid} {part}"))
