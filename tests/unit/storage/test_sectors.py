# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks whose logical sectors have another size than those that were recorded."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rear_core.errors import Refused
from rear_core.storage.disk import Disk, Partition, PartitionTable
from rear_core.storage.hybrid import MbrEntry
from rear_core.storage.inventory import Device
from rear_core.storage.layout import Item, make
from rear_core.storage.mapping import assign
from rear_core.storage.mount import Mount
from rear_core.storage.plan import Plan, plan
from rear_core.storage.present import Machine, PresentDisk
from rear_core.storage.resize import minimum
from rear_core.storage.technologies import CORE_KINDS
from rear_core.storage.technologies.btrfs import Btrfs, Subvolume
from rear_core.storage.technologies.ext import Ext, Journal
from rear_core.storage.technologies.luks import Luks
from rear_core.storage.technologies.lvm import PhysicalVolume, VolumeGroup
from rear_core.storage.technologies.md import Array
from rear_core.storage.technologies.swap import Swap
from rear_core.storage.technologies.vfat import Fat
from rear_core.storage.technologies.xfs import Xfs

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
        (part(1, 63 * 512, 100 * MIB), "begins at byte 32256, which is not a multiple of the sector size, 4096"),
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
    with pytest.raises(Refused, match="ends beyond what an MBR can address in sectors of 512 bytes"):
        items = [
            replace(i, size=4 << 40) if isinstance(i, Disk) else i for i in recorded(large, label="dos", sector=4096)
        ]
        planned(items, 512, size=4 << 40)


def ext(**fields: object) -> Ext:
    made = Ext("fs:1", ("partition:1",), "1", version=4, blocks=102400, block_size=1024, inodes=25688, inode_size=128)
    return replace(made, features=("has_journal",), **fields)  # type: ignore[arg-type]


def test_blocks_are_no_smaller_than_sectors() -> None:
    item = ext(reserved_blocks=5120, blocks_per_group=8192, journal_size=4 * MIB, reserved_gdt_blocks=256, stride=16)
    made = planned(recorded(part(1, MIB, 100 * MIB), item), 4096)
    made_by = words(made, "mke2fs")
    assert " -b 4096 -N 25688 -I 128 -J size=4 -E stride=4 " in made_by and made_by.endswith(" -m 5.0000 /dev/vda1")
    assert " -r 1280 " in words(made, "tune2fs")
    assert [
        note
        for note in made.notes
        if "its blocks now have 4096 bytes, like the sectors of its disk, instead of 1024" in note
    ]
    assert " -J " not in words(planned(recorded(part(1, MIB, 100 * MIB), ext(journal_size=MIB)), 4096), "mke2fs")
    assert " -b 1024 " in words(planned(recorded(part(1, MIB, 100 * MIB), item), 512), "mke2fs")


@pytest.mark.parametrize(
    ("items", "why"),
    [
        (
            [Xfs("fs:1", ("partition:1",), "1", data=("bsize=1024", "blocks=102400"))],
            "blocks have 1024 bytes, less than",
        ),
        (
            [
                Journal("journal:1", ("partition:2",), "j", blocks=1, block_size=1024),
                ext(needs=("partition:1", "journal:1")),
            ],
            "its journal is on another device, so its blocks of 1024 bytes",
        ),
        ([luks(2049 * 512)], "its data begin at byte 1049088"),
    ],
)
def test_what_cannot_be_made_in_larger_sectors_is_refused_by_name(items: list[Item], why: str) -> None:
    layout = recorded(part(1, MIB, 100 * MIB), part(2, 101 * MIB, 100 * MIB), *items)
    with pytest.raises(Refused, match=why):
        planned(layout, 4096)
    assert planned(layout, 512).build


@pytest.mark.parametrize(
    ("size", "sector", "now", "expected"),
    [
        (100, 512, 4096, "mkfs.vfat -I /dev/vda1"),
        (500, 512, 4096, "mkfs.vfat -I -F 32 -s 1 /dev/vda1"),
        (500, 4096, 512, "mkfs.vfat -I -F 32 -s 8 /dev/vda1"),
        (500, 512, 512, "mkfs.vfat -I -F 32 -s 8 -S 512 -R 32 -f 2 -M 0xf8 /dev/vda1"),
    ],
)
def test_a_fat_has_enough_clusters_for_its_bits(size: int, sector: int, now: int, expected: str) -> None:
    item = Fat(
        "fs:1",
        ("partition:1",),
        bits=32,
        sector_size=sector,
        cluster_size=4096,
        reserved_sectors=32,
        fats=2,
        media=0xF8,
    )
    made = planned(recorded(part(1, MIB, size * MIB), item, sector=sector), now)
    assert words(made, "mkfs.vfat") == expected
    assert bool([note for note in made.notes if "its cluster size" in note]) is (sector != now)


def test_an_array_takes_no_more_of_its_members_than_they_have() -> None:
    array = Array("md:1", ("partition:1",), "raid1", 1, "1.2", "1", device="/dev/md0", component_size=99 * MIB + 1024)
    layout = recorded(part(1, MIB, 100 * MIB + 1024), array)
    assert f"--size={99 << 10} " in words(planned(layout, 4096), "mdadm")
    assert f"--size={(99 << 10) + 1} " in words(planned(layout, 512), "mdadm")


def test_a_group_may_lie_on_disks_with_sectors_of_two_sizes() -> None:
    second = Disk("disk:B", (), SIZE, "/dev/sdb", serial="B")
    group = (
        PhysicalVolume("pv:1", ("partition:1",), "1"), PhysicalVolume("pv:2", ("disk:B",), "2"),
        VolumeGroup("vg:1", ("pv:1", "pv:2"), "vg", "1", MIB),
    )  # fmt: skip
    layout = [*recorded(part(1, MIB, 100 * MIB)), second, *group]
    assert "--config=devices/allow_mixed_block_sizes=1" in words(planned(layout, 512, 4096), "vgcreate")
    assert "--config" not in words(planned(layout, 4096, 4096), "vgcreate")


def test_the_mbr_before_a_gpt_counts_in_the_new_sectors_or_is_refused() -> None:
    mbr = (MbrEntry(1, 1, 2047, "ee"), MbrEntry(2, 2048, 204800, "83", partition=1))
    made = planned(recorded(part(1, MIB, 100 * MIB), mbr=mbr), 4096)
    nested = next(command for command in made.build if "--label-nested" in command.argv)
    assert "2 : start=256, size=25600, type=83" in nested.input
    own = replace(mbr[1], partition=0)
    with pytest.raises(Refused, match="has partitions of its own"):
        planned(recorded(part(1, MIB, 100 * MIB), mbr=(mbr[0], own)), 4096)


def test_mounts_of_what_is_cut_stay() -> None:
    items = [part(1, MIB, 100 * MIB + 512), ext(), Mount("mount:/", ("fs:1",), "/", "ext4")]
    assert planned(recorded(*items), 4096).room == 100 * MIB


def test_the_room_of_what_is_mounted_by_its_parts_counts_too() -> None:
    whole = (part(1, MIB, 100 * MIB), ext(), Mount("mount:/", ("fs:1",), "/", "ext4"))
    parts = (
        part(2, 101 * MIB, 200 * MIB), Btrfs("fs:2", ("partition:2",), "2"), Subvolume("subvolume:2/@", ("fs:2",), "@"),
        Mount("mount:/srv", ("subvolume:2/@",), "/srv", "btrfs"),
    )  # fmt: skip
    assert planned(recorded(*whole), 512).room == 100 * MIB
    # How much fits into what is compressed nobody knows.
    assert planned(recorded(*whole, *parts), 512).room == 0
