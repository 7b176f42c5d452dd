# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a machine that one kind of firmware started can be started by the other: what its storage must have, and
what a recovery adds to it."""

from __future__ import annotations

from ..storage.additions import Addition, free_number
from ..storage.disk import BIOS_BOOT, Disk, Partition, PartitionTable
from ..storage.layout import Item, Layout, of_type
from ..storage.resize import MIB
from .loader import below_boot

# By the labels of partition tables; UEFI Specification 2.10, 5.2.2 (MBR) and 5.3.3 (GPT).
SYSTEM_PARTITION = {"dos": "ef", "gpt": "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"}
# Where a system partition is mounted that a machine did not have: FAT with 32 bits has this size with any sectors.
MOUNTPOINT, SYSTEM_SIZE = "/boot/efi", 300 * MIB


def missing(mode: str, layout: Layout) -> list[str]:
    """What the recorded storage lacks to be started by firmware of that kind, "bios" or "uefi"."""
    if mode == "uefi":
        there = any(_is_system_partition(layout, item) for item in layout)
        return [] if there else ["an EFI system partition"]
    return [
        f"a BIOS boot partition on {layout[table.needs[0]]}"
        for table in _tables_of_boot(layout)
        if table.label == "gpt" and BIOS_BOOT not in _codes(layout, table)
    ]


def additions(mode: str, layout: Layout) -> list[Addition]:
    """The partitions that a recovery adds for firmware of that kind; none where there is no place for all of them."""
    if not missing(mode, layout):
        return []
    tables = [table for table in _tables_of_boot(layout) if table.label in SYSTEM_PARTITION]
    with_place = [table for table in tables if free_number(layout, table)]
    if mode == "uefi":
        if f"mount:{MOUNTPOINT}" in layout:
            return []
        noun = f"an EFI system partition of {SYSTEM_SIZE // MIB} MiB is"
        return [Addition(table.id, SYSTEM_SIZE, SYSTEM_PARTITION[table.label], noun, MOUNTPOINT)
                for table in with_place[:1]]  # fmt: skip
    lacking = [table for table in tables if table.label == "gpt" and BIOS_BOOT not in _codes(layout, table)]
    if any(table not in with_place for table in lacking):
        return []
    return [Addition(table.id, MIB, BIOS_BOOT, "a BIOS boot partition is") for table in lacking]


def _codes(layout: Layout, table: PartitionTable) -> set[str]:
    return {item.code.lower() for item in layout.of(Partition) if table.id in item.needs}


def _tables_of_boot(layout: Layout) -> list[PartitionTable]:
    """The partition tables of the disks that hold the kernels."""
    disks = {disk.id for disk in layout.of(Disk)} & below_boot(layout)
    return [item for item in layout.of(PartitionTable) if disks.intersection(item.needs)]


def _is_system_partition(layout: Layout, item: Item) -> bool:
    """Whether a FAT file system lies on a partition that firmware looks at."""
    below = layout.below(item.id) if getattr(item, "is_for_firmware", False) else []
    labels = [table.label for table in of_type(below, PartitionTable)]
    codes = [partition.code.lower() for partition in of_type(below, Partition)]
    return any(SYSTEM_PARTITION.get(label) in codes for label in labels)
