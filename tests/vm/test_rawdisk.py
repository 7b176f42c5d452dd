# SPDX-License-Identifier: GPL-3.0-or-later
"""The disk image of OUTPUT=RAWDISK boots with each firmware, up to the kernel that unpacks its initramfs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import rear_output_rawdisk
from lab import debian, qemu
from rear_core import RescueImage, Run
from rear_core.builtin import core
from rear_core.plugins import Plugins
from rear_core.settings import Sources, evaluate, parse
from rear_core.system import Firmware, OperatingSystem, System

pytestmark = [pytest.mark.vm, pytest.mark.long, pytest.mark.timeout(900)]

COMMAND_LINE = "console=tty0 console=ttyS0,115200"


def make_image(folder: Path, size: int) -> Path:
    """An image with a real kernel and an initramfs of `size` bytes with nothing in it, by the steps of the plugin."""
    (folder / "build").mkdir()
    initramfs = folder / "initramfs"
    argv = ["cpio", "--create", "--format=newc", "--quiet", f"--file={initramfs}"]
    subprocess.run(argv, input=b"", check=True)
    os.truncate(initramfs, size)
    declared = [*core.rear_settings(), *rear_output_rawdisk.rear_settings()]
    settings = evaluate(Sources(assignments=tuple(parse(f"VAR_DIR={folder}/var\n", "local.conf"))), declared, {})
    run = Run(settings, Plugins([rear_output_rawdisk]), build_dir=folder / "build", phases=("prep", "output"))
    run.system = System(OperatingSystem("debian"), "web1", "x86_64", "6.1", Firmware("bios"))
    run.image = RescueImage(debian.kernel(), initramfs, "6.1", COMMAND_LINE)
    with run.undo:
        for step in (*rear_output_rawdisk.rear_prep(run), *rear_output_rawdisk.rear_output(run)):
            step.action(run)
    return run.results[0]


# With the larger size the partition is FAT32.
@pytest.mark.parametrize(
    ("firmware", "bus", "size"),
    [
        ("bios", "virtio", 90 << 20),
        ("bios", "usb", 1 << 20),
        ("uefi", "virtio", 1 << 20),
        ("secureboot", "usb", 90 << 20),
    ],
)
def test_the_disk_boots(
    machine: Callable[..., qemu.Machine], tmp_path: Path, firmware: str, bus: str, size: int
) -> None:
    disk = qemu.Disk(make_image(tmp_path, size), "raw", bus, snapshot=True)
    with machine(memory=768, firmware=firmware, disks=[disk]) as vm:
        vm.expect("Rescue system of web1: menu to recover or repair", timeout=300)
        vm.expect("Boot from the first disk")
        vm.expect(r"Linux version \d", timeout=300)
        vm.expect(rf"Command line: .*{COMMAND_LINE}")
        if firmware == "secureboot":
            vm.expect("[Ss]ecure boot enabled")
        vm.expect("Trying to unpack rootfs image as initramfs|Unpacking initramfs", timeout=300)
