# SPDX-License-Identifier: GPL-3.0-or-later
"""The disks below a folder, and the code in their first sectors, for loaders whose own files lie in a file system."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..storage.disk import PartitionTable

if TYPE_CHECKING:
    from ..run import Run

SECTOR = 512
# Types of lsblk.
DEVICES = ("disk", "part", "mpath")
# Behind it are the disk's signature and the partition table.
CODE = 440


@dataclass(frozen=True)
class Carrier:
    """What a folder lies on: the device of its file system, and the disks below that."""

    device: str
    disks: tuple[str, ...]


def block_devices(run: Run) -> Iterator[dict[str, Any]]:
    """The disks and partitions of this machine, each once, as lsblk has them; of a multipath disk not its paths.

    INCLUDE_DEVICES brings in what is no disk by its kind, as a loop device.
    """
    # $ lsblk --json --paths --list --output NAME,KNAME,TYPE,PKNAME,PARTTYPE
    # {"blockdevices": [{"name":"/dev/sda1", "kname":"/dev/sda1", "type":"part", "pkname":"/dev/sda",
    #                    "parttype":"21686148-6449-6e6f-744e-656564454649"}, ...]}
    columns = "NAME,KNAME,TYPE,PKNAME,PARTTYPE"
    listed = run.sh.json("lsblk", "--json", "--paths", "--list", "--output", columns)
    # The paths of a multipath disk are no disks of their own: the kernel may still know what was there before.
    paths = {device["pkname"] for device in listed["blockdevices"] if device["type"] == "mpath"}
    seen: set[str] = set()
    for device in listed["blockdevices"]:
        found = {**device, "pkname": None} if device["type"] == "mpath" else device
        is_path = bool(paths & {found["name"], found["pkname"]})
        included = any(fnmatch(found["name"], pattern) for pattern in run.settings["INCLUDE_DEVICES"])
        if (found["type"] in DEVICES or included) and not is_path and found["name"] not in seen:
            seen.add(found["name"])
            yield found


def carrier(run: Run, folder: str) -> Carrier:
    """What a folder of this machine lies on; raises `ProgramFailed` where nobody can tell."""
    # $ findmnt --noheadings --nofsroot --output SOURCE --target /boot/extlinux
    # /dev/sda1
    device = run.sh.query("findmnt", "--noheadings", "--nofsroot", "--output", "SOURCE", "--target", folder).strip()
    # $ lsblk --noheadings --list --paths --inverse --output NAME,TYPE /dev/sda1
    # /dev/sda1 part
    # /dev/sda  disk
    # Exit status 32: it is no block device.
    command = ("lsblk", "--noheadings", "--list", "--paths", "--inverse", "--output", "NAME,TYPE", device)
    rows = [line.split() for line in run.sh.query(*command, ok=(0, 32)).splitlines()]
    # Of a multipath disk its paths are listed as well.
    kind = "mpath" if any(row[1:] == ["mpath"] for row in rows) else "disk"
    return Carrier(device, tuple(sorted({row[0] for row in rows if row[1:] == [kind]})))


def first_sector(device: str | Path) -> bytes:
    """The first sector of a device, as it is on it now; nothing of one that cannot be read."""
    try:
        with Path(device).open("rb") as file:
            return file.read(SECTOR)
    except OSError:
        return b""


def boot_code(disk: str) -> str:
    """The code before a disk's partition table as hexadecimal digits, "" when there is none."""
    code = first_sector(disk)[:CODE]
    return code.hex() if any(code) else ""


def rebuilt(run: Run, devices: Iterable[str]) -> dict[str, str]:
    """What took the place of recorded devices that were erased and recreated, by their paths then.

    What is kept in place keeps its boot sector.
    """
    assert run.layout is not None and run.rebuilt is not None
    found = {}
    for device in devices:
        item = next((item for item in run.layout if getattr(item, "device", "") == device), None)
        if item and item.id not in run.rebuilt.in_place and run.rebuilt.disks(item.id):
            found[device] = run.rebuilt.device(item.id)
    return found


def has_other_table(run: Run, device: str) -> bool:
    """Whether the partition table of a recorded disk is of another kind now."""
    assert run.layout is not None and run.rebuilt is not None
    disks = {item.id for item in run.layout if getattr(item, "device", "") == device}
    labels = [
        {table.label for table in layout.of(PartitionTable) if disks.intersection(table.needs)}
        for layout in (run.layout, run.rebuilt.site.layout)
    ]
    return labels[0] != labels[1]


def put_code(disk: str, code: str) -> bool:
    """Write the code before a disk's partition table; returns whether it was another one."""
    if not code or boot_code(disk) == code:
        return False
    with Path(disk).open("r+b", buffering=0) as file:
        file.write(bytes.fromhex(code))
        os.fsync(file.fileno())
    return True


def leads_to(device: str, beginning: bytes) -> bool:
    """Whether the boot sector of a file system names a sector that holds this beginning of a file.

    Its place in the sector is another one in each version of a loader, so that all are looked at.
    """
    os.sync()
    with Path(device).open("rb") as file:
        end = os.lseek(file.fileno(), 0, os.SEEK_END) // SECTOR
        # What was read before somebody wrote through the file system is not asked again.
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        sector = first_sector(device)
        numbers = {int.from_bytes(sector[place : place + 4], "little") for place in range(SECTOR - 3)}
        for number in sorted(number for number in numbers if 0 < number < end):
            file.seek(number * SECTOR)
            if file.read(SECTOR) == beginning[:SECTOR]:
                return True
    return False
