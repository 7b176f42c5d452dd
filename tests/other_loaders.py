# SPDX-License-Identifier: GPL-3.0-or-later
"""Systems that other loaders than GRUB start, with their files and images that stand for disks."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rear_core.boot import limine, refind
from rear_core.storage.disk import Disk, Partition, PartitionTable
from rear_core.storage.layout import Layout, make
from rear_core.storage.mount import Mount
from rear_core.storage.technologies.ext import Ext
from rear_core.storage.technologies.vfat import Fat
from rear_core.testing.harness import Installed

ROOT, PARTUUID = "0a1b2c3d-0001-4a5b-8c6d-7e8f9a0b1c2d", "0a1b2c3d-0002-4a5b-8c6d-7e8f9a0b1c2d"
FSTAB = f"UUID={ROOT} / ext4 defaults 0 1\n"
EXTLINUX = f"""\
DEFAULT linux
LABEL linux
  LINUX /boot/vmlinuz-6.1
  INITRD /boot/initrd.img-6.1
  APPEND root=UUID={ROOT} ro quiet
"""
KERNEL = {"boot/vmlinuz-6.1": b"kernel", "boot/initrd.img-6.1": b"archive", "etc/fstab": FSTAB.encode()}
CORE = b"\r\nSYSLINUX 6.04".ljust(512, b"x")
CODE = b"Missing operating system".ljust(440, b"\x90")
LIMINE = f"""\
timeout: 3
/Linux
    protocol: linux
    kernel_path: guid({PARTUUID}):/vmlinuz-6.1
    cmdline: root=UUID={ROOT} ro quiet
    module_path: guid({PARTUUID}):/initrd.img-6.1
