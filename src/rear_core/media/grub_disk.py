# SPDX-License-Identifier: GPL-3.0-or-later
"""GRUB for BIOS on a disk with a BIOS boot partition, put there so that the disk boots at every moment.

The boot sector (boot.S) names the first sector of core.img; that one (diskboot.S) lists the sectors still to be loaded.
Both are in grub-core/boot/i386/pc of GRUB's sources; include/grub/i386/pc/boot.h names the offsets. The partition has
room for two cores: a new one is written beside the one in use, and the boot sector, a single write, leads to it.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path

from ..boot.grub_bios import CODE_END, KERNEL_SECTOR, LAST_BLOCK, SECTOR, read_boot_sector
from ..errors import RearError
from ..places.delivery import Extent, forget
from ..shell import Shell
from .grub import BIOS_MODULES, make_image

BIOS_BOOT_SIZE = 2 << 20
# Types of partitions in a GPT; the second is that of UEFI 2.10, table 5.7.
BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"
EFI_SYSTEM = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
EFI_LABEL = "REAR-EFI"
ALIGNMENT = 1 << 20
BPB = slice(0x03, 0x5A)  # belongs to the disk, as what lies between CODE_END and PARTITIONS_END
PARTITIONS_END = 0x1FE
DRIVE_CHECK = slice(0x66, 0x68)
NO_OPERATION = b"\x90\x90"


def boot_partitions(efi_size: int, sector: int = 512, *, bios: bool = True, ids: Sequence[str] = ()) -> str:
    """The input of sfdisk for a GPT with a BIOS boot partition and an EFI system partition; others may follow.

    `efi_size` is in bytes; `ids` are those of disk and partitions, which sfdisk makes up otherwise.
    """
    sizes = [(BIOS_BOOT_SIZE, BIOS_BOOT, "BIOS boot")] if bios else []
    sizes.append((efi_size, EFI_SYSTEM, EFI_LABEL))
    lines = ["label: gpt", "unit: sectors", f"first-lba: {ALIGNMENT // sector}"]
    lines += [f"label-id: {ids[0]}"] if ids else []
    for number, (size, type, name) in enumerate(sizes, start=1):
        start = f"start={ALIGNMENT // sector}, " if number == 1 else ""
        own = f", uuid={ids[number]}" if ids else ""
        lines.append(f'{start}size={size // sector}, type={type}{own}, name="{name}"')
    return "".join(f"{line}\n" for line in lines)


def make_core(sh: Shell, modules: Path, config: Path, core: Path) -> None:
    """GRUB's core.img for a disk; `config` is what it does first, all the modules that takes are in it."""
    make_image(sh, "i386-pc", modules, config, core, BIOS_MODULES)


def install(disk: Path, place: Extent, modules: Path, core: Path) -> bool:
    """Make a disk boot this core, written to `place`, its BIOS boot partition; whether anything had to be written."""
    room = place.size // 2 // SECTOR * SECTOR
    image = core.read_bytes()
    image += bytes(-len(image) % SECTOR)
    if len(image) > room:
        raise RearError(f"{core.name} has {len(image)} bytes, half of the BIOS boot partition has {room}")
    starts = [place.start, place.start + room]
    used = read_boot_sector(disk)
    used_start = used.core_start * SECTOR if used else -1
    with disk.open("r+b", buffering=0) as file:
        old = _read(file.fileno(), 0, SECTOR)
        for start in starts:
            sector = _boot_sector((modules / "boot.img").read_bytes(), old, start)
            if start == used_start and sector == old and _read(file.fileno(), start, len(image)) == _at(image, start):
                return False
        start = starts[1] if used_start == starts[0] else starts[0]
        _write(file.fileno(), start, _at(image, start))
        forget(disk)
        if _read(file.fileno(), start, len(image)) != _at(image, start):
            raise RearError(f"GRUB's core on {disk} cannot be read back", "the disk is damaged: use another one")
        _write(file.fileno(), 0, _boot_sector((modules / "boot.img").read_bytes(), old, start))
    forget(disk)
    return True


def _at(core: bytes, start: int) -> bytes:
    """A core for its place in bytes: its first sector says where the others begin."""
    first = bytearray(core[:SECTOR])
    struct.pack_into("<Q", first, LAST_BLOCK, start // SECTOR + 1)
    return bytes(first) + core[SECTOR:]


def _boot_sector(code: bytes, old: bytes, start: int) -> bytes:
    """GRUB's boot sector for a core, with what belongs to the disk as it was."""
    sector = bytearray(code)
    sector[BPB] = old[BPB]
    sector[CODE_END:PARTITIONS_END] = old[CODE_END:PARTITIONS_END]
    # BIOSes do not always say which disk they boot; on anything but a floppy GRUB can find out.
    sector[DRIVE_CHECK] = NO_OPERATION
    struct.pack_into("<Q", sector, KERNEL_SECTOR, start // SECTOR)
    return bytes(sector)


def _read(descriptor: int, start: int, size: int) -> bytes:
    return os.pread(descriptor, size, start)


def _write(descriptor: int, start: int, data: bytes) -> None:
    while data:
        written = os.pwrite(descriptor, data, start)
        data, start = data[written:], start + written
    os.fsync(descriptor)
