# SPDX-License-Identifier: GPL-3.0-or-later
"""Capture: from the disks that matter up to what is mounted, with a reason for everything left out."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from ..errors import ConfigurationError, PluginError, ProgramFailed, ProgramMissing
from ..fstab import read_fstab
from ..mounts import loop_devices
from ..shell import Shell
from .disk import DATA, Disk, Partition, PartitionTable
from .filesystem import FileSystem
from .inventory import (
    NETWORK_TRANSPORTS,
    ON_OWN_DISKS,
    Device,
    begins_empty,
    ends_empty,
    is_part,
    meaning,
    pathless,
    probe,
    read_devices,
    why_no_disk,
)
from .kinds import StorageKind
from .layout import Item, Layout, LeftOut, make, of_type, resolved, validate
from .marks import NO_DATA, RAW, found_on
from .present import media_label
from .survey import Survey, names, read_mounts
from .tables import read_table, without_phantoms
from .technologies import CORE_KINDS

# File systems that blkid and the kernel call the same, and what the kernel makes of them.
KERNELS = {"ext2": "ext", "ext3": "ext", "ext4": "ext", "xfs": "xfs", "btrfs": "btrfs", "vfat": "vfat"}

# A removable disk that carries one of these belongs to the machine, as on a board that runs from an SD card.
SYSTEM_MOUNTS = ("/", "/boot", "/boot/efi", "/boot/firmware", "/efi", "/usr", "/var", "/home")


def capture(
    sh: Shell,
    kinds: Sequence[StorageKind] = (),
    *,
    warn: Callable[[str], None] = lambda _line: None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    originals: Collection[str] = (),
) -> Layout:
    """Describe the storage of this machine.

    `include` and `exclude` are patterns of device paths that decide about a disk whatever the rules say. On the disks
    with the paths `originals` nothing is the clone of what lies on another one.
    """
    kinds = kinds or CORE_KINDS
    devices = read_devices(sh, warn)
    survey = Survey(sh, devices, read_mounts(sh, devices.values()), read_fstab(sh), warn)
    survey.devices, survey.mounts = without_phantoms(survey)
    _check_names(survey, exclude)
    survey.devices = _first(_chosen(survey, include, exclude), originals)
    found = [item for kind in kinds if not kind.last for item in _found(survey, kind)]
    found = [_reached(survey, item) for item in found]
    _name_unknown_contents(survey, found, {signature for kind in kinds for signature in kind.signatures})
    _name_contents_of_loops(survey, found)
    survey.items = _settled(survey, found)
    for kind in kinds:
        if kind.last:
            survey.items = _settled(survey, [*survey.items, *_found(survey, kind)])
    items = [_marked(survey, item) if isinstance(item, Disk) else item for item in survey.items]
    layout = make(items, [_placed(survey, entry) for entry in survey.left_out])
    validate(layout, "the layout of this machine")
    return layout


def _first(devices: Mapping[str, Device], originals: Collection[str]) -> dict[str, Device]:
    """The devices, those that lie on these disks alone before all others: what comes first is no clone."""

    def others(path: str) -> bool:
        parents = devices[path].parents if path in devices else ()
        return any(map(others, parents)) if parents else path not in originals

    return {path: devices[path] for path in sorted(devices, key=others)}


def _found(survey: Survey, kind: StorageKind) -> list[Item]:
    """What a technology finds; where it stumbles, nobody knows what more of it lies on which disk."""
    found: list[Item] = []
    with survey.reading(
        f"some of {kind.name}", [path for path, device in survey.devices.items() if not device.parents]
    ):
        for item in kind.capture(survey):
            if not isinstance(item, Item):
                raise PluginError(
                    f"the storage technology {kind.name} found {item!r}, which is no item",
                    "update or remove the package that brings it, and report this fault to its author",
                )
            found.append(item)
    return found


def _reached(survey: Survey, item: Item) -> Item:
    """The item, where it is a disk with what it, or each of its paths, is reached through."""
    device = survey.devices.get(getattr(item, "device", ""))
    if item.needs or device is None:
        return item
    paths = [path for path in (device.path, *device.parents) if path in survey.reached]
    return replace(item, needs=tuple(dict.fromkeys(survey.reached[path] for path in paths)))


def _marked(survey: Survey, disk: Disk) -> Disk:
    """A disk with all that is found on it, described or not: what is not among it tomorrow has come since."""
    device = survey.devices[disk.device]
    found = found_on(survey.sh, device, _stack(survey, device), read_table(survey, device))
    return replace(disk, marks=tuple(sorted(found | _unsigned(survey, disk))))


def _parents(survey: Survey, part: Partition) -> tuple[str, ...]:
    return survey.devices[part.device].parents if part.device in survey.devices else ()


def _unsigned(survey: Survey, disk: Disk) -> set[str]:
    """The marks of data without a signature that belong to what is described, as in a realtime section of XFS: they may
    come at any time."""
    further = {need for item in of_type(survey.items, FileSystem) for need in item.needs[1:]}
    parts = [part for part in of_type(survey.items, Partition) if disk.device in _parents(survey, part)]
    found = {f"{DATA}{part.number}" for part in parts if part.id in further and not survey.devices[part.device].fstype}
    return found | ({RAW} if disk.id in further and not survey.devices[disk.device].fstype else set())


def _settled(survey: Survey, items: list[Item]) -> list[Item]:
    """The items with device paths in `needs` replaced by ids; what stands on something left out goes, too."""
    path, ids = names(survey.devices.values()), _by_device(items)
    # Each tool has names of its own for what lies below.
    items = [replace(item, needs=tuple(map(path, item.needs))) for item in items]
    while True:
        known = {item.id for item in items}
        lost = [item for item in items if not known.issuperset(resolved(item, ids).needs)]
        if not lost:
            return _distinct(survey, items)
        for item in lost:
            found = resolved(item, ids)
            _go_with(survey, found, sorted({*found.needs} - known))
        items = [item for item in items if item not in lost]


def _by_device(items: Sequence[Item]) -> dict[str, str]:
    """The ids of items by their devices."""
    return {device: item.id for item in items if (device := getattr(item, "device", ""))}


def _go_with(survey: Survey, item: Item, missing: Sequence[str]) -> None:
    """Leave out what stands on something that is: as that is a loss, or as nothing can be kept in it."""
    entry = next((survey.without[name] for name in missing if name in survey.without), None)
    device = getattr(item, "device", "")
    if entry is None:
        reason = f"it needs {', '.join(missing)}, which is not described"
        survey.leave_out(str(item), reason, lost=True, on=item.needs, device=device)
    else:
        survey.leave_out(str(item), f"it lies in {entry.name}", lost=entry.lost, on=entry.on, device=device)
    # Others name it by its id.
    survey.without[item.id] = survey.left_out[-1]


def _placed(survey: Survey, entry: LeftOut) -> LeftOut:
    """With the ids of the items that it lies on: those of its devices, or of the nearest ones below."""
    ids = {getattr(item, "device", ""): item.id for item in survey.items}
    known = {item.id for item in survey.items}

    def below(path: str) -> list[str]:
        if path in known or path in ids:
            return [ids.get(path, path)]
        device = survey.devices.get(path)
        return [id for parent in device.parents for id in below(parent)] if device else []

    return replace(entry, on=tuple(sorted({id for path in entry.on for id in below(path)})))


def _distinct(survey: Survey, items: list[Item]) -> list[Item]:
    """The items with ids in the place of devices, made different where a clone has the UUID of its original."""
    first: dict[str, Item] = {}
    # What is open or mounted is the original: nothing needs a clone that is closed.
    for item in sorted(items, key=lambda item: not getattr(item, "device", "")):
        first.setdefault(item.id, item)
    made, ids = items, _by_device(items)
    for item in items:
        if first[item.id] is not item:
            below = ", ".join(resolved(item, ids).needs)
            survey.warn(f"there are two of {item}; the one on {below} is a clone")
            clone = replace(item, id=f"{item.id} on {below}")
            made = [clone if other is item else other for other in made]
            # What lies in it needs the clone.
            ids = _by_device(made)
    return [resolved(item, ids) for item in made]


def _chosen(survey: Survey, include: Sequence[str], exclude: Sequence[str]) -> dict[str, Device]:
    """The devices on disks that matter; the reason of every other disk is noted."""
    chosen: dict[str, Device] = {}
    gone = pathless(survey.devices)
    for path, device in survey.devices.items():
        if device.parents:
            # Those below come first. An array with one member on a stick is still the machine's.
            if any(parent in chosen for parent in device.parents):
                chosen[path] = _recognised(survey, device)
            continue
        named, excluded = _naming(survey, device, include), _naming(survey, device, exclude)
        if path in gone and not excluded:
            survey.leave_out(path, "all paths of this multipath disk are missing", lost=True, device=path)
            continue
        reason = "EXCLUDE_DEVICES names it" if excluded else "" if named else _why_not(survey, device)
        device = device if reason else _recognised(survey, device)
        reason = reason or _why_unreadable(survey, device)
        if not reason and not named and _is_empty(survey, device):
            is_blank = begins_empty(survey.sh, device) and ends_empty(survey.sh, device)
            reason = "an empty disk" if is_blank else "it holds unknown data"
        if reason:
            wwn, serial = (device.wwn, device.serial) if excluded else ("", "")
            survey.leave_out(path, reason, lost=reason in ON_OWN_DISKS, wwn=wwn, serial=serial)
        else:
            chosen[path] = device
    return chosen


def _naming(survey: Survey, disk: Device, patterns: Sequence[str]) -> list[str]:
    """The patterns that mean a disk, be it by one of its paths or its map."""
    maps = [survey.devices[child] for child in disk.children if survey.devices[child].type == "mpath"]
    names = [disk, *maps, *(survey.devices[leg] for found in maps for leg in found.parents)]
    return [pattern for device in names for pattern in meaning(device, patterns)]


def _check_names(survey: Survey, patterns: Sequence[str]) -> None:
    """Raise `ConfigurationError` for a name in EXCLUDE_DEVICES that means a part of a disk alone: the disk would be
    overwritten. Warn of one that means nothing; a pattern may be there for a day to come."""
    used = {p for device in survey.devices.values() if not device.parents for p in _naming(survey, device, patterns)}
    for name in (pattern for pattern in patterns if pattern not in used):
        for part in (device for device in survey.devices.values() if meaning(device, [name])):
            raise ConfigurationError(
                f"EXCLUDE_DEVICES names {name}, which is no disk but lies on {' and '.join(part.parents)}",
                "name whole disks; EXCLUDE_COMPONENTS names parts, which are neither saved nor recreated",
            )
        if not re.search(r"[*?[]", name):
            survey.warn(f"EXCLUDE_DEVICES: {name} is not a disk of this machine, so it excludes nothing")


def _recognised(survey: Survey, device: Device) -> Device:
    """The device with its signature: udev may not know it, or know what was there before; and a mounted one
    shows its type even when unreadable."""
    mounted = next((m.fstype for m in survey.mounts if m.number == device.number or m.source == device.path), "")
    stale = {device.fstype, mounted} <= {*KERNELS} and KERNELS[device.fstype] != KERNELS[mounted]
    if is_part(survey.devices, device) or (device.fstype and not stale):
        return device
    _, found = probe(survey.sh, device.path)
    # The kernel looks for partitions on disks and arrays alone: in a volume they are those of a virtual machine.
    virtual = "PTTYPE" in found and not device.children and device.type in ("lvm", "crypt")
    return replace(
        device,
        fstype=found.get("TYPE") or (f"{found['PTTYPE']} partition table" if virtual else mounted),
        uuid=found.get("UUID", device.uuid),
        label=found.get("LABEL", device.label),
    )


def _why_not(survey: Survey, disk: Device) -> str:
    """Why a disk is left out whatever is on it, "" for one of this machine's own."""
    if reason := why_no_disk(disk):
        return reason
    if not disk.is_disk:
        return f"not a disk ({disk.type})"
    if re.search(r"boot\d+$|rpmb$", disk.kernel_name):
        return "a hardware partition of flash memory"
    if not disk.size:
        return "no medium is in it"
    if _is_system(survey, disk):
        return ""
    if label := next((device.label for device in _stack(survey, disk) if media_label(device)), ""):
        return f"it is rescue media (labelled {label})"
    if disk.transport in NETWORK_TRANSPORTS:
        return f"a network disk ({disk.transport}) that fstab does not name: INCLUDE_DEVICES includes it"
    if disk.removable or disk.transport == "usb":
        return "a removable disk that fstab does not name: INCLUDE_DEVICES includes it"
    return ""


