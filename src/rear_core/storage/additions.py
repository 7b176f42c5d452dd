# SPDX-License-Identifier: GPL-3.0-or-later
"""Partitions that a machine did not have: room for them at the end of a disk, or before its first partition."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from .disk import Disk, Partition, PartitionTable, first_sector
from .filesystem import FileSystem
from .kinds import StorageKind
from .layout import Item, Layout, make
from .mount import Mount
from .resize import MIB
from .sectors import MBR_SECTORS

# What alignment takes before and behind a partition.
SPARE = 2 * MIB
PRIMARY, MOST = 4, 128


@dataclass(frozen=True)
class Addition:
    """A partition for a table: `size` in bytes, `code` its type, `target` where the file system for firmware on it
    is mounted, "" for none.

    A small one without a file system can lie before the first partition, where its size is what room there is.
    """

    table: str
    size: int
    code: str
    noun: str
    target: str = ""

    def on(self, layout: Layout) -> tuple[PartitionTable, Disk]:
        """The table, and the disk that it is on."""
        table = next(item for item in layout.of(PartitionTable) if item.id == self.table)
        return table, next(item for item in layout.of(Disk) if item.id in table.needs)


def free_number(layout: Layout, table: PartitionTable) -> int:
    """The number that a new partition gets, 0 where the table has no place for one."""
    taken = {item.number for item in layout.of(Partition) if table.id in item.needs}
    most = PRIMARY if table.label == "dos" else table.entries or MOST
    return next((number for number in range(1, most + 1) if number not in taken), 0)


def room(layout: Layout, additions: Iterable[Addition], sizes: Mapping[str, int]) -> dict[str, int]:
    """What is left of disks of these sizes, by their ids, for all that was recorded."""
    left = dict(sizes)
    for addition in additions:
        table, disk = addition.on(layout)
        if not _gap(layout, addition):
            if table.label == "dos":
                left[disk.id] = min(left[disk.id], MBR_SECTORS * disk.logical_sector_size - MIB)
            left[disk.id] -= addition.size + SPARE
    return left


def add(layout: Layout, additions: Sequence[Addition], kinds: Sequence[StorageKind]) -> Layout:
    """The layout with these partitions, and what is on them."""
    for addition in additions:
        layout = _add(layout, addition, kinds)
    return layout


def _add(layout: Layout, addition: Addition, kinds: Sequence[StorageKind]) -> Layout:
    table, _ = addition.on(layout)
    number = free_number(layout, table)
    start, size = _gap(layout, addition) or (_end(layout, table), addition.size)
    known = uuid.uuid5(uuid.NAMESPACE_OID, f"{table.id} {addition.noun}")
    # The kernel makes this PARTUUID of the MBR's disk id and the number.
    own = f"{table.uuid[2:]}-{number:02x}" if table.label == "dos" else f"{known}"
    partition = Partition(
        f"partition:{own}", (table.id,), number, start, size, addition.code, min(start & -start, MIB), own,
    )  # fmt: skip
    added: list[Item] = [partition]
    if addition.target:
        volume = f"{known.hex[:4]}-{known.hex[4:8]}".upper()
        parents = map(str, PurePosixPath(addition.target).parents)
        above = next(mount for parent in parents for mount in layout.of(Mount) if mount.target == parent)
        filesystem = _for_firmware(kinds).new(f"fs:{volume}", partition.id, volume)
        mount = Mount(f"mount:{addition.target}", (filesystem.id, above.id), addition.target, filesystem.type)
        added += [filesystem, mount]
    changed = replace(table, first_lba=min(table.first_lba, start // table.sector_size))
    items = [changed if item.id == table.id else item for item in layout]
    return make([*items, *added], layout.left_out)


def _for_firmware(kinds: Sequence[StorageKind]) -> type[FileSystem]:
    return next(
        cls for kind in kinds for cls in kind.items if issubclass(cls, FileSystem) and cls.is_for_firmware
    )  # fmt: skip


def _gap(layout: Layout, addition: Addition) -> tuple[int, int] | None:
    """Start and size of the room before the first partition of a GPT, for what needs no more than that."""
    table, disk = addition.on(layout)
    if table.label != "gpt":
        return None
    sector = disk.logical_sector_size
    first = min((item.start for item in layout.of(Partition) if table.id in item.needs), default=MIB)
    start = first_sector(table, sector) * sector
    fits = addition.size <= MIB and first >= MIB and not addition.target
    return (start, MIB - start) if fits else None


def _end(layout: Layout, table: PartitionTable) -> int:
    """Where the partitions of a table end, at a whole MiB."""
    end = max((item.start + item.size for item in layout.of(Partition) if table.id in item.needs), default=0)
    return max(-(-end // MIB), 1) * MIB
