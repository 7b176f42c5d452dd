# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes down what lies on disks that are used again: mounts, swap, volumes, arrays, and every signature."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import Refused
from ..mounts import mounted_below
from .command import Command, zeros
from .inventory import Device
from .kinds import StorageKind
from .present import Machine


def teardown(machine: Machine, disks: Sequence[str], kinds: Sequence[StorageKind]) -> list[Command]:
    """The commands that leave these disks, or partitions and volumes of others, blank, those on top first; `Refused`
    when others would lose by it."""
    stacks = {disk: machine.above(disk) for disk in disks}
    devices = list({device.path: device for stack in stacks.values() for device in stack}.values())
    _check_others(machine, devices, disks)
    # What stops a volume stops all of its group.
    commands = [*_unmount(machine, devices), *dict.fromkeys(_stopping(_top_first(machine, devices), disks, kinds))]
    raw = {disk.path for disk in machine.disks if disk.holds}
    for disk, stack in stacks.items():
        # Partitions of arrays and volumes are gone with them.
        lasting = [device for device in stack if device.path == disk or device.parents == (disk,)]
        wiped = [
            device
            for device in lasting
            if (device.path == disk or device.type == "part") and (device.fstype or device.children)
        ]
        for device in wiped:
            commands.append(_wipe(device, disk))
            # Without its signature it would be unknown data for a recovery that has to begin again.
            commands += [zeros(device.path, device.size)] if device.path != disk else []
        if wiped or disk in raw:
            commands.append(zeros(disk, machine.devices[disk].size))
    return commands


def _stopping(devices: Sequence[Device], disks: Sequence[str], kinds: Sequence[StorageKind]) -> Iterator[Command]:
    """What stops the devices above the disks, those on top first, and lets go of each as soon as nothing stands on it:
    what stops a volume would find another of its group in use."""
    stopped: set[str] = set()
    held = list(devices)
    for device in devices:
        free = [lower for lower in held if stopped.issuperset(lower.children)]
        held = [lower for lower in held if lower not in free]
        yield from (command for lower in free for kind in kinds if kind.release and (command := kind.release(lower)))
        if device.path not in disks:
            yield from (command for kind in kinds if kind.stop and (command := kind.stop(device)))
        stopped.add(device.path)


def unmount_below(target: Path) -> list[Command]:
    """The commands that unmount what is at and below a folder, the last that came first."""
    return [Command(("umount", place), f"unmount {place}") for place in reversed(mounted_below(target))]


def _top_first(machine: Machine, devices: Sequence[Device]) -> list[Device]:
    order = list(machine.devices)
    return sorted(devices, key=lambda device: order.index(device.path), reverse=True)


def _check_others(machine: Machine, devices: Sequence[Device], disks: Sequence[str]) -> None:
    """Refuse where an array or volume also stands on a disk that is to be left alone."""
    known = {device.path for device in devices}
    for device in devices:
        foreign = [parent for parent in device.parents if parent not in known]
        if foreign and device.path not in disks:
            raise Refused(
                f"{device.path} also lies on {', '.join(foreign)}, which the recovery must not overwrite",
                "if it can be lost, stop it by hand (vgreduce, mdadm --stop), or choose other disks with DISK_MAPPING",
            )


def _unmount(machine: Machine, devices: Sequence[Device]) -> Iterator[Command]:
    mounts = {mount.target: device for device in devices for mount in machine.mounted(device)}
    for target in sorted(mounts, reverse=True):
        yield Command(("umount", target), f"unmount {mounts[target].path} from {target}")
    for device in devices:
        if machine.swaps & {device.path, f"/dev/{device.kernel_name}"}:
            yield Command(("swapoff", device.path), f"turn off swap on {device.path}")


def _wipe(device: Device, disk: str) -> Command:
    what = device.fstype or "partition table"
    lost = f"{what} {device.label}".strip() + f" on {device.path}"
    reason = f"erase old signatures on {device.path}"
    return Command(("wipefs", "--all", "--force", device.path), reason, destroys=lost, devices=(device.path,))
