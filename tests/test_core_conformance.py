# SPDX-License-Identifier: GPL-3.0-or-later
"""The core's own storage technologies and boot loaders pass what rear asks of everybody's."""

from __future__ import annotations

from pathlib import Path

import pytest

import other_loaders
from rear_core.builtin import storage, system
from rear_core.plugins import CORE, Found
from rear_core.storage.disk import Disk
from rear_core.storage.layout import make
from rear_core.storage.mount import Mount
from rear_core.storage.technologies.ext import Ext, Journal
from rear_core.storage.technologies.iscsi import IscsiUnit
from rear_core.testing.conformance import harness as harness
from rear_core.testing.conformance_boot import *  # noqa: F403
from rear_core.testing.conformance_storage import *  # noqa: F403
from rear_core.testing.harness import Installed, Subject, Supply
from systems.test_systems import MACHINES
from unit.boot.test_grub_bios import boot_sector, first_core_sector
from unit.boot.test_grub_bios import disk as image

TESTS = Path(__file__).parent
SUBJECTS = [
    Subject(Found(CORE, name, module.__name__, "rear-core", "", module=module), (name,))
    for name, module in {"storage": storage, "system": system}.items()
]
JOURNAL = make(
    [
        Disk("disk:a", (), 10 << 30, "/dev/sda"),
        Disk("disk:b", (), 1 << 30, "/dev/sdb"),
        Journal("fs:journal", ("disk:b",), "0a1b2c3d-0001-4a5b-8c6d-7e8f9a0b1c2d"),
        Ext("fs:data", ("disk:a", "fs:journal"), "0a1b2c3d-0002-4a5b-8c6d-7e8f9a0b1c2d"),
        Mount("mount:/data", ("fs:data",), "/data", "ext4"),
    ]
)
UNIT = IscsiUnit("iscsi:iqn.2026-11.example:web1/1", (), "iqn.2026-11.example:web1", "1", ("192.0.2.1:3260",))
SAN = make(
    [
        UNIT,
        Disk("disk:0x6001", (UNIT.id,), 10 << 30, "/dev/sda", wwn="0x6001", transport="iscsi"),
        Ext("fs:data", ("disk:0x6001",), "0a1b2c3d-0003-4a5b-8c6d-7e8f9a0b1c2d"),
        Mount("mount:/data", ("fs:data",), "/data", "ext4"),
    ]
)
RECORDED = sorted(path.parent for path in TESTS.glob("machines/*/commands"))


@pytest.fixture
def supply(tmp_path: Path) -> Supply:
    """All machines that were recorded, and all systems of other distributions."""
    systems = [one for name in MACHINES for one in (started_by_efi(name), started_by_bios(name, tmp_path)) if one]
    systems += other_loaders.installed(tmp_path)
    return Supply(machines=RECORDED, layouts=[JOURNAL, SAN], systems=systems)


def started_by_efi(name: str) -> Installed | None:
    """A system with GRUB on its EFI system partition."""
    if facts := MACHINES[name].loaders.get("GRUB EFI"):
        (partition,) = facts["partitions"]
        (found,) = partition["installations"]
        files = [f"{partition['mountpoint']}/{found[part]}" for part in ("loader", "grub")]
        return Installed("GRUB EFI", TESTS / f"systems/{name}/tree", make(MACHINES[name].items), facts, files)
    return None


def started_by_bios(name: str, path: Path) -> Installed | None:
    """A system with GRUB in a boot sector, of images that stand for the disk and its partition."""
    if facts := MACHINES[name].loaders.get("GRUB BIOS"):
        layout = make(MACHINES[name].items)
        (disk,) = layout.of(Disk)
        for device in {disk.device, *(sector["device"] for sector in facts["boot_sectors"])}:
            image(path / (name + device[len(disk.device) :]), boot_sector(1), 1, first_core_sector((2, 60)))
        disks = {disk.id: f"{path}/{name}"}
        return Installed("GRUB BIOS", TESTS / f"systems/{name}/tree", layout, facts, [*disks.values()], disks)
    return None
