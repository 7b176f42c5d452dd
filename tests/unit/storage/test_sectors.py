# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks whose logical sectors have another size than those that were recorded."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rear_core.errors import Refused
from rear_core.storage.disk import Disk, Partition, PartitionTable
from rear_core.storage.ext import Ext
from rear_core.storage.hybrid import MbrEntry
from rear_core.storage.inventory import Device
from rear_core.storage.layout import Item, make
from rear_core.storage.luks import Luks
from rear_core.storage.lvm import PhysicalVolume, VolumeGroup
from rear_core.storage.mapping import assign
from rear_core.storage.md import Array
from rear_core.storage.plan import Plan, plan
from rear_core.storage.present import Machine, PresentDisk
from rear_core.storage.resize import minimum
from rear_core.storage.swap import Swap
from rear_core.storage.technologies import CORE_KINDS

MIB, SIZE = 1 << 20, 1 << 30
BIOS_BOOT = "21686148-6449-6e6f-744e-656564454649"


def recorded(*items: Item, label: str = "gpt", sector: int = 512, disk: str = "A", **table: object) -> list[Item]:
    """A disk with a table and what lies on it."""
    return [
        Disk(f"disk:{disk}", (), SIZE, f"/dev/sd{disk.lower()}", serial=disk, logical_sector_size=sector),
        replace(PartitionTable(f"table:{disk}", (f"disk:{disk}",), label, sector_size=sector), **table),  # type: ignore[arg-type]
        *items,
    ]


def part(number: int, start: int, size: int, code: str = "83", disk: str = "A") -> Partition:
    return Partition(f"partition:{number}", (f"table:{disk}",), number, start, size, code, device=f"/dev/sda{number}")


def planned(items: list[Item], *sectors: int, size: int = SIZE) -> Plan:
    """The plan for new disks with such sectors, in the order of the recorded ones."""
    layout = make(items)
    old = [item for item in layout if isinstance(item, Disk)]
    new = [
        PresentDisk(f"/dev/vd{disk.serial.lower()}", size, serial=disk.serial, logical_sector_size=sector)
        for disk, sector in zip(old, sectors)
    ]
    devices = {disk.path: Device(disk.path, disk.path[5:], "", "disk", size, is_disk=True) for disk in new}
    assignment = assign(layout, new, minimum(layout, {}), {})
    return plan(layout, assignment, Machine(devices, (), frozenset(), tuple(new)), CORE_KINDS)


def lines(made: Plan) -> list[str]:
    """What sfdisk is told of the table and its partitions, without what is the same for all."""
    (command,) = [command for command in made.build if command.argv[0] == "sfdisk"]
    return [line for line in command.input.splitlines() if line.split(":")[0] not in ("label", "unit", "")]


def words(made: Plan, program: str) -> str:
    return next(" ".join(command.argv) for command in made.build if program in command.argv[:2])


def test_the_same_bytes_are_other_sectors() -> None:
    layout = recorded(
        part(1, MIB, 512 * MIB), part(2, 513 * MIB, 510 * MIB), first_lba=34, last_lba=2097118, entries=256
    )
    made = planned(layout, 4096)
    assert lines(made) == [
        "table-length: 256",
        "1 : start=256, size=131072, type=83",
        "2 : start=131328, size=130560, type=83",
    ]
    assert not made.notes


def test_a_boot_loader_moves_to_the_next_sector_behind_a_gpt() -> None:
    """That of a GPT with 34 sectors before it, where partitions began before all were aligned to 1 MiB."""
    made = planned(recorded(part(1, 34 * 512, 2014 * 512, BIOS_BOOT), first_lba=34), 4096)
    assert lines(made) == ["first-lba: 6", f"1 : start=6, size=250, type={BIOS_BOOT}"]
    (note,) = made.notes
    assert "partition 1 (/dev/sda1) is cut to whole sectors of 4096 bytes" in note


def test_a_boot_loader_begins_where_it_did_in_smaller_sectors() -> None:
    made = planned(recorded(part(1, 6 * 4096, 250 * 4096, BIOS_BOOT), sector=4096, first_lba=6), 512)
    assert lines(made) == ["first-lba: 34", f"1 : start=48, size=2000, type={BIOS_BOOT}"]
    assert not made.notes


