# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine makes itself a USB stick with rescue system and backup and comes back from it; it is never a target."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lab import backups, methods, originals, qemu

pytestmark = [pytest.mark.vm, pytest.mark.timeout(3600)]

INSIDE = f'mount -o loop,ro,offset="$1" "$2" /mnt && cd /mnt && {methods.HELD}'
PROMPT = r"RESCUE debian12:\S* # "


@pytest.mark.long
def test_only_a_free_disk_is_formatted() -> None:
    said = originals.on_stick().said
    assert said["/dev/sda"]["status"] == 3 and "/dev/sda1 is mounted on /" in said["/dev/sda"]["output"]
    assert said["/dev/sda1"]["status"] == 3 and "name the whole disk, /dev/sda" in said["/dev/sda1"]["output"]
    assert said["nobody"]["status"] == 3 and "It is blank." in said["nobody"]["output"]
    assert said["mounted"]["status"] == 3 and "is mounted on /mnt" in said["mounted"]["output"]
    assert "vfat REAR-EFI REAR-EFI" in said["formatted"] and "ext4 REAR-000 REAR-000" in said["formatted"]


def test_the_stick_holds_one_rescue_system_and_one_backup() -> None:
    held = [Path(name) for name in originals.on_stick().said["stick"].splitlines()]
    assert sorted(path.name for path in held if path.parts[:2] == ("boot", "rear")) == [
        "initramfs.img", "rescue.json", "vmlinuz",
    ]  # fmt: skip
    assert sorted(path.name for path in held if path.parts[0] == "rear") == [
        "backup.tar", "coverage.json", "manifest.json",
    ]  # fmt: skip


@pytest.mark.long
def test_the_stick_boots_with_secure_boot_and_is_no_target_even_where_it_is_the_only_disk(
    machine: Callable[..., qemu.Machine],
) -> None:
    stick = qemu.Disk(originals.on_stick().path, "stick", "usb", snapshot=True)
    with machine(memory=1024, firmware="secureboot", disks=[stick]) as vm:
        rescue_shell(vm)
        assert "secure boot enabled" in vm.check("dmesg").lower()
        by_itself = vm.sh("rear layout plan 2>&1", timeout=300)
        vm.check("echo 'DISK_MAPPING=( 0a01=/dev/sda )' >>/etc/rear/local.conf")
        as_chosen = vm.sh("rear layout plan 2>&1", timeout=300)
    for refused in (by_itself, as_chosen):
        assert refused.status == 3, refused.output
        assert "it is rescue media (labelled REAR-" in refused.output


@pytest.mark.long
def test_the_machine_comes_back_from_the_stick(machine: Callable[..., qemu.Machine], tmp_path: Path) -> None:
    saved = originals.on_stick()
    stick = qemu.Disk(saved.copy(tmp_path), "stick", "usb")
    disks = originals.blank(tmp_path)
    with machine(memory=1024, disks=[stick, *disks]) as vm:
        backups.recover(vm)
    methods.check(disks, saved.files, originals.NOT_ON_STICK)
    assert held_by(stick.path) == saved.said["stick"].splitlines()


def held_by(stick: Path) -> list[str]:
    """The files on the last partition of a stick."""
    told = subprocess.run(["sfdisk", "--json", stick], capture_output=True, check=True).stdout
    table = json.loads(told)["partitiontable"]
    offset = table["partitions"][-1]["start"] * table["sectorsize"]
    argv = ["unshare", "--mount", "--propagation=private", "sh", "-c", INSIDE, "sh", f"{offset}", f"{stick}"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()


def rescue_shell(vm: qemu.Machine) -> None:
    """To a shell of the rescue system, by the last entry of the boot menu."""
    vm.expect("Recover debian12[^\n]* automatically", timeout=600)
    vm.send(backups.DOWN + backups.DOWN + "\r")
    vm.shell(PROMPT, timeout=600)
