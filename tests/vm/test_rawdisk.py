# SPDX-License-Identifier: GPL-3.0-or-later
"""The disk image of OUTPUT=RAWDISK, as `rear mkrescue` makes it, boots from a disk with each firmware."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from lab import cache, debian, qemu
from lab.chroot import Chroot

pytestmark = [pytest.mark.vm, pytest.mark.long, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def image() -> Path:
    """The image of the Debian tree."""
    layers = debian.with_rear()

    def make(path: Path) -> None:
        with tempfile.TemporaryDirectory(dir=cache.directory()) as work, Chroot(layers, Path(work, "up")) as chroot:
            config = chroot.root / "etc/rear/local.conf"
            config.parent.mkdir(exist_ok=True)
            config.write_text("OUTPUT=RAWDISK\n")
            chroot.run("rear", "mkrescue")
            shutil.copyfile(chroot.root / "var/lib/rear/output/rear-debian12.raw", path)

    return cache.cached("rawdisk", cache.digest(*(layer.name for layer in layers)), make)


@pytest.mark.parametrize(("firmware", "bus"), [("bios", "virtio"), ("uefi", "virtio"), ("secureboot", "usb")])
def test_the_disk_boots_and_is_known_as_rescue_media(
    machine: Callable[..., qemu.Machine], image: Path, firmware: str, bus: str
) -> None:
    disk = qemu.Disk(image, "raw", bus, snapshot=True)
    with machine(memory=1024, firmware=firmware, disks=[disk]) as vm:
        vm.expect("Rescue system of debian12: menu to recover or repair", timeout=600)
        vm.expect("Rescue system of debian12\r*\n", timeout=900)
        vm.expect("Choice: ")
        vm.send("2\n")
        vm.shell(r"RESCUE debian12:\S* # ")
        assert vm.sh("test -s /run/rear/problems && cat /run/rear/problems").output == ""
        assert vm.sh("test -d /sys/firmware/efi").status == (firmware == "bios")
        assert ("secure boot enabled" in vm.check("dmesg").lower()) == (firmware == "secureboot")
        plugins = json.loads(vm.check("rear plugins list --json"))
        assert ("output", "RAWDISK", "active") in {(row["kind"], row["name"], row["state"]) for row in plugins}
        assert "REAR-EFI" in vm.check("lsblk --noheadings --output LABEL")
        vm.power_off()
