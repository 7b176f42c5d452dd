# SPDX-License-Identifier: GPL-3.0-or-later
"""GRUB 2 for BIOS: recognised by the bytes of the boot sectors.

The layout of the boot sector and of the sector it loads is that of GRUB's sources, boot.S and diskboot.S in
grub-core/boot/i386/pc; include/grub/i386/pc/boot.h names the offsets.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ..storage.disk import BIOS_BOOT
from . import grub_conversion, grub_crypto, grub_menu, grub_references, grub_rescue
from .boot_sectors import block_devices
from .loader import BootLoader, Facts, below_boot

if TYPE_CHECKING:
    from ..run import Run
    from ..storage.layout import Item
    from ..storage.plan import Rebuilt

SECTOR = 512
KERNEL_SECTOR = 0x5C
CODE_END = 0x1B8  # behind it: the disk's signature and the partition table
WORDS = (b"GRUB \0", b"Geom\0", b"Hard Disk\0", b"Read\0", b" Error")
LAST_BLOCK = SECTOR - 12


@dataclass(frozen=True)
class BootSector:
    """GRUB in a boot sector: where core.img starts and how many sectors it has, 0 when it is not there."""

    core_start: int
    core_sectors: int


def read_boot_sector(device: Path, disk: Path | None = None) -> BootSector | None:
    """GRUB in the boot sector of a disk, partition or image; None when something else or nothing is there.

    `disk` is the one that a partition is part of, which is found for block devices.
    """
    with device.open("rb") as file:
        sector = file.read(SECTOR)
    if len(sector) < SECTOR or sector[-2:] != b"\x55\xaa" or not all(word in sector for word in WORDS):
        return None
    (core_start,) = struct.unpack_from("<Q", sector, KERNEL_SECTOR)
    # Also in a partition the number is that of the disk: the firmware reads disks.
    with (disk or whole_disk(device)).open("rb") as file:
        return BootSector(core_start, _core_sectors(_read_sector(file, core_start)))


def whole_disk(device: Path, sysfs: Path = Path("/sys")) -> Path:
    """The disk that a partition is part of; of anything else, itself."""
    number = device.stat().st_rdev
    known = sysfs / f"dev/block/{os.major(number)}:{os.minor(number)}"
    if (known / "partition").exists():
        return _node(known.resolve().parent)
    if (known / "dm/uuid").exists() and (known / "dm/uuid").read_text().startswith("part"):  # of a multipath disk
        return _node(next((known / "slaves").iterdir()))
    return device


def _node(known: Path) -> Path:
    """The device node of what sysfs has: the `cciss!c0d0` of old controllers is /dev/cciss/c0d0."""
    return Path("/dev", known.name.replace("!", "/"))


def _read_sector(file: IO[bytes], number: int) -> bytes:
    try:
        file.seek(number * SECTOR)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return b""  # the number is beyond any disk
    return file.read(SECTOR)


def _core_sectors(first: bytes) -> int:
    """Sectors of a core.img by its first one, which ends in the list of blocks still to be loaded.

    The list grows downwards: start (8 bytes), number of sectors (2), segment (2); a number of 0 ends it.
    """
    if len(first) < SECTOR or b"Geom\0Read\0 Error" not in first:
        return 0
    total = 1
    for offset in range(LAST_BLOCK, 0x100, -12):
        _, sectors, _ = struct.unpack_from("<QHH", first, offset)
        if not sectors:
            break
        total += sectors
    return total


def detect(run: Run) -> Facts | None:
    """The disks and partitions whose boot sector is GRUB's; a device that cannot be read is a warning."""
    found = []
    devices = list(block_devices(run))
    for device in devices:
        try:
            sector = read_boot_sector(Path(device["name"]))
        except OSError as error:
            run.report.warn(f"cannot read the boot sector of {device['name']}: {error.strerror}")
            continue
        if sector:
            found.append(
                {
                    "device": device["name"],
                    "core_start": sector.core_start,
                    "core_sectors": sector.core_sectors,
                    "core_place": core_place(sector, _partitions_of(device["pkname"] or device["name"], devices)),
                }
            )
    return {"boot_sectors": found, "platforms": grub_conversion.platforms(os.uname().machine)} if found else None


