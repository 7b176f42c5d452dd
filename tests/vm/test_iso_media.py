# SPDX-License-Identifier: GPL-3.0-or-later
"""The ISO image boots a distribution's kernel on every firmware, as a CD and as a stick."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import rear_output_iso
from lab import debian, qemu
from rear_core import RescueImage, Run
from rear_core.builtin import core
from rear_core.plugins import Plugins
from rear_core.settings import Sources, evaluate
from rear_core.system import Firmware, OperatingSystem, System
from rear_output_iso.boot import find_loaders
from rear_output_iso.image import write_image

pytestmark = [pytest.mark.vm, pytest.mark.long]


@pytest.fixture
def iso(tmp_path: Path) -> Path:
    """An image with a real kernel and no rescue system: the boot loader's part of the way alone."""
    declared = [*core.rear_settings(), *rear_output_iso.rear_settings()]
    run = Run(evaluate(Sources(), declared, {}), Plugins([]), build_dir=tmp_path)
    run.system = System(OperatingSystem("debian"), "web1", "x86_64", "6.1", Firmware("bios"))
    initramfs = tmp_path / "initramfs"
    initramfs.write_bytes(b"")
    run.sh.run("cpio", "--create", "--format=newc", "--quiet", "--file", initramfs, input="")
    run.image = RescueImage(debian.kernel(), initramfs, "6.1", "console=tty0 console=ttyS0,115200")
    path = tmp_path / "rescue.iso"
    write_image(run, path, find_loaders(run), timeout=1)
    return path


@pytest.mark.timeout(600)
@pytest.mark.parametrize("medium", ["cd", "stick"])
@pytest.mark.parametrize("firmware", ["bios", "uefi", "secureboot"])
def test_the_menu_appears_and_starts_the_kernel_by_itself(
    machine: Callable[..., qemu.Machine], iso: Path, firmware: str, medium: str
) -> None:
    stick = qemu.Disk(iso, "stick", bus="usb", snapshot=True)
    drives = {"cdrom": iso} if medium == "cd" else {"disks": [stick]}
    with machine(memory=768, firmware=firmware, **drives) as running:
        running.expect("Rescue system of web1: menu to recover or repair")
        running.expect("Boot from the first disk")
        running.expect(r"Linux version \d")
        if firmware == "secureboot":
            running.expect("secureboot: Secure boot enabled")
