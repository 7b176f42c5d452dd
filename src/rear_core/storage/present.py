# SPDX-License-Identifier: GPL-3.0-or-later
"""The disks of the machine that a layout is to be recreated on, and what lies on them now."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import ProgramFailed, ProgramMissing
from ..mounts import loop_devices
from ..shell import Shell
from .inventory import Device, begins_empty, is_part, is_same_disk, meaning, pathless, probe, read_devices, why_no_disk
from .marks import RAW, found_on
from .survey import Mounted, read_mounts
from .tables import NO_TABLE, ask_table

# How file systems of rescue media begin their labels.
MEDIA_LABELS = ("REAR-", "RELAXRECOVER")


@dataclass(frozen=True)
class PresentDisk:
    """A disk that is there now.

    `marks` are the identifiers found on it, `inside` those in volumes that do not run and were looked into, `names` the
    ids of recorded items that something else on it has the name of. `holds` says what lies on it ("" for a blank disk),
    `remains` whether something is where it had contents, though no table or signature tells of any, `locked` why it
    must not be written to, `spared` why it is only taken when somebody names it.
    """

    path: str
    size: int
    model: str = ""
    vendor: str = ""
    serial: str = ""
    wwn: str = ""
    transport: str = ""
    removable: bool = False
    logical_sector_size: int = 512
    physical_sector_size: int = 512
    marks: frozenset[str] = frozenset()
    inside: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    holds: str = ""
    remains: bool = False
    locked: str = ""
    spared: str = ""

    @property
    def contents(self) -> str:
        """What lies on it, "" for a blank disk."""
        return self.holds or ("data behind a lost table or signature" if self.remains else "")


def locked_with_others(disk: PresentDisk, disks: Iterable[PresentDisk]) -> PresentDisk:
    """A disk, locked where another path to it is."""
    other = next((it for it in disks if it.locked and not disk.locked and is_same_disk(it, disk)), None)
    return replace(disk, locked=f"{other.path} is the same disk, and {other.locked}") if other else disk


@dataclass(frozen=True)
class Machine:
    """All block devices by path, what is mounted and used as swap, and the disks among them."""

    devices: Mapping[str, Device]
    mounts: tuple[Mounted, ...]
    swaps: frozenset[str]
    disks: tuple[PresentDisk, ...]

    def above(self, path: str) -> list[Device]:
        """The devices that stand on one, those on top first, and itself last."""
        found: dict[str, Device] = {}

        def add(device: Device) -> None:
            for child in device.children:
                add(self.devices[child])
            found.setdefault(device.path, device)

        add(self.devices[path])
        return list(found.values())

    def mounted(self, device: Device) -> list[Mounted]:
        """The mounts of a device, the deepest first."""
        names = (device.path, f"/dev/{device.kernel_name}")
        found = [m for m in self.mounts if m.source in names or (device.number and m.number == device.number)]
        return sorted(found, key=lambda mount: mount.target, reverse=True)


def look(
    sh: Shell, warn: Callable[[str], None], target: str, *, lock: bool = True, include: Sequence[str] = ()
) -> Machine:
    """What is there now.

    With `lock`, disks that are in use outside of `target` (the root file system is in memory, so that is the
    rescue media or the backup) and disks with the label of rescue media are locked. Patterns in `include` name
    devices that count as disks although they are of another kind.
    """
    found = read_devices(sh, warn)
    gone = pathless(found)
    devices = {
        path: device if path in gone or is_part(found, device) else _probed(sh, device)
        for path, device in found.items()
    }
    mounts = tuple(read_mounts(sh, devices.values()))
    swaps = frozenset(sh.query("swapon", "--show=NAME", "--noheadings", "--raw").split())
    bare = Machine(devices, mounts, swaps, ())
    disks = [
        _unreadable(device) if device.path in gone else _disk(sh, bare, device, target if lock else "")
        for device in devices.values()
        if meaning(device, include) or _is_candidate(devices, device)
    ]
    return Machine(devices, mounts, swaps, tuple(sorted(disks, key=lambda disk: disk.path)))


def _probed(sh: Shell, device: Device) -> Device:
    """The device with its signature where udev does not know one: a disk must not count as blank by mistake."""
    if device.fstype or not device.size or re.match(r"(ram|zram|sr|fd|nbd)\d", device.kernel_name):
        return device
    status, found = probe(sh, device.path)
    fstype = "several signatures" if status == 8 else found.get("TYPE", "")
    uuid, label = found.get("UUID", device.uuid), found.get("LABEL", device.label)
    return replace(device, fstype=fstype, uuid=uuid, label=label)


def _is_candidate(devices: Mapping[str, Device], device: Device) -> bool:
    """Whether a device is a disk, and not a path to one."""
    if why_no_disk(device) or not device.size:
        return False
    return device.is_disk and all(devices[child].type != "mpath" for child in device.children)


def _disk(sh: Shell, machine: Machine, device: Device, target: str) -> PresentDisk:
    leg = machine.devices[device.parents[0]] if device.type == "mpath" else device
    stack = machine.above(device.path)
    table, unreadable = _table(sh, device)
    holds = _contents(device, stack, table) or ("" if begins_empty(sh, device) else "unknown data")
    marks = found_on(sh, device, stack, table) | ({RAW} if holds == "unknown data" else set())
    return PresentDisk(
        path=device.path,
        size=device.size,
        model=leg.model,
        vendor=leg.vendor,
        serial=leg.serial,
        wwn=leg.wwn,
        transport=leg.transport,
        removable=leg.removable,
        logical_sector_size=device.logical_sector_size,
        physical_sector_size=device.physical_sector_size,
        marks=marks,
        holds=holds,
        locked=_why_read_only(device) or ((unreadable or _why_locked(machine, stack, target)) if target else ""),
    )


def _unreadable(device: Device) -> PresentDisk:
    """A multipath disk without paths, of which nothing is read."""
    locked = "all its paths are missing, so its contents are unknown"
    marks = frozenset({RAW})
    return PresentDisk(device.path, device.size, marks=marks, holds="unknown data", locked=locked)


def _table(sh: Shell, device: Device) -> tuple[Mapping[str, Any], str]:
    """The partition table as sfdisk has it, {} without one; and why the disk cannot be read, when that is so."""
    try:
        return ask_table(sh, device.path), ""
    except ProgramMissing:
        raise
    except ProgramFailed as error:
        return (
            {},
            "" if NO_TABLE in error.output else f"it cannot be read, so its contents are unknown: {error.message}",
        )


def _contents(device: Device, stack: Sequence[Device], table: Mapping[str, Any]) -> str:
    """In a few words: `3 partitions (ext4 root, swap)`."""
    parts = [f"{part.fstype} {part.label}".strip() for part in stack if part.fstype]
    listed = ", ".join(sorted(set(parts)))
    partitions = sum(1 for part in stack if part.type == "part")
    if partitions or table.get("partitions"):
        return f"{partitions} partitions" + (f" ({listed})" if listed else "")
    return listed or ("something" if len(stack) > 1 else "")


def media_label(device: Device) -> bool:
    """Whether the label of a device says that it is rescue media."""
    return device.label.upper().startswith(MEDIA_LABELS)


def _why_read_only(device: Device) -> str:
    """That nothing can be written to a disk, as to one that is worn out: what lies on it is there all the same."""
    return "it is read-only" if device.read_only else ""


def _why_locked(machine: Machine, stack: Sequence[Device], target: str) -> str:
    for device in stack:
        if media_label(device):
            return f"it is rescue media (labelled {device.label})"
        for mount in machine.mounted(device):
            if not f"{mount.target}/".startswith(f"{target.rstrip('/')}/"):
                return f"it is mounted on {mount.target}"
    loops = loop_devices()
    numbers = [device.number for device in (*stack, *(machine.devices[path] for path in stack[-1].parents))]
    return next((f"the loop device {loops[number]} uses it" for number in numbers if number in loops), "")