def _why_unreadable(survey: Survey, disk: Device) -> str:
    """Why nothing can be said of a disk, as in a container that shows those of its host; "" for all others.

    One that is in use has to be readable: its partition table cannot be missing in the layout.
    """
    if _mounted_from(survey, disk):
        return ""
    try:
        read_table(survey, disk)
    except ProgramMissing:
        raise
    except ProgramFailed as error:
        survey.warn(f"{disk.path} is not described: {error.message}")
        return f"it cannot be read: {error.message}"
    return ""


def _is_empty(survey: Survey, disk: Device) -> bool:
    if disk.number in loop_devices():
        return False
    if disk.children or disk.fstype or survey.mount_point(disk) or disk.path in _named_in_options(survey):
        return False
    return not read_table(survey, disk).get("partitions")


def _named_in_options(survey: Survey) -> set[str]:
    """The devices that mounts have besides their own: a realtime section of XFS, `rtdev=/dev/sdb`, has no signature."""
    path = names(survey.devices.values())
    return {path(name) for mount in survey.mounts for name in re.findall(r"=(/dev/[^,]+)", mount.options)}


def _is_system(survey: Survey, disk: Device) -> bool:
    """Whether something on this disk is mounted where the system or fstab wants it."""
    wanted = {*SYSTEM_MOUNTS, *(entry.target for entry in survey.fstab)}
    return not wanted.isdisjoint(_mounted_from(survey, disk))


