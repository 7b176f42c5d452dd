# SPDX-License-Identifier: GPL-3.0-or-later
"""EXTLINUX and SYSLINUX for BIOS, and U-Boot with the same configuration.

EXTLINUX lies in three places: code before the partition table starts the active partition, whose boot sector has the
place of ldlinux.sys in the file system. So its installer has to be run again wherever files were restored. U-Boot lies
where the board looks for it, which is no file of the system.
"""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import recovered
from ..errors import RearError
from . import extlinux_menu
from .boot_sectors import SECTOR, boot_code, carrier, first_sector, has_other_table, leads_to, put_code, rebuilt
from .chroot import has_program, run_inside
from .loader import BootLoader, Facts

if TYPE_CHECKING:
    from ..run import Run

PROGRAM = "extlinux"
CORE = "ldlinux.sys"
# What the code that starts an active partition says where there is none: that of EXTLINUX for MBR and for GPT, and
# others for MBR. Without it another loader starts the disk, and a boot sector with EXTLINUX is of an earlier life.
STARTS_PARTITION = (b"Missing operating system", b"Missing OS")
# How its boot sectors begin, behind the jump; each file system's installer writes one of them.
MARKS = (b"SYSLINUX", b"EXTLINUX")
ADVICE = "install the package extlinux, then run `extlinux --install {folder}`"


def detect(run: Run) -> Facts | None:
    """The folder with ldlinux.sys, what it lies on, and the code in the first sector of its disks."""
    found = _folder(Path("/"))
    if found is None:
        return None
    here = carrier(run, found)
    if not is_boot_sector(first_sector(here.device)):
        return None
    disks = {disk: boot_code(disk) for disk in here.disks}
    codes = [bytes.fromhex(code) for code in disks.values()]
    if here.device not in disks and not any(mark in code for mark in STARTS_PARTITION for code in codes):
        return None
    # Of a disk without partitions the boot sector is the first sector.
    disks = {disk: "" if disk == here.device else code for disk, code in disks.items()}
    return {"folder": found, "device": here.device, "disks": disks, "started": True}


def _folder(target: Path) -> str | None:
    """The folder of the configuration, or else one of those where SYSLINUX has it, that has ldlinux.sys."""
    found = extlinux_menu.configuration(target)
    folders = [posixpath.dirname(found[0]) if found else "", *extlinux_menu.FOLDERS]
    return next((folder for folder in folders if recovered.inside(target, f"{folder}/{CORE}").is_file()), None)


def is_boot_sector(sector: bytes) -> bool:
    """Whether a boot sector is one of its."""
    return sector[3:11] in MARKS and sector[-2:] == b"\x55\xaa"


def by_hand(run: Run, facts: Facts) -> list[str]:
    """What a recovery needs where the machine does not have the installer."""
    if run.sh.which(PROGRAM) or has_program(run, PROGRAM):
        return []
    folder = facts["folder"]
    return [
        f"rear cannot install EXTLINUX, as this machine does not have it: it needs {folder}/{CORE} and the boot sector"
        f" of {facts['device']}: {ADVICE.format(folder=folder)}"
    ]


def install(run: Run, facts: Facts) -> list[str]:
    """Run the installer on the recovered folder, and put the code back that starts the partition."""
    folder = facts["folder"]
    place = recovered.inside(run.target, folder)
    place.mkdir(parents=True, exist_ok=True)
    if run.sh.which(PROGRAM):
        run.sh.run(PROGRAM, "--install", place)
    elif has_program(run, PROGRAM):
        run_inside(run, PROGRAM, "--install", folder)
    else:
        raise RearError("the machine has no program extlinux", f"`rear mountonly`, then {ADVICE.format(folder=folder)}")
    done = [f"EXTLINUX installed to {folder}"]
    for disk, now in rebuilt(run, facts["disks"]).items():
        if put_code(now, facts["disks"][disk]):
            done.append(f"boot code of {disk} written to {now}")
    return done


def verify(run: Run, facts: Facts) -> list[str]:
    """What keeps the BIOS from starting it."""
    folder, disks = facts["folder"], facts["disks"]
    core = recovered.inside(run.target, f"{folder}/{CORE}")
    if not core.is_file():
        return [f"{folder}/{CORE} is missing"]
    found = []
    for device, now in rebuilt(run, [facts["device"]]).items():
        if not is_boot_sector(first_sector(now)):
            found.append(f"EXTLINUX is not in the boot sector of {now}, which {device} was")
        elif not leads_to(now, _beginning(core)):
            found.append(f"the boot sector of {now} does not lead to {folder}/{CORE}")
    for disk, now in rebuilt(run, disks).items():
        if disks[disk] and has_other_table(run, disk):
            found.append(f"{now} has another kind of partition table: write mbr.bin or gptmbr.bin of EXTLINUX to it")
        elif disks[disk] and boot_code(now) != disks[disk]:
            found.append(f"the boot code of {disk} is not on {now}, which took its place")
    return found


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(SECTOR)


def detect_u_boot(run: Run) -> Facts | None:
    """A configuration without ldlinux.sys, on a machine that has no BIOS."""
    found = extlinux_menu.configuration(Path("/"))
    if found is None or run.system.machine in ("x86_64", "i686") or _folder(Path("/")):
        return None
    return {"configuration": found[0]}


def u_boot_by_hand(run: Run, facts: Facts) -> list[str]:
    """U-Boot itself is on no file system."""
    return [
        f"U-Boot reads {facts['configuration']}, and rear does not install U-Boot itself: where the board starts it"
        " from the disk and not from its own memory, write it there again (package u-boot-BOARD, or the board's image)"
    ]


def verify_u_boot(run: Run, facts: Facts) -> list[str]:
    """Whether the configuration is where U-Boot finds it."""
    name: Any = facts["configuration"]
    return [] if recovered.inside(run.target, name).is_file() else [f"{name} is missing"]


EXTLINUX = BootLoader(
    "EXTLINUX", detect, "bios", install, verify, extlinux_menu.entries, extlinux_menu.notes,
    extlinux_menu.naming_files, by_hand=by_hand, programs=(PROGRAM,),
)  # fmt: skip
U_BOOT = BootLoader(
    "U-Boot", detect_u_boot, "bios", lambda _run, _facts: (), verify_u_boot, extlinux_menu.entries,
    extlinux_menu.notes, extlinux_menu.naming_files, by_hand=u_boot_by_hand,
)  # fmt: skip
