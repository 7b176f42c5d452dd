# SPDX-License-Identifier: GPL-3.0-or-later
"""The command lines of virtual machines."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from rear_core.shell import Shell
from rear_drill import qemu

needs_qemu = pytest.mark.skipif(not Shell().which(qemu.PROGRAM), reason="QEMU is not installed")


def values(argv: Sequence[str], option: str) -> list[str]:
    """The values of every occurrence of an option."""
    return [value for word, value in zip(argv, argv[1:]) if word == option]


def test_disks_keep_order_serial_and_bus(tmp_path: Path) -> None:
    disks = [qemu.Disk(tmp_path / "a", "S1"), qemu.Disk(tmp_path / "b", "S2", "sata", snapshot=True)]
    argv = qemu.Machine(disks=disks).argv(tmp_path, 7, 8)
    first, second = values(argv, "-drive")
    assert "snapshot=off" in first and "snapshot=on" in second
    assert [device for device in values(argv, "-device") if "serial=" in device] == [
        "virtio-blk-pci,drive=disk0,bootindex=2,serial=S1",
        "ide-hd,drive=disk1,bootindex=3,bus=ide.1,serial=S2",
    ]


def test_a_comma_in_a_path_is_no_option(tmp_path: Path) -> None:
    argv = qemu.Machine(cdrom=Path("/a,readonly=off")).argv(tmp_path, 7, 8)
    assert values(argv, "-drive")[0].endswith("file=/a,,readonly=off")


def test_a_machine_without_cards_has_no_network(tmp_path: Path) -> None:
    argv = qemu.Machine().argv(tmp_path, 7, 8)
    assert "-nodefaults" in argv and "-netdev" not in argv


def test_console_and_monitor_are_the_sockets_that_were_passed(tmp_path: Path) -> None:
    assert values(qemu.Machine().argv(tmp_path, 7, 8), "-chardev") == [
        "socket,id=console,fd=7",
        "socket,id=monitor,fd=8",
    ]


def test_variables_of_the_firmware_are_kept_where_one_wants_them(tmp_path: Path) -> None:
    if not any(Path(code).exists() for code, _ in qemu.FIRMWARE["uefi"]):
        pytest.skip("OVMF is not installed")
    argv = qemu.Machine(firmware="uefi", nvram=tmp_path / "kept").argv(tmp_path, 7, 8)
    assert values(argv, "-drive")[1] == f"if=pflash,unit=1,format=raw,file={tmp_path}/kept"
    assert (tmp_path / "kept").stat().st_size == qemu.firmware_files("uefi")[1].stat().st_size


@needs_qemu
def test_a_machine_that_cannot_start_says_what_qemu_says() -> None:
    machine = qemu.Machine(accelerator=("-accel", "nonsense"))
    with pytest.raises(qemu.MachineFailed, match="the machine ended") as caught, machine as vm:
        vm.expect("anything", 20)
    assert "nonsense" in str(caught.value)


def test_a_disk_has_the_identity_and_sectors_of_the_one_it_stands_for(tmp_path: Path) -> None:
    disk = qemu.Disk(tmp_path / "a", "S,1", "sata", wwn="0x5000c500a1b2c3d4", physical_sector_size=4096)
    (device,) = values(qemu.Machine(disks=[disk]).argv(tmp_path, 7, 8), "-device")
    assert device == (
        "ide-hd,drive=disk0,bootindex=2,bus=ide.1,serial=S,,1,wwn=0x5000c500a1b2c3d4,"
        "logical_block_size=512,physical_block_size=4096"
    )


@needs_qemu
def test_every_bus_takes_several_disks(tmp_path: Path) -> None:
    disks = [
        qemu.Disk(qemu.blank(tmp_path / f"{bus}{number}", 1), f"{bus}{number}", bus)
        for bus in qemu.DEVICES
        for number in range(2)
    ]
    with qemu.Machine(memory=64, cdrom=qemu.blank(tmp_path / "disc", 1), disks=disks) as vm:
        assert vm.transferred() >= 0


def test_a_second_disc_cannot_be_written(tmp_path: Path) -> None:
    argv = qemu.Machine(disks=[qemu.Disk(tmp_path / "a", bus="cdrom")]).argv(tmp_path, 7, 8)
    assert "readonly=on" in values(argv, "-drive")[0]


def test_a_restricted_card_reaches_nobody(tmp_path: Path) -> None:
    nic = qemu.Nic("52:54:00:00:00:01", nat=True, restrict=True)
    assert values(qemu.Machine(nics=[nic]).argv(tmp_path, 7, 8), "-netdev") == ["user,id=nic0,restrict=on"]


@needs_qemu
def test_the_machine_shows_its_screen_and_counts_what_its_drives_did(tmp_path: Path) -> None:
    with qemu.Machine(memory=64, disks=[qemu.Disk(qemu.blank(tmp_path / "disk", 1))]) as vm:
        for _ in range(300):
            if vm.transferred():
                break
            time.sleep(0.1)
        assert vm.transferred() > 0
        vm.screenshot(tmp_path / "screen.png")
        assert (tmp_path / "screen.png").read_bytes().startswith(b"\x89PNG")
        vm.press_power_button()
