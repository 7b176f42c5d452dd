# SPDX-License-Identifier: GPL-3.0-or-later
"""Partitions that a machine did not have."""

from __future__ import annotations

import pytest

from rear_core.boot.conversion import additions
from rear_core.storage.disk import BIOS_BOOT, Disk, Partition, PartitionTable
from rear_core.storage.inventory import Device
from rear_core.storage.layout import Layout, make
from rear_core.storage.mapping import Assignment, Match
from rear_core.storage.mount import Mount
from rear_core.storage.plan import Plan, plan
from rear_core.storage.present import Machine, PresentDisk
from rear_core.storage.technologies import CORE_KINDS
from rear_core.storage.technologies.ext import Ext

MIB, GIB, TIB = 1 << 20, 1 << 30, 1 << 40
LINUX = "0fc63daf-8483-4772-8e79-3d69d8477de4"


def machine(label: str, size: int = 20 * GIB) -> Layout:
    """One partition to the end of the disk, with a root file system."""
    code, uuid = ("83", "0x8f2d0b5c") if label == "dos" else (LINUX, "5b0c3c34-2b5a-4b0f-9e51-6d2c1b7f8a90")
    return make(
        [
            Disk("disk:a", (), size, device="/dev/sda"),
            PartitionTable("table:a", ("disk:a",), label, uuid, first_lba=2048),
            Partition("partition:a", ("table:a",), 1, MIB, size - 2 * MIB, code, MIB),
            Ext("fs:root", ("partition:a",), "1-2", version=4, block_size=4096),
            Mount("mount:/", ("fs:root",), "/", "ext4"),
        ]
    )  # fmt: skip


def recovered(recorded: Layout, mode: str, size: int, sector: int = 512) -> Plan:
    """The plan for a disk of that size and firmware of that kind."""
    [disk] = recorded.of(Disk)
    here = PresentDisk("/dev/vda", size, logical_sector_size=sector, physical_sector_size=sector)
    devices = {here.path: Device(here.path, "vda", "", "disk", size, is_disk=True)}
    matches = (Match(disk, "/dev/vda"),)
    return plan(
        recorded, Assignment(matches, {}), Machine(devices, (), frozenset(), (here,)), CORE_KINDS, used={"/": GIB},
        additions=additions(mode, recorded),
    )  # fmt: skip


@pytest.mark.parametrize("label", ["dos", "gpt"])
@pytest.mark.parametrize(
    ("was", "size"), [(20 * GIB, 20 * GIB), (20 * GIB, 20 * GIB + 100 * MIB), (20 * GIB, 40 * GIB), (20 * GIB, 8 * GIB)]
)
@pytest.mark.parametrize("sector", [512, 4096])
def test_a_system_partition_gets_its_place_at_the_end(label: str, was: int, size: int, sector: int) -> None:
    made = recovered(machine(label, was), "uefi", size, sector)
    root, esp = sorted(made.site.layout.of(Partition), key=lambda item: item.number)
    assert esp.number == 2 and esp.size == 300 * MIB and esp.start % MIB == 0
    assert root.start + root.size <= esp.start
    assert esp.start + esp.size <= size - 34 * 512
    commands = [" ".join(command.argv) for command in (*made.build, *made.mount)]
    assert any(line.startswith("mkfs.vfat -I -F 32") and line.endswith("/dev/vda2") for line in commands), commands
    assert any("/mnt/local/boot/efi" in line for line in commands), commands
    assert "an EFI system partition of 300 MiB is added to disk a (/dev/vda)" in made.notes


def test_an_mbr_has_it_where_sector_numbers_reach() -> None:
    made = recovered(machine("dos", 20 * GIB), "uefi", 3 * TIB)
    _, esp = sorted(made.site.layout.of(Partition), key=lambda item: item.number)
    assert esp.start + esp.size <= 2 * TIB
    assert esp.uuid == "8f2d0b5c-02"


def test_a_boot_partition_lies_before_the_first_one() -> None:
    made = recovered(machine("gpt"), "bios", 20 * GIB)
    root, boot = sorted(made.site.layout.of(Partition), key=lambda item: item.number)
    assert (boot.start, boot.start + boot.size, boot.code) == (34 * 512, MIB, BIOS_BOOT)
    assert root.size == machine("gpt").of(Partition)[0].size
    script = next(command.input for command in made.build if command.argv[0] == "sfdisk")
    assert "first-lba: 34" in script and "start=34, size=2014" in script


def test_a_plan_without_another_firmware_is_as_it_was() -> None:
    assert recovered(machine("dos"), "bios", 20 * GIB).site.layout.of(Partition) == machine("dos").of(Partition)
    assert [item.number for item in recovered(machine("gpt"), "bios", 20 * GIB).site.layout.of(Partition)] == [1, 2]