def _mounted_from(survey: Survey, disk: Device) -> list[str]:
    """Where the file systems are mounted that a disk has a part in."""
    stack = _stack(survey, disk)
    numbers, paths = {device.number for device in stack}, {device.path for device in stack}
    return [m.target for m in survey.mounts if m.number in numbers or m.source in paths]


def _stack(survey: Survey, disk: Device) -> list[Device]:
    """A disk and all that stands on it."""
    found, waiting = [], [disk]
    while waiting:
        device = waiting.pop()
        found.append(device)
        waiting += [survey.devices[child] for child in device.children]
    return found


def _name_unknown_contents(survey: Survey, items: list[Item], signatures: Collection[str]) -> None:
    """Say which devices carry something that no kind described, as a database does without a file system."""
    used = {need for item in items for need in item.needs}
    tables = {need for table in of_type(items, PartitionTable) for need in table.needs}
    pools = {getattr(item, "device", "") for item in items if item.is_pool}
    codes = {partition.device: partition.code.lower() for partition in of_type(items, Partition)}
    for device in survey.devices.values():
        if device.path in used | tables | pools | survey.without.keys():
            continue
        if device.fstype in signatures:
            continue
        if device.fstype:
            reason = f"the {device.fstype} on it is not described"
            survey.leave_out(f"{device.fstype} on {device.path}", reason, lost=True, on=[device.path])
        elif _may_hold_data(survey, device, codes.get(device.path, "")) and not begins_empty(survey.sh, device):
            reason = "rear does not recognize it, and it does not begin with zeros"
            survey.leave_out(f"data on {device.path}", reason, lost=True, on=[device.path])


def _name_contents_of_loops(survey: Survey, items: list[Item]) -> None:
    """Say what is seen through a loop device alone, as from some byte on: below it there may be nothing but zeros."""
    used = {need for item in items for need in item.needs}
    loops = loop_devices()
    for device in survey.devices.values():
        if not (loop := loops.get(device.number)):
            continue
        mounts = [m.target for m in survey.mounts if re.fullmatch(rf"{loop}(p\d+)?", m.source)]
        # One that nobody has mounted may show once more what is described.
        if mounts or device.path not in used:
            seen = f", mounted on {' and '.join(mounts)}" if mounts else ""
            reason = f"rear does not describe what lies in a loop device{seen}"
            survey.leave_out(f"{loop} on {device.path}", reason, lost=True, on=[device.path])


def _may_hold_data(survey: Survey, device: Device, code: str) -> bool:
    """Whether a device without a file system is a place for data all the same."""
    parts = bool(device.children or not device.parents or is_part(survey.devices, device))
    named = survey.mount_point(device) or device.path in _named_in_options(survey)
    return not (parts or named or code in NO_DATA)
