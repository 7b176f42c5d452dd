# SPDX-License-Identifier: GPL-3.0-or-later
"""`rear format` of a disk or stick: what is on it, why it must not be touched, and how it is made bootable."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from rear_core import RearError, Refused, Run
from rear_core.fstab import read_fstab
from rear_core.media.grub_disk import EFI_LABEL, boot_partitions
from rear_core.places.devices import devices_named
from rear_core.storage.compare import human_size
from rear_core.storage.inventory import Device
from rear_core.storage.present import Machine, look

MIB = 1 << 20
SMALLEST = 1 << 30
# FAT32 needs 65525 clusters, which are as large as a sector here.
EFI_SECTORS = 64 * MIB // 512
NODE_SECONDS = 30
FORMAT_SECONDS = 3600
PROGRAMS = ("wipefs", "sfdisk", "mkfs.vfat", "mkfs.ext4", "udevadm", "blkid", "blockdev")
# Those that every GRUB and every kernel since Linux 4 can read, whatever newer releases of mkfs.ext4 would choose.
FEATURES = (
    "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,"
    "dir_nlink,extra_isize,metadata_csum"
)


def suits(_run: Run, device: Path) -> bool:
    """Whether it is a block device: `examine` says which of them are disks, with a reason."""
    return stat.S_ISBLK(device.stat().st_mode)


def examine(run: Run, device: Path) -> list[str]:
    """What a disk is and holds; `Refused` when it is in use, belongs to the system, is too small or no whole disk."""
    missing = [program for program in PROGRAMS if not run.sh.which(program)]
    if missing:
        raise Refused(f"to format a disk needs: {', '.join(missing)}", run.plugins.install_advice(missing))
    machine = look(run.sh, run.report.log, "", lock=False)
    disk = machine.devices.get(str(device))
    if disk is None:
        raise Refused(f"lsblk does not list the disk {device}", "look at `lsblk`")
    stack = machine.above(disk.path)
    _check_kind(machine, disk)
    _check_use(machine, stack)
    _check_tables(run, stack)
    _check_claims(stack)
    _check_label(run, stack)
    return described(disk, stack)


def _check_kind(machine: Machine, disk: Device) -> None:
    """Refuse what is no whole disk, cannot be written or is too small."""
    if disk.type == "part":
        raise Refused(f"{disk.path} is a partition", f"name the whole disk, {disk.parents[0]}")
    if disk.type != "disk" or any(machine.devices[child].type == "mpath" for child in disk.children):
        raise Refused(f"{disk.path} is not a disk, but of the kind {disk.type}", "name a disk, such as /dev/sdx")
    if disk.read_only:
        raise Refused(f"{disk.path} is write-protected", "look for a switch on it")
    if disk.size < SMALLEST:
        size = human_size(disk.size) if disk.size else "no medium in it"
        raise Refused(f"{disk.path} is too small: {size}", f"it must have {human_size(SMALLEST)}, better 8 GiB")


def _check_use(machine: Machine, stack: Iterable[Device]) -> None:
    """Refuse a disk on which something is mounted, is swap, or is held by LVM, RAID, LUKS and alike."""
    for device in stack:
        if targets := [mount.target for mount in machine.mounted(device)]:
            raise Refused(f"{device.path} is mounted on {min(targets, key=len)}", "choose another disk, or unmount it")
        if machine.swaps & {device.path, f"/dev/{device.kernel_name}"}:
            raise Refused(f"{device.path} is in use as swap", "choose another disk")
        if device.type not in ("disk", "part"):
            below = " and ".join(device.parents)
            raise Refused(f"{below} is in use: {device.path} ({device.type}) lies on it", "choose another disk")
    for device in stack:
        if device.fstype.endswith(("_member", "_bluestore")) or device.fstype in ("bcache", "drbd"):
            raise Refused(
                f"{device.path} is part of something larger ({device.fstype})",
                f"if it is not needed: wipefs --all {device.path}",
            )


def _check_tables(run: Run, stack: Iterable[Device]) -> None:
    """Refuse a disk that the system mounts or opens at its next start, though it does not use it now."""
    names = {name: device for device in stack for name in _names(device)}
    wanted = [(entry.spec, f"/etc/fstab mounts it on {entry.target}") for entry in read_fstab(run.sh)]
    lines = [line.split() for line in run.sh.query("cat", "/etc/crypttab", ok=(0, 1)).splitlines()]
    wanted += [(line[1], f"/etc/crypttab opens it as {line[0]}") for line in lines if len(line) > 1]
    for spec, reason in wanted:
        plain = spec.replace('"', "")
        device = names.get(plain) or names.get(os.path.realpath(plain) if plain.startswith("/dev/") else "")
        if device:
            raise Refused(
                f"{device.path} belongs to this system: {reason}",
                "choose another disk, or remove that line from the file",
            )


def _names(device: Device) -> set[str]:
    """How fstab and crypttab may name a device."""
    found = {device.path}
    found |= {f"UUID={device.uuid}", f"/dev/disk/by-uuid/{device.uuid}"} if device.uuid else set()
    found |= {f"LABEL={device.label}", f"/dev/disk/by-label/{device.label}"} if device.label else set()
    return found


def _check_claims(stack: Iterable[Device]) -> None:
    """Refuse what the kernel has given to somebody else, whom lsblk may not know: open(2), O_EXCL on a block device."""
    for device in stack:
        try:
            os.close(os.open(device.path, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
        except OSError as error:
            if error.errno == errno.EBUSY:
                raise Refused(
                    f"{device.path} is in use", "find out what uses it: `lsblk`, `fuser --verbose`"
                ) from error
            raise Refused(f"{device.path} cannot be opened: {error.strerror}", "look at `dmesg`") from error


def _check_label(run: Run, stack: Iterable[Device]) -> None:
    """Refuse to give away a label that another disk has: neither could be found by it."""
    label = run.settings["USB_DEVICE_FILESYSTEM_LABEL"]
    others = {*devices_named(run.sh, f"/dev/disk/by-label/{label}")} - {device.path for device in stack}
    if others:
        raise Refused(
            f"{' and '.join(sorted(others))} has the label {label} already",
            "unplug it, or set USB_DEVICE_FILESYSTEM_LABEL to another label",
        )


def described(disk: Device, stack: Sequence[Device]) -> list[str]:
    """What a disk is and what lies on it, in lines."""
    name = " ".join(word for word in (disk.vendor, disk.model) if word) or "a disk"
    serial = f", serial number {disk.serial}" if disk.serial else ""
    fixed = "" if disk.removable or disk.transport == "usb" else ", NOT a removable disk"
    bus = f", {disk.transport}" if disk.transport else ""
    lines = [f"{disk.path}: {name}, {human_size(disk.size)}{bus}{serial}{fixed}"]
    for device in sorted(stack, key=lambda device: device.path):
        if device.type == "part" or device.fstype:
            label = f' "{device.label}"' if device.label else ""
            holds = f"{device.fstype or 'nothing known'}{label}"
            lines.append(f"  {device.path}: {human_size(device.size)}, {holds}")
    return lines if len(lines) > 1 else [*lines, "  It is blank."]


def becomes(run: Run, device: Path) -> str:
    """What `write` makes of it."""
    label = run.settings["USB_DEVICE_FILESYSTEM_LABEL"]
    return f"a disk that boots on BIOS and UEFI, with an ext4 file system labelled {label}"


def write(run: Run, device: Path) -> None:
    """Make the partition table and the file systems, and read back that they are there."""
    label = run.settings["USB_DEVICE_FILESYSTEM_LABEL"]
    machine = look(run.sh, run.report.log, "", lock=False)
    disk = machine.devices[str(device)]
    for old in machine.above(disk.path):
        # Partitions first. What is left of them would be found in the new ones.
        run.sh.run("wipefs", "--all", "--force", old.path)
    table = partition_table(label, disk.logical_sector_size)
    run.sh.run("sfdisk", "--wipe", "always", "--wipe-partitions", "always", disk.path, input=table)
    run.sh.run("udevadm", "settle", "--timeout=60", ok=(0, 1))
    rows = run.sh.json("sfdisk", "--json", disk.path)["partitiontable"]["partitions"]
    _bios, efi, data = (row["node"] for row in rows)
    make_file_systems(run, efi, data, label)
    run.sh.run("blockdev", "--flushbufs", disk.path)
    run.sh.run("udevadm", "settle", "--timeout=60", ok=(0, 1))


def partition_table(label: str, sector: int) -> str:
    """The input of sfdisk: a GPT with a BIOS boot partition, an EFI system partition and one for all else."""
    return boot_partitions(EFI_SECTORS * sector, sector) + f'type=linux, name="{label}"\n'


def make_file_systems(run: Run, efi: str, data: str, label: str) -> None:
    """Make the FAT file system for the loaders and the one for all else; prove by their labels that they are there."""
    for node in (efi, data):
        _wait_for(run, node)
    run.sh.run("mkfs.vfat", "-F", "32", "-s", "1", "-n", EFI_LABEL, efi)
    run.sh.run("mkfs.ext4", "-q", "-F", "-m", "0", "-L", label, "-O", FEATURES, data, timeout=FORMAT_SECONDS)
    for node, wanted in ((efi, EFI_LABEL), (data, label)):
        command = ("blkid", "--probe", "--match-tag", "LABEL", "--output", "value", node)
        if (found := run.sh.query(*command, ok=(0, 2, 8)).strip()) != wanted:
            raise RearError(f"{node} has the label {found!r}, not {wanted}", "the disk is damaged: use another one")


def _wait_for(run: Run, node: str) -> None:
    """Wait for the node of a partition: mkfs.ext4 would make a file of its name."""
    deadline = time.monotonic() + NODE_SECONDS
    while not Path(node).is_block_device():
        if time.monotonic() > deadline:
            raise RearError(
                f"{node} did not appear", "look at `dmesg`: the kernel has not read the new partition table"
            )
        run.sh.run("udevadm", "settle", "--timeout=10", ok=(0, 1))
        time.sleep(0.2)
