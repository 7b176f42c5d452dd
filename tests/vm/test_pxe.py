# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines start from a TFTP server, by each boot loader and on each firmware; in `make test-vm` one recovers."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

import rear_output_pxe
from lab import backups, cache, debian, methods, qemu
from lab.chroot import Chroot
from lab.web import served
from rear_core import RescueImage, Run
from rear_core.builtin import core, network, rescue
from rear_core.plugins import Plugins
from rear_core.settings import Sources, evaluate, parse
from rear_core.system import Firmware, OperatingSystem, System

pytestmark = [pytest.mark.vm]

MAC = "52:54:00:00:00:01"
ADDRESS = "10.0.2.15"
UUID = "b8945908-d6a6-41a9-611d-74a6ab80b83d"
COMMAND_LINE = "console=tty0 console=ttyS0,115200"


def publish(folder: Path, node: str, kernel: Path, initramfs: Path, more: str = "") -> Path:
    """A TFTP tree with this rescue system for this node, by the steps of the plugin; the folder `tftp`."""
    (folder / "build").mkdir()
    text = f"OUTPUT_URL=file://{folder}/tftp\nPXE_NODES=( {node} )\n{more}"
    plugins = (core, network, rescue, rear_output_pxe)
    declared = [setting for plugin in plugins for setting in plugin.rear_settings()]
    settings = evaluate(Sources(assignments=tuple(parse(text, "local.conf"))), declared, {})
    run = Run(settings, Plugins([rear_output_pxe]), build_dir=folder / "build", phases=("prep", "output"))
    run.system = System(OperatingSystem("debian"), "web1", "x86_64", "6.1", Firmware("bios"))
    run.image = RescueImage(kernel, initramfs, "6.1", COMMAND_LINE)
    with run.undo:
        for step in (*rear_output_pxe.rear_prep(run), *rear_output_pxe.rear_output(run)):
            step.action(run)
    return folder / "tftp"


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("firmware", "boot_file", "node"),
    [
        ("bios", "pxelinux.0", UUID),
        pytest.param("bios", "grub/core.0", ADDRESS, marks=pytest.mark.long),
        pytest.param("bios", "boot.ipxe", ADDRESS, marks=pytest.mark.long),
        pytest.param("uefi", "grub/bootx64.efi", UUID, marks=pytest.mark.long),
    ],
    ids=["pxelinux-uuid", "grub-ip", "ipxe-ip", "uefi-uuid"],
)
def test_a_boot_loader_finds_its_menu_and_starts_the_kernel_by_itself(
    machine: Callable[..., qemu.Machine], tmp_path: Path, firmware: str, boot_file: str, node: str
) -> None:
    # A real kernel and no rescue system: the boot loader's part of the way alone.
    initramfs = tmp_path / "initramfs"
    argv = ["cpio", "--create", "--format=newc", "--quiet", f"--file={initramfs}"]
    subprocess.run(argv, input=b"", check=True)
    tftp = publish(tmp_path, node, debian.kernel(), initramfs)
    nic = qemu.Nic(MAC, tftp=tftp, boot_file=boot_file)
    with machine(memory=768, firmware=firmware, uuid=UUID, nics=[nic]) as vm:
        if boot_file != "boot.ipxe":  # iPXE's menu is on the screen alone
            vm.expect("Rescue system of web1: menu to recover or repair")
            vm.expect("Boot from the first disk")
        vm.expect(r"Linux version \d")
        vm.expect(rf"Command line: .*{COMMAND_LINE}")
        vm.expect("Trying to unpack rootfs image as initramfs|Unpacking initramfs")


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("boot_file", ["grub/core.0", "boot.ipxe"])
@pytest.mark.parametrize(("address", "here"), [("10.0.2.2", "127.0.0.1"), ("[fec0::2]", "::1")], ids=["ipv4", "ipv6"])
def test_kernel_and_rescue_system_come_by_http(
    machine: Callable[..., qemu.Machine], tmp_path: Path, boot_file: str, address: str, here: str
) -> None:
    initramfs = tmp_path / "initramfs"
    argv = ["cpio", "--create", "--format=newc", "--quiet", f"--file={initramfs}"]
    subprocess.run(argv, input=b"", check=True)
    asked: list[str] = []
    (tmp_path / "tftp").mkdir()
    with served(tmp_path / "tftp", here, asked) as port:
        url = f"PXE_HTTP_DOWNLOAD_URL=http://{address}:{port}\n"
        tftp = publish(tmp_path, MAC, debian.kernel(), initramfs, url)
        nic = qemu.Nic(MAC, tftp=tftp, boot_file=boot_file)
        with machine(memory=768, firmware="bios", uuid=UUID, nics=[nic]) as vm:
            vm.expect(r"Linux version \d")
            vm.expect(rf"Command line: .*{COMMAND_LINE}")
            vm.expect("Trying to unpack rootfs image as initramfs|Unpacking initramfs")
    assert [path.rpartition("/")[2] for path in asked] == ["SHA256SUMS", "vmlinuz", "initramfs.img"]


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("boot_file", ["grub/core.0", "boot.ipxe"])
def test_the_tree_is_served_by_tftp_over_ipv6(
    machine: Callable[..., qemu.Machine], tmp_path: Path, boot_file: str
) -> None:
    """A start by IPv4 leads to the tree at the server's IPv6 address, and nothing there leads back."""
    initramfs = tmp_path / "initramfs"
    argv = ["cpio", "--create", "--format=newc", "--quiet", f"--file={initramfs}"]
    subprocess.run(argv, input=b"", check=True)
    tftp = publish(tmp_path, MAC, debian.kernel(), initramfs)
    if boot_file == "boot.ipxe":
        boot_file = "first.ipxe"
        start = "#!ipxe\nifconf --configurator ipv6\nchain --replace tftp://[fec0::2]/boot.ipxe\n"
        (tftp / boot_file).write_text(start)
    else:
        (tftp / "grub/grub.cfg").rename(tftp / "grub/second.cfg")
        start = (
            "net_ipv6_autoconf\nset root='(tftp,[fec0::2])'\nset prefix=($root)/grub\nconfigfile $prefix/second.cfg\n"
        )
        (tftp / "grub/grub.cfg").write_text(start)
    nic = qemu.Nic(MAC, tftp=tftp, boot_file=boot_file)
    with machine(memory=768, firmware="bios", uuid=UUID, nics=[nic]) as vm:
        vm.expect(r"Linux version \d")
        vm.expect("Trying to unpack rootfs image as initramfs|Unpacking initramfs")