"""
REFIND = f'"Boot with standard options"  "root=UUID={ROOT} ro quiet"\n'
CMDLINE = f"console=serial0,115200 root=UUID={ROOT} rootfstype=ext4 rootwait\n"


def installed(folder: Path) -> list[Installed]:
    """One of each."""
    return [extlinux(folder), u_boot(folder), started_by_refind(folder), limine_bios(folder), limine_efi(folder),
            raspberry_pi(folder)]  # fmt: skip


def layout(mountpoint: str = "") -> Layout:
    """A disk with a root file system, and before it a FAT file system that is mounted there."""
    mounts = [Mount(f"mount:{mountpoint}", ("fs:fat", "mount:/"), mountpoint, "vfat")] if mountpoint else []
    return make(
        [
            Disk("disk:a", (), 10 << 30, "/dev/sda"), PartitionTable("table:a", ("disk:a",), "gpt"),
            Partition("partition:1", ("table:a",), 1, 1 << 20, 1 << 30, "c1", uuid=PARTUUID, device="/dev/sda1"),
            Partition("partition:2", ("table:a",), 2, 2 << 30, 4 << 30, "c2", device="/dev/sda2"),
            Fat("fs:fat", ("partition:1",), "AB-CD"), Ext("fs:root", ("partition:2",), ROOT),
            Mount("mount:/", ("fs:root",), "/", "ext4"), *mounts,
        ]
    )  # fmt: skip


def tree(path: Path, files: Mapping[str, bytes]) -> Path:
    """A system with these files."""
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def extlinux(folder: Path) -> Installed:
    """Code in the disk leads to the second partition, and its boot sector to a file of the root file system."""
    files = {"boot/extlinux/extlinux.conf": EXTLINUX.encode(), "boot/extlinux/ldlinux.sys": CORE, **KERNEL}
    sector = bytearray(b"\xeb\x58\x90SYSLINUX".ljust(510, b"\0") + b"\x55\xaa")
    sector[282:286] = (3).to_bytes(4, "little")
    disk, partition = folder / "extlinux-disk", folder / "extlinux-disk2"
    disk.write_bytes(CODE.ljust(512, b"\0"))
    partition.write_bytes(bytes(sector).ljust(3 * 512, b"\0") + CORE)
    facts = {"folder": "/boot/extlinux", "device": "/dev/sda2", "disks": {"/dev/sda": CODE.hex()}, "started": True}
    needed = ["/boot/extlinux/ldlinux.sys", f"{disk}"]
    return Installed("EXTLINUX", tree(folder / "extlinux", files), layout(), facts, needed, {"disk:a": f"{disk}"})


def u_boot(folder: Path) -> Installed:
    """Without a loader on a file system."""
    name = "boot/extlinux/extlinux.conf"
    files = {name: EXTLINUX.encode(), "etc/default/u-boot": f'U_BOOT_ROOT="root=UUID={ROOT}"\n'.encode(), **KERNEL}
    facts = {"configuration": f"/{name}"}
    return Installed("U-Boot", tree(folder / "u-boot", files), layout(), facts, [f"/{name}"])


def on_esp(program: str) -> dict[str, Any]:
    """A program of an EFI system partition that has no boot entry, and starts without one."""
    found = {"vendor": "x", "loader": program, "program": program, "shim": False, "entries": []}
    return {"partitions": [{"mountpoint": "/boot/efi", "installations": [found]}], "boot_order": [], "started": True}


def started_by_refind(folder: Path) -> Installed:
    """It finds the kernel of the root file system, which it reads with a driver."""
    program, driver = "EFI/refind/refind_x64.efi", "EFI/refind/drivers_x64/ext4_x64.efi"
    files = {
        f"boot/efi/{program}": refind.MARK, f"boot/efi/{driver}": b"MZ", "boot/efi/EFI/BOOT/BOOTX64.EFI": refind.MARK,
        "boot/efi/EFI/refind/refind.conf": f"timeout 5\nmenuentry x {{\n volume {PARTUUID}\n disabled\n}}\n".encode(),
        "boot/refind_linux.conf": REFIND.encode(), **KERNEL,
    }  # fmt: skip
    facts = {**on_esp(program), "drivers": [f"/boot/efi/{driver}"]}
    needed = [f"/boot/efi/{program}", f"/boot/efi/{driver}"]
    return Installed("rEFInd", tree(folder / "refind", files), layout("/boot/efi"), facts, needed)


def limine_sector(place: int) -> bytes:
    """A first sector that loads a stage from there."""
    sector = bytearray(b"\xeb\x3c\x90LIMINE  ".ljust(510, b"\0") + b"\x55\xaa")
    struct.pack_into("<HHQQ", sector, limine.STAGE, 0x2A00, 0x2800, place, 0)
    return bytes(sector)


def limine_bios(folder: Path) -> Installed:
    """The stage lies behind the first sector, and reads a file of the FAT file system."""
    files = {"boot/limine.conf": LIMINE.encode(), "boot/limine-bios.sys": b"x", **KERNEL}
    disk = folder / "limine-disk"
    disk.write_bytes(limine_sector(1024).ljust(1024, b"\0") + b"stage".ljust(512, b"\0"))
    facts = {"disks": {"/dev/sda": 1024}, "files": ["/boot/limine-bios.sys"]}
    needed = ["/boot/limine-bios.sys", f"{disk}"]
    return Installed("Limine BIOS", tree(folder / "limine", files), layout("/boot"), facts, needed,
                     {"disk:a": f"{disk}"})  # fmt: skip


def limine_efi(folder: Path) -> Installed:
    """It starts without a boot entry."""
    program = "EFI/BOOT/BOOTX64.EFI"
    content = b"Limine 8.2.0 limine.conf"
    files = {f"boot/efi/{program}": content, "boot/efi/limine.conf": LIMINE.encode(), **KERNEL}
    path = tree(folder / "limine-efi", files)
    return Installed("Limine EFI", path, layout("/boot/efi"), on_esp(program), [f"/boot/efi/{program}"])


def raspberry_pi(folder: Path) -> Installed:
    """As its own system has it since 2023."""
    here = "boot/firmware"
    files = {
        f"{here}/config.txt": b"arm_64bit=1\nauto_initramfs=1\n", f"{here}/cmdline.txt": CMDLINE.encode(),
        f"{here}/kernel8.img": b"Linux version 6.6.31+rpt-rpi-v8 (gcc)", f"{here}/initramfs8": b"archive",
        f"{here}/start4.elf": b"x", f"{here}/bcm2711-rpi-4-b.dtb": b"x", "etc/fstab": FSTAB.encode(),
        "etc/default/raspi-firmware": f"ROOTPART=UUID={ROOT}\n".encode(),
    }  # fmt: skip
    facts = {"folder": "/boot/firmware", "files": ["bcm2711-rpi-4-b.dtb", "start4.elf"]}
    needed = [f"/{here}/{name}" for name in ("start4.elf", "config.txt", "bcm2711-rpi-4-b.dtb")]
    return Installed("Raspberry Pi", tree(folder / "pi", files), layout("/boot/firmware"), facts, needed)