@dataclass(frozen=True)
class Partition:
    """A partition as far as the place of core.img depends on it; in sectors of 512 bytes."""

    name: str
    start: int
    size: int
    type: str


def core_place(sector: BootSector, partitions: list[Partition]) -> str:
    """Where core.img lies: "missing", "after the MBR", "BIOS boot partition NAME", "other partition NAME"."""
    if not sector.core_sectors:
        return "missing"
    for partition in partitions:
        if partition.start <= sector.core_start < partition.start + partition.size:
            kind = "BIOS boot" if partition.type == BIOS_BOOT else "other"
            return f"{kind} partition {partition.name}"
    return "after the MBR"


def _partitions_of(disk: str, devices: list[dict[str, Any]]) -> list[Partition]:
    partitions = []
    for device in devices:
        if device["type"] == "part" and device["pkname"] == disk:
            numbers = Path("/sys/class/block") / device["kname"].replace("/dev/", "", 1).replace("/", "!")
            if not (numbers / "start").exists():
                continue  # of a multipath disk
            start, size = (int((numbers / name).read_text()) for name in ("start", "size"))
            partitions.append(Partition(device["name"], start, size, device["parttype"] or ""))
    return partitions


def boot_devices(run: Run, facts: Facts) -> dict[str, Item]:
    """The disks and partitions to install GRUB to, by their paths: those that had it, and every disk of the array that
    holds /boot. What is kept in place, or is not of this system, keeps its boot sector."""
    from ..storage.disk import Disk
    from ..storage.disk import Partition as PartitionItem
    from ..storage.layout import of_type

    assert run.layout is not None and run.rebuilt is not None
    own = _own(run.rebuilt)
    items = [item for item in run.layout if item.id in own and getattr(item, "device", "") in _in_use(run, facts)]
    disks, partitions = of_type(items, Disk), of_type(items, PartitionItem)
    below = [run.layout[id] for id in sorted(below_boot(run.rebuilt.site.layout))]
    if disks and any(item.starts_from_each for item in below):
        disks += of_type(below, Disk)
    if partitions and not disks:
        # Other code in the disk's first sector started GRUB in the partition, as SUSE sets it up. It was lost.
        lost = {id for item in partitions for id in run.rebuilt.site.below(item.id) if id not in run.rebuilt.in_place}
        disks = [item for item in run.layout.of(Disk) if item.id in lost]
    return {run.rebuilt.device(item.id): item for item in (*disks, *partitions)}


def _in_use(run: Run, facts: Facts) -> list[str]:
    """The recorded devices with GRUB; of one whose boot sector leads to no core nothing may be left but the sector."""
    sectors = facts["boot_sectors"]
    sound = [sector["device"] for sector in sectors if sector["core_place"] != "missing"]
    return sound if sound or run.system.firmware.mode != "bios" else [sector["device"] for sector in sectors]


def _own(rebuilt: Rebuilt) -> set[str]:
    """The ids of what has a boot sector that may be written: disks, and partitions with something of this system.

    Of what is kept in place, only that on which /boot is recreated.
    """
    from ..storage.disk import Disk
    from ..storage.filesystem import FileSystem
    from ..storage.mount import Mount

    site, staying = rebuilt.site, rebuilt.in_place
    boot = below_boot(site.layout)
    if boot & staying & {filesystem.id for filesystem in site.layout.of(FileSystem)}:
        boot = set()
    disks = {item.id for item in site.layout.of(Disk)}
    mounts = [item for item in site.layout.of(Mount) if item.needs]
    return boot | (disks.union(*(site.below(mount.needs[0]) for mount in mounts)) - staying)


