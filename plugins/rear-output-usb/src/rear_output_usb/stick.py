# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the disk that `rear format` has made: its file system for data, and the two partitions it boots from."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from rear_core import Refused, Run
from rear_core.media.grub_disk import BIOS_BOOT, EFI_SYSTEM
from rear_core.places import mounted
from rear_core.places.delivery import Extent
from rear_core.places.devices import find_device
from rear_core.places.url import Url
from rear_core.storage.inventory import Device, read_devices

# What `rear format` makes, and GRUB reads.
FILE_SYSTEMS = ("ext2", "ext3", "ext4")
MADE_BY = "create it with `rear format /dev/sdx`, which erases the disk"


@dataclass(frozen=True)
class Stick:
    """`data` is the device with the file system, `uuid` of it; the places of the other partitions are in bytes."""

    disk: Path
    data: str
    uuid: str
    bios: Extent
    efi: Extent

    @property
    def marker(self) -> str:
        """A file that only this file system has, relative to its root."""
        return f"boot/grub/{self.uuid}"


def opened(run: Run, stick: Stick) -> AbstractContextManager[Path]:
    """The root of the file system.

    Each step mounts it again: GRUB reads no journal, so that what a step has done must be in its place on the disk
    before the next one builds on it.
    """
    return mounted.disk(run, Url("usb", "", stick.data), "rw,noatime")


def find_stick(run: Run) -> Stick:
    """The disk of USB_DEVICE; raise `Refused` when it is not there or was not made by `rear format`."""
    label = run.settings["USB_DEVICE_FILESYSTEM_LABEL"]
    try:
        data = find_device(run.sh, run.settings["USB_DEVICE"] or f"/dev/disk/by-label/{label}")
    except Refused as error:
        raise Refused(error.message, f"{error.hint}; `rear format /dev/sdx` creates one") from error
    # $ blkid --probe --output export /dev/sdb3
    # DEVNAME=/dev/sdb3
    # LABEL=REAR-000
    # UUID=5d6776a6-fd96-4adb-ade1-463678c90eef
    # TYPE=ext4
    text = run.sh.query("blkid", "--probe", "--output", "export", data, ok=(0, 2, 8))
    found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    if found.get("TYPE") not in FILE_SYSTEMS:
        raise Refused(f"{data} has no file system of Linux, but {found.get('TYPE', 'nothing known')}", MADE_BY)
    devices = read_devices(run.sh, run.report.log)
    parents = devices[data].parents if data in devices else ()
    if len(parents) != 1 or devices[parents[0]].type != "disk":
        raise Refused(f"{data} is not a partition of a disk", MADE_BY)
    return described(run, devices[parents[0]], data, found.get("UUID", ""))


def described(run: Run, disk: Device, data: str, uuid: str) -> Stick:
    """The disk by its partition table; `Refused` when it lacks what it boots from, or that is in use."""
    places: dict[str, Extent] = {}
    for row in run.sh.json("sfdisk", "--json", disk.path)["partitiontable"]["partitions"]:
        sector = disk.logical_sector_size
        places.setdefault(row["type"].upper(), Extent(row["start"] * sector, row["size"] * sector))
        if row["type"].upper() == EFI_SYSTEM:
            # 1: it is not mounted.
            where = run.sh.query("findmnt", "--noheadings", "--output", "TARGET", "--source", row["node"], ok=(0, 1))
            if where.strip():
                raise Refused(f"{row['node']} is mounted on {where.split()[0]}", f"umount {where.split()[0]}")
    missing = [name for type, name in ((BIOS_BOOT, "BIOS boot"), (EFI_SYSTEM, "EFI system")) if type not in places]
    if missing:
        raise Refused(f"{disk.path} has no {' and no '.join(missing)} partition", MADE_BY)
    return Stick(Path(disk.path), data, uuid, places[BIOS_BOOT], places[EFI_SYSTEM])
