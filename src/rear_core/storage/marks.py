# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies on a disk, in words that are the same tomorrow: identifiers, and the kind and place of what has none."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..shell import Shell
from .disk import BLANK, BOOT_LOADERS, DATA, EXTENDED, Disk, Partition, PartitionTable
from .inventory import PROBED, Device, begins_empty, is_part, partition_number
from .layout import Layout

# Partitions without a file system whose contents nobody misses: boot loaders, which are installed again, what Microsoft
# reserves, and those of an MBR that hold others.
NO_DATA = (*BOOT_LOADERS, *EXTENDED, "e3c9e316-0b5c-4db8-817d-f92df00215ae")
# A disk without a table or a signature that does not begin with zeros.
RAW = f"{DATA}0"


def mark(identifier: str) -> str:
    """An identifier as it is compared: tools write the same one with colons, hyphens, capitals or 0x."""
    return re.sub(r"[-:]|^0x", "", identifier.lower())


def found_on(sh: Shell, disk: Device, stack: Sequence[Device], table: Mapping[str, Any]) -> frozenset[str]:
    """Of a disk and what stands on it: the UUID of `ext4` as it is compared, with `/2` behind it for one more of the
    same, as a copy of a file system is; `minix/1048576` for what has none by type and bytes; and of partitions, volumes
    and arrays without a signature `blank/2`, `blank//dev/mapper/vg-lv` and `blank/` with the UUID of the array, or
    `data/2` where they do not begin with zeros.
    """
    found = {mark(identifier) for identifier in identifiers(table)}
    codes = {
        partition_number(row["node"], disk.path): str(row.get("type", "")).lower()
        for row in table.get("partitions", ())
    }
    devices = {device.path: device for device in stack}
    seen: Counter[str] = Counter()
    for device in devices.values():
        if device.uuid:
            name = mark(device.uuid)
            # Hidden parts of a volume show what the volume shows, and a table that is none what lies there anyway.
            nested = any(devices[parent].uuid == device.uuid for parent in device.parents if parent in devices)
            seen[name] += not (nested or is_part(devices, device))
            found |= {name} | ({f"{name}/{seen[name]}"} if seen[name] > 1 else set())
        elif device.fstype:
            found.add(f"{device.fstype}/{device.size}")
        elif not device.children and (place := _place(devices, disk, device, codes)):
            found.add(f"{BLANK if begins_empty(sh, device) else DATA}{place}")
    return frozenset(found)


def _place(devices: Mapping[str, Device], disk: Device, device: Device, codes: Mapping[int, str]) -> str:
    """The name of a device of which nothing tells what is on it, "" where that is of no account.

    A volume has one of its own, a partition a number, and all else the identifier of what it was made of.
    """
    if device.type == "lvm":
        return device.path
    if device.type == "part" and device.path in disk.children:
        number = partition_number(device.path, disk.path)
        return "" if codes.get(number, NO_DATA[0]) in NO_DATA else f"{number}"
    below = next((devices[parent] for parent in device.parents if parent in devices), disk)
    name = mark(below.uuid) or ("" if below.path == disk.path else _place(devices, disk, below, codes))
    return f"{name}/{partition_number(device.path, below.path)}" if name and device.type == "part" else name


def left_behind(sh: Shell, layout: Layout, disk: Disk, device: Device) -> bool:
    """Whether something is in the places of a recorded disk's partitions, of which no table tells any more, or where
    the contents of one that had none begin, as the volumes of LVM do."""
    told = any(not word.startswith(BLANK) for word in disk.marks)
    through_loops = (entry for entry in layout.left_out if entry.lost and entry.name.startswith("/dev/loop"))
    if not told and any(disk.id in entry.on for entry in through_loops):
        # It began with zeros when something lay on it: nobody knows where.
        return True
    tables = {table.id for table in layout.of(PartitionTable) if disk.id in table.needs}
    parts = [item for item in layout.of(Partition) if tables & {*item.needs} and item.code.lower() not in NO_DATA]
    whole = [max(item.begins, PROBED) for item in layout if disk.id in item.needs and item.id not in tables]
    return any(not begins_empty(sh, device, start) for start in [*(item.start for item in parts), *whole])


def identifiers(table: Mapping[str, Any]) -> list[str]:
    """Those of a partition table, as `sfdisk --json` has it, and of its partitions, if it has any."""
    rows, id = table.get("partitions", ()), str(table.get("id", ""))
    if not id.strip("0x"):
        # Nothing else tells one of an MBR without an identifier from another.
        return [f"at {row['start']} of {row['size']}" for row in rows if "start" in row]
    if not rows:
        return []
    disk = str(table.get("device", ""))
    # The kernel makes those of an MBR of the disk's id and the number.
    return [id, *(row.get("uuid") or f"{id[2:]}-{partition_number(row['node'], disk):02x}" for row in rows)]


def unrecorded(now: Iterable[str], recorded: Iterable[str]) -> frozenset[str]:
    """What lies on a disk and did not when it was described; also data without a signature, where another thing was."""
    then = frozenset(recorded)
    return frozenset(word for word in now if word not in then and not word.startswith(BLANK))