def tree(release: debian.Release = debian.BOOKWORM) -> Path:
    """What `rear mkrescue` with OUTPUT=PXE makes of the Debian tree."""
    layers = debian.with_rear(release=release)

    def make(path: Path) -> None:
        with tempfile.TemporaryDirectory(dir=cache.directory()) as work, Chroot(layers, Path(work, "up")) as chroot:
            config = chroot.root / "etc/rear/local.conf"
            config.parent.mkdir(exist_ok=True)
            config.write_text("OUTPUT=PXE\nOUTPUT_URL=file:///srv/tftp\n")
            if release.machine == debian.ARM64.machine:
                # The consoles of the architecture, not those that a chroot is told.
                (chroot.root / "run/cmdline").write_text("quiet\n")
            chroot.run("rear", "mkrescue", timeout=1800)
            shutil.copytree(chroot.root / "srv/tftp", path)

    return cache.cached("pxe", cache.digest(*(layer.name for layer in layers)), make)


# Daily a stick starts with Secure Boot, and PXELINUX loads kernel and initramfs from the network.
@pytest.mark.long
def test_the_rescue_system_comes_over_the_network_with_secure_boot(machine: Callable[..., qemu.Machine]) -> None:
    nic = qemu.Nic(MAC, tftp=tree(), boot_file="grub/bootx64.efi")
    with machine(firmware="secureboot", nics=[nic]) as vm:
        look_around(vm)
        assert "secure boot enabled" in vm.check("dmesg").lower()
        vm.power_off()


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_rescue_system_of_an_arm_machine_comes_over_the_network(machine: Callable[..., qemu.Machine]) -> None:
    nic = qemu.Nic(MAC, tftp=tree(debian.ARM64), boot_file="grub/bootaa64.efi")
    with machine(debian.ARM64, nics=[nic]) as vm:
        look_around(vm)
        assert vm.check("uname -m") == "aarch64"
        vm.power_off()


def look_around(vm: qemu.Machine) -> None:
    """From the boot menu to a shell of the rescue system, which is whole."""
    vm.expect("Rescue system of debian12: menu to recover or repair", timeout=600)
    vm.expect("Rescue system of debian12\r*\n", timeout=900)
    vm.expect("Choice: ")
    vm.send("2\n")
    vm.shell(r"RESCUE debian12:\S* # ")
    assert vm.sh("test -s /run/rear/problems && cat /run/rear/problems").output == ""
    plugins = json.loads(vm.check("rear plugins list --json"))
    assert ("output", "PXE", "active") in {(row["kind"], row["name"], row["state"]) for row in plugins}


# tests/uml has the method; here its rescue system comes by GRUB for BIOS, too.
@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_machine_comes_back_over_the_network_from_storage_protect(
    machine: Callable[..., qemu.Machine], tmp_path: Path
) -> None:
    saved = methods.saved()
    assert "Saved /home" in saved.said["pxe"]
    disks = methods.blank(tmp_path)
    nic = dataclasses.replace(methods.CARD, tftp=saved.folder / "output/tftp", boot_file="grub/core.0")
    with saved.server(), machine(memory=1024, disks=disks, nics=[nic]) as vm:
        backups.recover(vm, "Restored /home: ")
    methods.check(disks, saved.files)