@pytest.mark.parametrize(
    ("item", "why"),
    [
        (part(1, 63 * 512, 100 * MIB), "begins at byte 32256, where no sector of 4096 bytes does"),
        (part(1, 34 * 512, 100 * MIB), "begins at byte 17408"),
        (part(1, MIB, 512), "is smaller than a sector"),
    ],
)
def test_a_partition_that_cannot_be_there_is_refused_by_name(item: Partition, why: str) -> None:
    with pytest.raises(Refused, match=why) as refused:
        planned(recorded(item, Ext("fs:1", (item.id,), "1", version=4)), 4096)
    assert "partition 1 (/dev/sda1)" in refused.value.message


def test_what_lies_behind_the_last_whole_sector_is_cut_off() -> None:
    items = [part(1, MIB, 100 * MIB + 3 * 512), Swap("swap:1", ("partition:1",), "1")]
    made = planned(recorded(*items), 4096)
    assert lines(made) == ["1 : start=256, size=25600, type=83"]
    assert not made.site.is_resized("swap:1")


def last(*above: Item) -> list[Item]:
    """A partition up to where the copy of a GPT of four entries begins: it has two sectors, of whatever size."""
    return recorded(part(1, MIB, SIZE - 2 * 512 - MIB), *above, entries=4)


def volumes(below: str, extents: int) -> tuple[Item, ...]:
    return (
        PhysicalVolume("pv:1", (below,), "1", extents=extents, data_start=MIB),
        VolumeGroup("vg:1", ("pv:1",), "vg", "1", MIB, extents),
    )


def luks(offset: int) -> Luks:
    return Luks(
        "luks:1", ("partition:1",), 2, "1", "aes", 512, "sha256", offset=offset, name="c", device="/dev/mapper/c"
    )


@pytest.mark.parametrize(
    "above",
    [
        (Ext("fs:1", ("partition:1",), "1", version=4),),
        volumes("partition:1", 1021),
        (luks(MIB), *volumes("luks:1", 1020)),
    ],
)
def test_the_last_partition_leaves_room_for_the_copy_of_the_gpt(above: tuple[Item, ...]) -> None:
    made = planned(last(*above), 4096)
    (end,) = [item.start + item.size for item in made.site.layout if isinstance(item, Partition)]
    assert end == SIZE - 2 * 4096
    assert made.site.is_resized(above[0].id)
    (same,) = [item for item in planned(last(*above), 512).site.layout if isinstance(item, Partition)]
    assert same.size == SIZE - 2 * 512 - MIB


@pytest.mark.parametrize(
    "above", [volumes("partition:1", 1022), (Array("md:1", ("partition:1",), "raid1", 1, "1.2", "1"),)]
)
def test_what_may_not_be_smaller_does_not_leave_it(above: tuple[Item, ...]) -> None:
    with pytest.raises(Refused, match="leaves no room for the copy of the GPT in sectors of 4096 bytes"):
        planned(last(*above), 4096)


def test_an_mbr_counts_no_further_in_smaller_sectors() -> None:
    large = part(1, MIB, 3 << 40)
    with pytest.raises(Refused, match="ends behind what an MBR can count in sectors of 512 bytes"):
        items = [
            replace(i, size=4 << 40) if isinstance(i, Disk) else i for i in recorded(large, label="dos", sector=4096)
        ]
        planned(items, 512, size=4 << 40)


def test_the_mbr_before_a_gpt_counts_in_the_new_sectors_or_is_refused() -> None:
    mbr = (MbrEntry(1, 1, 2047, "ee"), MbrEntry(2, 2048, 204800, "83", partition=1))
    made = planned(recorded(part(1, MIB, 100 * MIB), mbr=mbr), 4096)
    nested = next(command for command in made.build if "--label-nested" in command.argv)
    assert "2 : start=256, size=25600, type=83" in nested.input
    own = replace(mbr[1], partition=0)
    with pytest.raises(Refused, match="has partitions of its own"):
        planned(recorded(part(1, MIB, 100 * MIB), mbr=(mbr[0], own)), 4096)
