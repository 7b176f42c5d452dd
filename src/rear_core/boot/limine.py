# SPDX-License-Identifier: GPL-3.0-or-later
"""Limine for BIOS, recognized by the first sectors of disks, and for UEFI by its program.

For BIOS the first sector has the two places and sizes of the stage that it loads, at 0x1a4 (stage1/hdd/bootsect.asm of
its sources); that one reads limine-bios.sys from a file system.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

from .. import recovered
from ..errors import RearError
from ..storage.disk import BIOS_BOOT, Partition
from . import efi_programs, limine_menu
from .boot_sectors import SECTOR, block_devices, first_sector, rebuilt
from .chroot import has_program, run_inside
from .efi_install import problems
from .efi_partitions import describe
from .loader import BootLoader, Facts

if TYPE_CHECKING:
    from ..run import Run

NAME = "Limine"
MARK = b"LIMINE"
STAGE = 0x1A4
# The installer, and what it was called up to Limine 4.
PROGRAMS = {"limine": ("bios-install",), "limine-deploy": ()}
# What the stage reads, and what that was called.
STAGE_FILES = ("limine-bios.sys", "limine.sys")
INSTALL = "install the package limine, then run `limine bios-install DISK`"
CONFIGURATIONS = (b"limine.conf", b"limine.cfg")


def stage_place(sector: bytes) -> int | None:
    """Where the stage begins that a first sector loads, in bytes; None where the sector is not Limine's."""
    if len(sector) < SECTOR or sector[3:9] != MARK or sector[-2:] != b"\x55\xaa":
        return None
    _, _, place, _ = struct.unpack_from("<HHQQ", sector, STAGE)
    return int(place)


def detect_bios(run: Run) -> Facts | None:
    """The disks whose first sector is Limine's, each with the place of its stage, and the file that this reads."""
    disks = {}
    for device in block_devices(run):
        place = stage_place(first_sector(device["name"])) if device["type"] != "part" else None
        if place is not None:
            disks[device["name"]] = place
    return {"disks": disks, "files": _stage_files(Path("/"))} if disks else None


def _stage_files(target: Path) -> list[str]:
    """The files of the stage, in any of the folders where it looks."""
    places = [f"{above}{folder}/{name}" for above in limine_menu.MOUNTED for folder in limine_menu.FOLDERS
              for name in STAGE_FILES]  # fmt: skip
    found = {recovered.inside(target, place): place for place in reversed(places)}
    return sorted(place for path, place in found.items() if path.is_file())


def by_hand(run: Run, facts: Facts) -> list[str]:
    """What a recovery needs where the machine does not have the installer."""
    if _installer(run) or has_program(run, "limine"):
        return []
    disks, files = " and ".join(facts["disks"]), ", ".join(facts["files"]) or STAGE_FILES[0]
    return [
        f"rear cannot install Limine, as this machine does not have its program: it needs {files}, the first sector of"
        f" {disks}, and behind it the stage that reads that file: {INSTALL}"
    ]


def _installer(run: Run) -> str:
    return next((name for name in PROGRAMS if run.sh.which(name)), "")


def install_bios(run: Run, facts: Facts) -> list[str]:
    """Write the first sector and the stage of each disk that had them."""
    done = []
    for disk, now in rebuilt(run, facts["disks"]).items():
        argv = [now, *partition_of(run, disk, facts["disks"][disk])]
        if name := _installer(run):
            run.sh.run(name, *PROGRAMS[name], *argv)
        elif inside := next((name for name in PROGRAMS if has_program(run, name)), ""):
            run_inside(run, inside, *PROGRAMS[inside], *argv)
        else:
            raise RearError("the machine has no program limine", f"`rear mountonly`, then {INSTALL}")
        done.append(f"Limine for BIOS installed to {now}")
    return done


def partition_of(run: Run, disk: str, place: int) -> list[str]:
    """The number of the BIOS boot partition that the stage was in; it can also lie behind the table of a GPT."""
    assert run.layout is not None
    partitions = [item for item in run.layout.of(Partition) if item.code.lower() == BIOS_BOOT]
    disks = {item.id for item in run.layout if getattr(item, "device", "") == disk}
    found = [item for item in partitions if disks & {below.id for below in run.layout.below(item.id)}]
    return [str(item.number) for item in found if item.start <= place < item.start + item.size][:1]


def verify_bios(run: Run, facts: Facts) -> list[str]:
    """What keeps the BIOS from starting it."""
    found = [f"{name} is missing" for name in facts["files"] if not recovered.inside(run.target, name).is_file()]
    for now in rebuilt(run, facts["disks"]).values():
        place = stage_place(first_sector(now))
        if place is None:
            found.append(f"Limine is not in the first sector of {now}")
        elif not _filled(now, place):
            found.append(f"the first sector of {now} leads to no stage of Limine")
    return found


def _filled(disk: str, place: int) -> bool:
    with Path(disk).open("rb") as file:
        file.seek(place)
        return any(file.read(SECTOR))


def is_ours(content: bytes) -> bool:
    """Whether an EFI program is Limine: it has its name, and that of its configuration."""
    return b"Limine " in content and any(name in content for name in CONFIGURATIONS)


def find_installations(esp: Path) -> list[efi_programs.Program]:
    """Every Limine of a mounted EFI system partition."""
    return efi_programs.find(esp, is_ours)


def detect_efi(run: Run) -> Facts | None:
    """Limine on the mounted EFI system partitions."""
    return describe(run, find_installations, NAME)


def install_efi(run: Run, facts: Facts) -> list[str]:
    """Make the firmware start it; its program came with the backup."""
    return efi_programs.install(run, facts, NAME, "in a chroot copy BOOTX64.EFI of the package limine there")


def verify_efi(run: Run, facts: Facts) -> list[str]:
    """What keeps the firmware from starting it."""
    return problems(run, facts, NAME, "loader", "program")


LIMINE_BIOS = BootLoader(
    f"{NAME} BIOS", detect_bios, "bios", install_bios, verify_bios, limine_menu.entries, limine_menu.notes,
    limine_menu.naming_files, by_hand=by_hand, programs=tuple(PROGRAMS),
)  # fmt: skip
LIMINE_EFI = BootLoader(
    f"{NAME} EFI", detect_efi, "uefi", install_efi, verify_efi, limine_menu.entries, limine_menu.notes,
    limine_menu.naming_files,
)  # fmt: skip
