# SPDX-License-Identifier: GPL-3.0-or-later
"""Partition tables as sfdisk(8) reads them, and partitions that only the kernel sees."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from ..errors import NOT_UNDERSTOOD, ProgramFailed
from ..shell import Shell
from .inventory import Device, partition_number, pathless
from .survey import Mounted, Survey

# What sfdisk says of a disk that it could read.
NO_TABLE = "does not contain a recognized partition table"


def read_table(survey: Survey, device: Device) -> dict[str, Any]:
    """The partition table of a device, {} when it has none.

    >>> sh.json("sfdisk", "--json", "/dev/sda")
    {"partitiontable": {"label": "gpt", "id": "DBBAB3F9-096B-5C46-A8EC-389C6690465D", "device": "/dev/sda",
        "unit": "sectors", "firstlba": 2048, "lastlba": 204766, "sectorsize": 512, "partitions": [
            {"node": "/dev/sda1", "start": 2048, "size": 40960, "type":
            "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
             "uuid": "C112D077-9926-964B-89AF-15F4E2FA9FBE", "name": "ESP", "attrs": "RequiredPartition
             GUID:60"}]}}

    An MBR has the id 0x8f2d0b5c, types like 83, and `"bootable": true`. Without a table the status is 1 and
    `sfdisk: /dev/sdb: does not contain a recognized partition table` is said.
    """
    has_partitions = any(survey.devices[c].type == "part" for c in device.children)
    if not has_partitions and (device.parents or device.fstype or survey.mount_point(device)):
        return {}
    try:
        table = ask_table(survey.sh, device.path)
    except ProgramFailed as error:
        if has_partitions or NO_TABLE not in error.output:
            raise
        return {}
    # mkfs.vfat on a whole disk writes an MBR whose one partition is the whole disk, for systems that insist
    # on one.
    return {} if any(row.get("start") == 0 for row in table.get("partitions", ())) else table


def ask_table(sh: Shell, disk: str) -> dict[str, Any]:
    """What sfdisk tells of the partitions of a disk; what it lacks of them is a failure of that program."""
    argv = ("sfdisk", "--json", disk)
    answer = sh.json(*argv)
    try:
        table = dict(answer["partitiontable"])
        for row in table.get("partitions") or ():
            partition_number(row["node"], disk)
    except NOT_UNDERSTOOD as error:
        raise ProgramFailed(argv, 0, f"its answer is not understood ({type(error).__name__}: {error})") from error
    return {name: value for name, value in table.items() if value is not None}


def without_phantoms(survey: Survey) -> tuple[dict[str, Device], list[Mounted]]:
    """The devices and mounts without the partitions that only the kernel sees, which it makes of what is no table.

    It knows some old tables by a checksum of one byte (Linux, block/partitions/acorn.c), which one of 256 LUKS headers
    has. Such a partition can begin where its device does and show the same content, by which udev may give it the link
    below /dev/disk/by-uuid: what was opened or mounted by that stands on the device.
    """
    gone = pathless(survey.devices)
    readable = [device for path, device in survey.devices.items() if path not in gone]
    seen = {path: device for device in readable for path in _phantoms(survey, device)}

    def known(paths: Iterable[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(seen[path].path if path in seen else path for path in paths))

    def children(device: Device) -> Iterator[str]:
        for child in device.children:
            yield from survey.devices[child].children if child in seen else (child,)

    devices = {
        path: replace(device, children=tuple(dict.fromkeys(children(device))), parents=known(device.parents))
        for path, device in survey.devices.items()
        if path not in seen
    }
    numbers = {survey.devices[path].number: device.number for path, device in seen.items()}
    mounts = [
        replace(mount, source=known([mount.source])[0], number=numbers.get(mount.number, mount.number))
        for mount in survey.mounts
    ]
    return devices, mounts


def _phantoms(survey: Survey, device: Device) -> list[str]:
    def has_own(part: Device) -> bool:
        if part.fstype and (part.fstype, part.uuid) == (device.fstype, device.uuid):
            return False
        return bool(part.fstype or part.children or survey.mount_point(part))

    parts = [part for child in device.children if (part := survey.devices[child]).type == "part"]
    carries = device.fstype or device.parents or survey.mount_point(device)
    if not parts or not carries or any(map(has_own, parts)):
        return []
    answer = survey.sh.run("sfdisk", "--json", device.path, ok=(0, 1))
    if NO_TABLE not in answer.output:
        return []
    paths = [part.path for part in parts]
    survey.warn(f"{', '.join(paths)}: seen by the kernel alone, there is no partition table on {device.path}")
    return paths