def install(run: Run, facts: Facts) -> list[str]:
    """Install GRUB to the boot sectors with the recovered system's own `grub-install`.

    Where one of them does not take it the others are tried all the same.
    """
    from ..errors import RearError
    from ..storage.disk import Disk
    from .chroot import run_inside

    program = install_program(run)
    done, failed = [], {}
    assert run.layout is not None
    devices, disks = boot_devices(run, facts), run.layout.of(Disk)
    for device, item in devices.items():
        # GRUB warns of block lists in the boot sector of a partition, and wants to be told twice.
        force = () if item in disks else ("--force",)
        try:
            run_inside(run, program, "--target=i386-pc", *force, device)
        except RearError as error:
            failed[device] = f"GRUB for BIOS cannot be installed to {device}: {error.message}"
        else:
            done.append(f"GRUB for BIOS installed to {device}")
    if failed and not done:
        raise RearError("; ".join(failed.values()))
    needed = _needed(run, devices, failed) if run.system.firmware.mode == "bios" else []
    for device, line in failed.items():
        (run.recovery.problems if device in needed else run.recovery.differences).append(line)
    return done


def _needed(run: Run, devices: Mapping[str, Item], failed: Collection[str]) -> list[str]:
    """Of the devices without GRUB those that the machine needs: the disks of /boot, or all of them where none has it.

    A partition is not needed beside GRUB on its disk.
    """
    assert run.rebuilt is not None
    sound = devices.keys() - set(failed)
    boot = {run.rebuilt.mapping.get(id) for id in below_boot(run.rebuilt.site.layout)} - sound
    return [device for device in failed if not sound or run.rebuilt.disk(devices[device].id) in boot]


def install_program(run: Run) -> str:
    """The name that the recovered system's distribution gave to grub-install."""
    from ..errors import RearError
    from .chroot import has_program

    for name in ("grub-install", "grub2-install"):
        if has_program(run, name):
            return name
    raise RearError(
        "the recovered system has no grub-install",
        "`rear mountonly`, then in a chroot install GRUB's package and run it",
    )


def verify(run: Run, facts: Facts) -> list[str]:
    """Which of the boot sectors would not start GRUB, as far as the machine needs them."""
    devices = boot_devices(run, facts)
    faults = {device: fault for device in devices if (fault := _fault(Path(device)))}
    if run.system.firmware.mode == "bios" and not devices and all(map(_fault, _kept(run, facts))):
        return ["none of the disks that GRUB started from was recreated"]
    assert run.rebuilt is not None
    lacking = [faults[device] for device in _needed(run, devices, faults)]
    return [*lacking, *grub_crypto.problems(run.target, run.rebuilt.site.layout)]


def _fault(device: Path) -> str:
    """What keeps the boot sector of a device from starting GRUB, "" for nothing."""
    try:
        sector = read_boot_sector(device)
    except OSError as error:
        return f"the boot sector of {device} cannot be read: {error.strerror}"
    if sector is None:
        return f"GRUB is not in the boot sector of {device}"
    return "" if sector.core_sectors else f"GRUB's boot sector of {device} leads to no core image"


def _kept(run: Run, facts: Facts) -> list[Path]:
    """The devices that had GRUB and stayed in place with it."""
    assert run.layout is not None and run.rebuilt is not None
    items = [item for item in run.layout if getattr(item, "device", "") in _in_use(run, facts)]
    return [Path(run.rebuilt.device(item.id)) for item in items if item.id in run.rebuilt.in_place]


def is_left_over(facts: Facts) -> bool:
    """Whether all that a disk has of it are boot sectors from an earlier life, which lead to nothing."""
    return all(sector["core_place"] == "missing" for sector in facts["boot_sectors"])


GRUB_BIOS = BootLoader(
    "GRUB BIOS", detect, "bios", install, verify, grub_menu.entries, grub_menu.notes, grub_references.files,
    is_left_over, grub_rescue.MENU, adopt=grub_conversion.for_bios,
)  # fmt: skip
