# SPDX-License-Identifier: GPL-3.0-or-later
"""Capture: from the disks that matter up to what is mounted, with a reason for everything left out."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatch

from ..shell import Shell
from .disk import PartitionTable, read_table
from .inventory import Device, read_devices
from .kinds import StorageKind, core_kinds
from .layout import Item, Layout, make, resolved, validate
from .survey import Survey, read_fstab, read_mounts

# What is not on a disk of this machine, by the beginning of the kernel's name.
NOT_DISKS = {
    "loop": "a loop device: the file behind it is saved where it lies",
    "zram": "compressed memory",
    "ram": "a RAM disk",
    "sr": "an optical drive",
    "fd": "a floppy drive",
    "nbd": "a network block device",
    "rbd": "a network block device",
    "drbd": "a replicated device: the disk below it is described",
    "zd": "a ZFS volume: ZFS is not described",
}
NETWORK = ("iscsi", "nvme-tcp", "nvme-rdma", "tcp", "rdma")

# Signatures that are seen by the layout as part of something else, or are no contents.
KNOWN_MEMBERS = ("mpath_member", "LVM2_member", "linux_raid_member", "crypto_LUKS", "swap")

# A removable disk that carries one of these belongs to the machine (a board that runs from an SD card, for one).
SYSTEM_MOUNTS = ("/", "/boot", "/boot/efi", "/boot/firmware", "/efi", "/usr", "/var", "/home")


def capture(
    sh: Shell,
    kinds: Sequence[StorageKind] = (),
    *,
    warn: Callable[[str], None] = lambda line: None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
) -> Layout:
    """Describe the storage of this machine.

    `include` and `exclude` are patterns of device paths that decide about a disk whatever the rules say.
    """
    kinds = kinds or core_kinds()
    survey = Survey(sh, read_devices(sh, warn), read_mounts(sh), read_fstab(sh), warn)
    survey.devices = {path: _recognised(survey, device) for path, device in survey.devices.items()}
    survey.devices = _chosen(survey, include, exclude)
    for last in (False, True):
        found = [item for kind in kinds if kind.last is last for item in _captured(survey, kind)]
        if not last:
            _name_unknown_contents(survey, found)
            survey.items = _settled(survey, found)
    layout = make(survey.items, survey.left_out)
    validate(layout, "the layout of this machine")
    return layout


def _captured(survey: Survey, kind: StorageKind) -> Iterable[Item]:
    """What a kind finds; the last ones see it at once, settled."""
    found = list(kind.capture(survey))
    if kind.last:
        survey.items = _settled(survey, [*survey.items, *found])
    return found


def _settled(survey: Survey, items: list[Item]) -> list[Item]:
    """The items with device paths in `needs` replaced by ids; what stands on something left out goes, too."""
    names = {getattr(item, "device", ""): item.id for item in items}
    items = [resolved(item, names) for item in items]
    while True:
        known = {item.id for item in items}
        lost = {item.id: need for item in items for need in item.needs if need not in known}
        if not lost:
            return items
        for item in items:
            if item.id in lost:
                survey.leave_out(str(item), f"it needs {lost[item.id]}, which is not described")
        items = [item for item in items if item.id not in lost]


def _recognised(survey: Survey, device: Device) -> Device:
    """The device with its signature: udev may not know it, and a mounted one shows its type even when it is unreadable.

    >>> sh.query("blkid", "--probe", "--output", "export", "/dev/vdb1")
    DEVNAME=/dev/vdb1
    LABEL=data
    UUID=5d6776a6-fd96-4adb-ade1-463678c90eef
    TYPE=ext4
    USAGE=filesystem
    """
    if device.fstype or device.size == 0 or any(device.kernel_name.startswith(name) for name in ("sr", "zram", "ram")):
        return device
    text = survey.sh.query("blkid", "--probe", "--output", "export", device.path, ok=(0, 2, 8))
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    mounted = next((m.fstype for m in survey.mounts if m.number == device.number or m.source == device.path), "")
    return replace(
        device, fstype=values.get("TYPE", mounted), uuid=values.get("UUID", device.uuid), label=values.get("LABEL", device.label)
    )


def _chosen(survey: Survey, include: Sequence[str], exclude: Sequence[str]) -> dict[str, Device]:
    """The devices on disks that matter; the reason of every other disk is noted."""
    chosen: dict[str, Device] = {}
    for path, device in survey.devices.items():
        if device.parents:
            # Parents come first. An array with one member on a stick is still the machine's.
            if any(parent in chosen for parent in device.parents) and not _matches(path, exclude):
                chosen[path] = device
            continue
        reason = "" if _matches(path, include) else _why_not(survey, device)
        if _matches(path, exclude):
            reason = "EXCLUDE_DEVICES names it"
        if reason:
            survey.leave_out(path, reason)
        else:
            chosen[path] = device
    return chosen


def _matches(path: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(path, pattern) for pattern in patterns)


def _why_not(survey: Survey, device: Device) -> str:
    """Why a disk is left out, "" for one that is described."""
    for prefix, reason in NOT_DISKS.items():
        if device.kernel_name[len(prefix):].isdigit() and device.kernel_name.startswith(prefix):
            return reason
    if not device.is_disk and not _holds_multipath(survey, device):
        return f"not a disk ({device.type})"
    if "boot" in device.kernel_name or "rpmb" in device.kernel_name:
        return "a hardware partition of flash memory"
    if device.size == 0:
        return "no medium is in it"
    in_use = _is_system(survey, device)
    if device.transport in NETWORK and not in_use:
        return f"a network disk ({device.transport}) that fstab does not name: INCLUDE_DEVICES can name it"
    if (device.removable or device.transport == "usb") and not in_use:
        return "a removable disk that fstab does not name: INCLUDE_DEVICES can name it"
    if not device.children and not device.fstype and not survey.mount_point(device):
        table = read_table(survey, device)
        return "" if table.get("partitions") else "an empty disk"
    return ""


def _holds_multipath(survey: Survey, device: Device) -> bool:
    return any(survey.devices[child].type == "mpath" for child in device.children)


def _is_system(survey: Survey, disk: Device) -> bool:
    """Whether something on this disk is mounted where the system or fstab wants it."""
    wanted = {*SYSTEM_MOUNTS, *(entry.target for entry in survey.fstab)}
    waiting, numbers, paths = [disk], set(), set()
    while waiting:
        device = waiting.pop()
        numbers.add(device.number)
        paths.add(device.path)
        waiting += [survey.devices[child] for child in device.children]
    return any(m.target in wanted and (m.number in numbers or m.source in paths) for m in survey.mounts)


def _name_unknown_contents(survey: Survey, items: list[Item]) -> None:
    """Say which devices carry something that no kind described."""
    used = {need for item in items for need in item.needs}
    tables = {need for item in items if isinstance(item, PartitionTable) for need in item.needs}
    for device in survey.devices.values():
        if device.fstype and device.path not in used | tables and device.fstype not in KNOWN_MEMBERS:
            survey.leave_out(f"{device.fstype} on {device.path}", f"what lies on it ({device.fstype}) is not described")
