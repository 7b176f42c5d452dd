# SPDX-License-Identifier: GPL-3.0-or-later
"""ISO 9660 images by xorriso: bootable from CD and, copied to it as they are, from a stick; read back."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import RearError
from ..places.delivery import Extent, checksum_within, forget, is_same
from ..shell import Shell

BLOCK = 2048
BIOS_IMAGE = "/boot/grub/bios.img"
EFI_PARTITION_TYPE = "0xef"
HOURS = 3600


@dataclass(frozen=True)
class BiosLoader:
    """What makes a medium boot on BIOS: the image El Torito loads, and the boot record for sticks."""

    image: Path
    boot_record: Path


def make_iso(
    sh: Shell,
    iso: Path,
    files: Mapping[str, Path],
    *,
    volume_id: str,
    epoch: int,
    bios: BiosLoader | None,
    efi_image: Path | None,
) -> None:
    """Write an image with these files, by absolute path in it, readable by its owner alone.

    It boots on BIOS with `bios`, on UEFI with `efi_image`. The same input and `epoch` give the same bytes.
    """
    iso.unlink(missing_ok=True)
    os.close(os.open(iso, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    boot: list[str | Path] = []
    grafts = dict(files)
    if bios:
        grafts[BIOS_IMAGE] = bios.image
        boot += ["-b", BIOS_IMAGE, "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table"]
        boot += ["--grub2-boot-info", "--grub2-mbr", bios.boot_record, "--mbr-force-bootable"]
    if bios and efi_image:
        boot.append("-eltorito-alt-boot")
    if efi_image:
        # The same bytes serve El Torito and, as a partition, firmware that finds the image on a stick.
        boot += ["-append_partition", "2", EFI_PARTITION_TYPE, efi_image]
        boot += ["-e", "--interval:appended_partition_2:all::", "-no-emul-boot"]
    sh.run(
        # It looks each second whether it has finished, or so often. Who checks the image has it written out.
        "xorriso", "-pacifier", "interval=0.1", "-stdio_sync", "off", "-as", "mkisofs",
        "-o", iso, "-V", volume_id, "-A", "rear", "-iso-level", "3", "-r",
        "--set_all_file_dates", f"={epoch}", "-c", "/boot/boot.cat", *boot,
        "-graft-points", *(_graft_point(name, path) for name, path in sorted(grafts.items())),
        env={"SOURCE_DATE_EPOCH": str(epoch), "TZ": "UTC"},
        timeout=12 * HOURS,
    )  # fmt: skip


def verify_iso(
    sh: Shell, iso: Path, files: Mapping[str, Path], efi_image: Path | None, sums: Mapping[str, str] | None = None
) -> None:
    """Prove that an image is complete, holds these files byte by byte, and has these SHA-256 sums of others.

    It is read from its disk, not from memory. Raises `RearError` when it is not what it should be.
    """
    forget(iso)
    size, expected = iso.stat().st_size, volume_size(iso)
    if size < expected:
        raise RearError(f"{iso} has {size} bytes of {expected}", "check the free space, then run it again")
    extents = file_extents(sh, iso)
    for name, path in files.items():
        if name not in extents:
            raise RearError(f"{name} is missing on the image {iso}")
        if not is_same(iso, extents[name], path):
            raise RearError(f"{name} on the image {iso} differs from its source", "check the disk it is on")
    for name, sha256 in (sums or {}).items():
        if checksum_within(iso, extents.get(name, ())) != sha256:
            raise RearError(f"{name} on the image {iso} is missing or damaged", "check the disk it is on")
    if efi_image and not is_same(iso, [efi_partition(iso)], efi_image):
        raise RearError(f"the EFI partition of the image {iso} differs from its source", "check its disk")


def efi_partition(iso: Path) -> Extent:
    """Where the EFI boot image lies, by the second entry of the partition table."""
    with iso.open("rb") as file:
        entry = file.read(512)[446 + 16 : 446 + 32]
    if entry[4] != int(EFI_PARTITION_TYPE, 16):
        raise RearError(f"{iso} has no EFI partition", "run it again")
    return Extent(int.from_bytes(entry[8:12], "little") * 512, int.from_bytes(entry[12:16], "little") * 512)


def volume_size(iso: Path) -> int:
    """The size an image should have, by its primary volume descriptor (ECMA-119, 8.4.8)."""
    with iso.open("rb") as file:
        file.seek(16 * BLOCK)
        descriptor = file.read(BLOCK)
    if descriptor[:6] != b"\x01CD001":
        raise RearError(f"{iso} is not an ISO 9660 image")
    return int.from_bytes(descriptor[80:84], "little") * BLOCK


def file_extents(sh: Shell, iso: Path) -> dict[str, list[Extent]]:
    """Where the content of every file of an image lies, by absolute path; beyond 4 GiB in several extents."""
    # $ xorriso -indev rear.iso -find / -type f -exec report_lba --
    # Report layout: xt , Startlba ,   Blocks , Filesize , ISO image path
    # File data lba:  0 ,       46 ,     3984 ,  8157120 , '/boot/vmlinuz'
    find = ("-find", "/", "-type", "f", "-exec", "report_lba", "--")
    listed = sh.query("xorriso", "-indev", f"stdio:{iso}", *find)
    line = re.compile(r"File data lba:\s*\d+ ,\s*(\d+) ,\s*(\d+) ,\s*(\d+) , '(.*)'")
    found: dict[str, list[Extent]] = defaultdict(list)
    for start, blocks, size, name in (match.groups() for match in line.finditer(listed)):
        left = int(size) - sum(extent.size for extent in found[name])
        found[name].append(Extent(int(start) * BLOCK, min(int(blocks) * BLOCK, left)))
    return found


def _graft_point(name: str, path: Path) -> str:
    """TARGET=SOURCE, as xorriso takes it: a backslash or = within a path is escaped."""
    return "=".join(word.replace("\\", "\\\\").replace("=", "\\=") for word in (name, os.fspath(path)))
