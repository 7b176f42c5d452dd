# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual machine is like the recorded one, and says where it is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from rear_core import Refused, builtin
from rear_core.network.model import Link, Network
from rear_core.plugins import Plugins
from rear_core.storage.disk import Disk
from rear_core.storage.kinds import item_types
from rear_core.storage.layout import Layout, load, make
from rear_core.storage.technologies.multipath import MultipathDisk
from rear_drill import hardware

MACHINES = Path(__file__).parents[3] / "tests/machines"


def disk(serial: str, device: str, **fields: object) -> Disk:
    return Disk(id=f"disk:{serial}", needs=(), size=1 << 30, device=device, serial=serial, **fields)  # type: ignore[arg-type]


def recorded(name: str) -> Layout:
    return load(MACHINES / name / "layout.json", item_types(Plugins(builtin.modules()).call("rear_storage_kinds")))


def test_disks_of_a_recorded_machine_keep_size_order_bus_and_serial(tmp_path: Path) -> None:
    disks = hardware.recorded_disks(recorded("debian-btrfs-nvme-sata"))
    made = hardware.blank_disks(disks, tmp_path)
    assert [item.device for item in disks][:2] == ["/dev/sda", "/dev/sdb"]
    assert [drive.path.stat().st_size for drive in made] == [item.size for item in disks]
    assert all(drive.path.stat().st_blocks == 0 for drive in made)
    assert [drive.serial for drive in made] == [item.serial for item in disks]
    assert {"nvme", "sata"} <= {drive.bus for drive in made}


def test_every_recorded_machine_has_its_stand_in(tmp_path: Path) -> None:
    for folder in MACHINES.iterdir():
        if (folder / "layout.json").is_file():
            layout = recorded(folder.name)
            (tmp_path / folder.name).mkdir()
            disks = hardware.recorded_disks(layout)
            assert len(hardware.blank_disks(disks, tmp_path / folder.name)) == len(disks)
            assert all(line.endswith(".") for line in hardware.limits(disks, layout))


@pytest.mark.parametrize(
    ("device", "transport", "bus"),
    [
        ("/dev/vda", "virtio", "virtio"),
        ("/dev/vda", "", "virtio"),
        ("/dev/sda", "sata", "sata"),
        ("/dev/sda", "", "scsi"),
        ("/dev/sda", "sas", "scsi"),
        ("/dev/sdb", "usb", "usb"),
        ("/dev/nvme0n1", "nvme", "nvme"),
        ("/dev/mapper/mpatha", "fc", "scsi"),
        ("/dev/mmcblk0", "mmc", "virtio"),
        ("/dev/xvda", "", "virtio"),
    ],
)
def test_the_bus_is_the_nearest_there_is(device: str, transport: str, bus: str) -> None:
    assert hardware.bus_of(disk("S1", device, transport=transport)) == bus


def test_more_sata_disks_than_ports_become_scsi_disks(tmp_path: Path) -> None:
    disks = [disk(f"S{number}", f"/dev/sd{letter}", transport="sata") for number, letter in enumerate("abcdef")]
    buses = [drive.bus for drive in hardware.blank_disks(disks, tmp_path)]
    assert buses == ["sata"] * 4 + ["scsi"] * 2


def test_identities_that_a_virtual_disk_cannot_have_are_left_away(tmp_path: Path) -> None:
    long, odd, good = (
        disk("S" * 21, "/dev/vda", wwn="0x5000c500a1b2c3d4"),
        disk("S2", "/dev/sda", transport="sata", wwn="naa.600508b1001c0000"),
        disk("S3", "/dev/sdb", transport="sata", wwn="0x5000c500a1b2c3d4", physical_sector_size=4096),
    )
    made = hardware.blank_disks([long, odd, good], tmp_path)
    assert [(drive.serial, drive.wwn) for drive in made] == [("", ""), ("S2", ""), ("S3", "0x5000c500a1b2c3d4")]
    assert made[2].physical_sector_size == 4096


def test_the_disk_of_the_backup_is_left_out_and_some_disk_must_remain() -> None:
    layout = make([disk("S1", "/dev/sda"), disk("S2", "/dev/sdb")])
    assert [item.serial for item in hardware.recorded_disks(layout, ["disk:S2"])] == ["S1"]
    with pytest.raises(Refused, match="no disk"):
        hardware.recorded_disks(layout, ["disk:S1", "disk:S2"])
    with pytest.raises(Refused, match="21 disks"):
        hardware.recorded_disks(make([disk(f"S{number}", f"/dev/vd{number}") for number in range(21)]))


def test_cards_keep_their_addresses_and_reach_nobody() -> None:
    bond = Link("bond0", kind="bond", mac="52:54:00:00:00:01")
    members = (
        Link("eth0", mac="52:54:00:00:00:01"),
        Link("eth1", mac="52:54:00:00:00:01", permanent_mac="52:54:00:00:00:02"),
        Link("ib0", mac="80:00:02:08:fe:80:00:00:00:00:00:00:00:02:c9:03:00:00:10:39"),
    )
    nics = hardware.cards(Network(links=(bond, *members)))
    assert [nic.mac for nic in nics] == ["52:54:00:00:00:01", "52:54:00:00:00:02"]
    assert all(nic.restrict and not nic.forward for nic in nics)


def test_firmware_is_that_of_the_recorded_machine() -> None:
    assert hardware.firmware_of("bios", None) == "bios"
    assert hardware.firmware_of("uefi", False) == "uefi"
    assert hardware.firmware_of("uefi", True) == "secureboot"


def test_what_a_virtual_machine_cannot_prove_is_said() -> None:
    disks = [
        disk("S1", "/dev/sda", transport="fc", vendor="NETAPP", model="LUN C-Mode"),
        disk("S2", "/dev/sdb", transport="sas", vendor="DELL", model="PERC H730 Mini"),
        MultipathDisk(id="disk:S3", needs=(), size=1 << 30, device="/dev/mapper/mpatha", serial="S3"),
    ]
    said = "\n".join(hardware.limits(disks, recorded("debian-raid-luks")))
    for word in ("Fibre Channel", "SAS", "PERC", "paths to", "passphrases", "drivers"):
        assert word in said
    assert "Fibre" not in "\n".join(hardware.limits([disk("S1", "/dev/vda")], make([])))
