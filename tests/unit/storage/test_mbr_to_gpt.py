# SPDX-License-Identifier: GPL-3.0-or-later
"""A GPT in the place of an MBR."""

from __future__ import annotations

from rear_core.boot.conversion import additions
from rear_core.storage.disk import BIOS_BOOT, Disk, Partition, PartitionTable
from rear_core.storage.layout import Layout, make
from rear_core.storage.mbr_to_gpt import convert, too_large
from rear_core.storage.mount import Mount
from rear_core.storage.technologies.ext import Ext

MIB, GIB, TIB = 1 << 20, 1 << 30, 1 << 40


def machine(code: str = "83") -> Layout:
    """An active partition, and a logical one."""
    return make(
        [
            Disk("disk:a", (), 20 * GIB, device="/dev/sda"),
            PartitionTable("table:0x8f2d0b5c", ("disk:a",), "dos", "0x8f2d0b5c"),
            Partition("partition:1", ("table:0x8f2d0b5c",), 1, MIB, GIB, code, MIB, "8f2d0b5c-01", bootable=True),
            Partition("partition:2", ("table:0x8f2d0b5c",), 2, 2 * GIB, 9 * GIB, "5", MIB, "8f2d0b5c-02"),
            Partition("partition:5", ("table:0x8f2d0b5c", "partition:2"), 5, 3 * GIB, GIB, "8e", MIB, "8f2d0b5c-05"),
            Ext("fs:1-2", ("partition:1",), "1-2"), Mount("mount:/", ("fs:1-2",), "/", "ext4"),
        ]
    )  # fmt: skip


def test_only_a_disk_that_an_mbr_cannot_address_is_too_large() -> None:
    assert too_large(machine(), {"disk:a": 2 * TIB}) == []
    [table] = too_large(machine(), {"disk:a": 2 * TIB + 512})
    assert table.id == "table:0x8f2d0b5c"
    assert too_large(machine(), {}) == []


def test_partitions_keep_numbers_places_and_ids() -> None:
    layout = machine()
    found = convert(layout, layout.of(PartitionTable), {"disk:a": 3 * TIB})
    one, five = found.layout.of(Partition)
    [table] = found.layout.of(PartitionTable)
    assert (table.id, table.label, table.first_lba) == ("table:0x8f2d0b5c", "gpt", 34)
    assert table.last_lba == 6442450910
    assert (one.id, one.number, one.start, one.size, one.attributes, one.bootable) == (
        "partition:1", 1, MIB, GIB, "LegacyBIOSBootable", False
    )  # fmt: skip
    assert (five.id, five.number, five.needs) == ("partition:5", 5, ("table:0x8f2d0b5c",))
    assert five.code == "e6d6d379-f507-44c2-a23c-238f2a3df928"
    assert found.identifiers["8f2d0b5c-05"] == five.uuid and len(five.uuid) == 36
    assert found.ids[f"partition:{five.uuid}"] == "partition:5"
    assert found == convert(layout, layout.of(PartitionTable), {"disk:a": 3 * TIB})
    [boot] = additions("bios", found.layout)
    assert boot.code == BIOS_BOOT


def test_what_has_no_type_in_a_gpt_is_named() -> None:
    layout = machine("a5")
    found = convert(layout, layout.of(PartitionTable), {"disk:a": 3 * TIB})
    assert found.layout == layout
    assert found.problems == ("partition 1 has the type a5, for which there is none in a GPT",)
