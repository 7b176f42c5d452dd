# SPDX-License-Identifier: GPL-3.0-or-later
"""With RESCUE_SPLIT the rescue system takes its drivers from a disc or a server, and works as without."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import rear_output_rawdisk
import rear_output_usb
from lab import cache, debian, loops, qemu
from lab.chroot import Chroot
from lab.rescue import ISO
from lab.web import served
from rear_core import RescueImage, Run
from rear_core.builtin import core
from rear_core.plugins import Plugins
from rear_core.run import DRIVERS
from rear_core.settings import Sources, evaluate, parse
from rear_core.shell import Shell
from rear_core.storage.inventory import Device
from rear_core.system import Firmware, OperatingSystem, System
from rear_output_usb.disk import make_file_systems, partition_table
from rear_output_usb.loaders import install
from rear_output_usb.stick import described, opened
from rear_output_usb.versions import all_versions, menu, put_menu, write

pytestmark = [pytest.mark.vm, pytest.mark.long, pytest.mark.timeout(1800)]

MAC = "52:54:00:00:00:01"
PROMPT = r"RESCUE debian12:\S* # "
# The server's address is of QEMU's network for users; its port is not known yet when the media are made.
PORT = 18377
LABEL = "REAR-000"
CONFIGURATION = {
    "ISO": "OUTPUT=ISO\nRESCUE_SPLIT=yes\n",
    "PXE": f"OUTPUT=PXE\nRESCUE_SPLIT=yes\nOUTPUT_URL=file:///srv/tftp\nPXE_HTTP_DOWNLOAD_URL=http://10.0.2.2:{PORT}\n",
}


def made(output: str) -> Path:
    """What `rear mkrescue` makes of the Debian tree."""
    layers = debian.with_rear("squashfs-tools")

    def make(path: Path) -> None:
        with tempfile.TemporaryDirectory(dir=cache.directory()) as work, Chroot(layers, Path(work, "up")) as chroot:
            config = chroot.root / "etc/rear/local.conf"
            config.parent.mkdir(exist_ok=True)
            config.write_text(CONFIGURATION[output])
            chroot.run("rear", "mkrescue")
            if output == "ISO":
                shutil.copy(chroot.root / ISO, path)
            else:
                shutil.copytree(chroot.root / "srv/tftp", path)

    return cache.cached(
        f"split-{output}", cache.digest(*(layer.name for layer in layers), *CONFIGURATION.values()), make
    )


def check(vm: qemu.Machine) -> None:
    """The shell of a rescue system that has all drivers and holds no medium."""
    vm.expect("Rescue system of debian12\r*\n", timeout=900)
    vm.expect("Choice: ")
    vm.send("2\n")
    vm.shell(PROMPT)
    assert vm.sh("test -s /run/rear/problems && cat /run/rear/problems").output == ""
    assert vm.check("findmnt --noheadings --output FSTYPE --target /lib/modules/$(uname -r)") == "squashfs"
    assert vm.sh("findmnt --source /dev/sr0").status == 1
    vm.check("modprobe mlx5_core && modprobe --remove mlx5_core")
    assert "10.0.2.15" in vm.check("ip -brief addr show eth0")
    vm.power_off()


def test_drivers_come_from_the_disc(machine: Callable[..., qemu.Machine]) -> None:
    with machine(memory=768, cdrom=made("ISO"), nics=[qemu.Nic(MAC)]) as vm:
        check(vm)


def rescue_run(folder: Path, output: ModuleType, text: str = "") -> Run:
    """A run that makes media by an output."""
    declared = [*core.rear_settings(), *output.rear_settings()]
    settings = evaluate(Sources(assignments=tuple(parse(text, "local.conf"))), declared, {})
    run = Run(settings, Plugins([output]), build_dir=folder / "build", phases=("prep", "output"))
    run.build_dir.mkdir()
    run.system = System(OperatingSystem("debian"), "debian12", "x86_64", "6.1", Firmware("bios"))
    return run


def packed(boot: Path) -> RescueImage:
    """The rescue system that an ISO image has in its /boot."""
    line = re.search(r"^\s*linux \S+ (.*) rear.drivers=", (boot / "grub/grub.cfg").read_text(), re.MULTILINE)
    assert line
    return RescueImage(boot / "vmlinuz", boot / "initramfs.img", "6.1", line[1], boot / DRIVERS)


def stick(path: Path, boot: Path) -> None:
    """Make a stick with the rescue system that an ISO image has in its /boot."""
    run, image = rescue_run(path.parent, rear_output_usb), packed(boot)
    qemu.blank(path, 1024)
    run.sh.run("sfdisk", path, input=partition_table(LABEL, 512))
    rows = run.sh.json("sfdisk", "--json", path)["partitiontable"]["partitions"]
    with run.undo as undo:
        disk, efi, data = (
            loops.attached(undo, path),
            *(
                loops.attached(undo, path, f"--offset={row['start'] * 512}", f"--sizelimit={row['size'] * 512}")
                for row in rows[1:]
            ),
        )
        make_file_systems(run, efi, data, LABEL)
        uuid = run.sh.query("blkid", "--probe", "--match-tag", "UUID", "--output", "value", data).strip()
        made = described(run, Device(disk, disk.rpartition("/")[2], "", "disk", 1 << 30), data, uuid)
        with opened(run, made) as root:
            write(root, "debian12", image, uuid=uuid)
            (root / made.marker).parent.mkdir(parents=True)
            (root / made.marker).touch()
        install(run, made)
        with opened(run, made) as root:
            put_menu(root, menu(run, all_versions(root)))


def test_drivers_come_from_the_stick(machine: Callable[..., qemu.Machine], tmp_path: Path) -> None:
    boot = tmp_path / "boot"
    Shell().run("xorriso", "-osirrox", "on", "-indev", made("ISO"), "-extract", "/boot", boot)
    stick(tmp_path / "stick", boot)
    with machine(memory=768, disks=[qemu.Disk(tmp_path / "stick", "stick", "usb")], nics=[qemu.Nic(MAC)]) as vm:
        check(vm)


def test_drivers_come_from_the_image_of_a_disk(machine: Callable[..., qemu.Machine], tmp_path: Path) -> None:
    boot = tmp_path / "boot"
    Shell().run("xorriso", "-osirrox", "on", "-indev", made("ISO"), "-extract", "/boot", boot)
    run = rescue_run(tmp_path, rear_output_rawdisk, f"VAR_DIR={tmp_path}/var\n")
    run.image = packed(boot)
    with run.undo:
        for step in (*rear_output_rawdisk.rear_prep(run), *rear_output_rawdisk.rear_output(run)):
            step.action(run)
    with machine(memory=768, disks=[qemu.Disk(run.results[0], "raw", "virtio")], nics=[qemu.Nic(MAC)]) as vm:
        check(vm)


def test_drivers_come_from_the_server(machine: Callable[..., qemu.Machine]) -> None:
    asked: list[str] = []
    tftp = made("PXE")
    with served(tftp, "127.0.0.1", asked, PORT):
        nic = qemu.Nic(MAC, tftp=tftp, boot_file="grub/core.0")
        with machine(memory=1024, nics=[nic]) as vm:
            check(vm)
    assert asked[-1].endswith("/drivers.squashfs")
