# SPDX-License-Identifier: GPL-3.0-or-later
"""Fits partitions to disks whose logical sectors have another size: they begin and end between two of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from .command import Site
from .disk import BOOT_LOADERS, Disk, Partition, PartitionTable, first_sector, sector_size, tail_sectors
from .layout import Item, Layout, make
from .resize import Fitted, Sizes

# A sector number of an MBR has 32 bits.
MBR_SECTORS = 1 << 32


def with_sectors(layout: Layout, disks: Mapping[str, int]) -> Layout:
    """The layout with the logical sectors of the disks that are here, by the ids of the recorded ones."""
    found = [replace(disk, logical_sector_size=disks[disk.id]) for disk in layout.of(Disk) if disk.id in disks]
    changed = {disk.id: disk for disk in found}
    return make((changed.get(item.id, item) for item in layout), layout.left_out)


def align(fitted: Fitted) -> Fitted:
    """The layout with the partitions in whole sectors of the disks in it.

    What lies behind the last whole sector is cut off: nothing that counts in sectors uses it. Boot loaders are
    installed again wherever their partition begins. Everything else has to begin where it did.
    """
    site = Site(fitted.layout, {})
    for table in fitted.layout.of(PartitionTable):
        if sector_size(site, table.id) != table.sector_size:
            fitted = _align_table(fitted, site, table)
    return fitted


def _align_table(fitted: Fitted, site: Site, table: PartitionTable) -> Fitted:
    sector = sector_size(site, table.id)
    sizes = Sizes({item.id: item for item in site.layout}, {})
    problems, notes, changed, resized = [], [], dict[str, Item](), set(fitted.resized)
    for partition in site.layout.of(Partition):
        if table.id not in partition.needs:
            continue
        now = _aligned(partition, site, table, sector)
        if now.start != partition.start and not _is_moved_easily(sizes, partition):
            problems.append(
                f"{partition} begins at byte {partition.start}, which is not a multiple of the sector size, {sector}"
            )
        elif now.size <= 0:
            problems.append(f"{partition} is smaller than a sector of {sector} bytes")
        elif table.label == "dos" and now.start + now.size > MBR_SECTORS * sector:
            problems.append(f"{partition} ends beyond what an MBR can address in sectors of {sector} bytes")
        elif partition.size - now.size >= sector and now.start == partition.start:
            # The copy of a GPT takes more room in larger sectors.
            if not sizes.fit(partition.id, now.size):
                problems.append(f"{partition} leaves no room for the copy of the GPT in sectors of {sector} bytes")
            resized.add(partition.id)
        if now != partition:
            changed[partition.id] = now
            notes.append(f"{partition} is cut to whole sectors of {sector} bytes, from {partition.size} to {now.size}")
    layout = make((changed.get(item.id, item) for item in fitted.layout), fitted.layout.left_out)
    return Fitted(layout, frozenset(resized), (*fitted.notes, *notes), (*fitted.problems, *problems))


def _aligned(partition: Partition, site: Site, table: PartitionTable, sector: int) -> Partition:
    """The partition within whole sectors, and between the two copies of a GPT."""
    size = site.size(table.needs[0]) // sector
    limit = (size - tail_sectors(table, sector)) * sector if size else partition.start + partition.size
    start = -(-max(partition.start, first_sector(table, sector) * sector) // sector) * sector
    end = min(partition.start + partition.size, limit) // sector * sector
    return replace(partition, start=start, size=end - start)


def _is_moved_easily(sizes: Sizes, partition: Partition) -> bool:
    return partition.code.lower() in BOOT_LOADERS and not sizes.on(partition.id)
