# SPDX-License-Identifier: GPL-3.0-or-later
"""The block devices of this machine: blkinfo says which are disks, lsblk how everything else stands on
them."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from glob import glob
from typing import Any, Protocol

from ..errors import ProgramFailed, ProgramMissing, RearError, understood
from ..shell import Shell

# Only columns that util-linux 2.32 has. PATH, MOUNTPOINTS, START and others came later.
COLUMNS = (
    "NAME,KNAME,MAJ:MIN,TYPE,SIZE,FSTYPE,UUID,LABEL,MODEL,VENDOR,SERIAL,WWN,TRAN,RM,RO,ROTA,"
    "LOG-SEC,PHY-SEC,MIN-IO,OPT-IO,ALIGNMENT"
)

# Bytes of a device that are looked at where nothing tells what is on it.
PROBED = 1 << 20


# What is not on a disk of this machine, by the beginning of the kernel's name.
NOT_DISKS = {
    "loop": "a loop device: the file behind it is saved where it lies",
    "zram": "compressed memory",
    "ram": "a RAM disk",
    "sr": "an optical drive",
    "fd": "a floppy drive",
    "nbd": "a network block device",
    "rbd": "a network block device",
    "drbd": "a replicated device, which is not described",
    "zd": "a ZFS volume: ZFS is not described",
}
# Those of them that may lie on the machine's own disks all the same: no reason not to save what is in them.
ON_OWN_DISKS = (NOT_DISKS["drbd"], NOT_DISKS["zd"])
NETWORK_TRANSPORTS = ("iscsi", "nvme-tcp", "nvme-rdma", "tcp", "rdma")


@dataclass(frozen=True)
class Device:
    """A block device as the kernel has it now; `parents` and `children` are paths."""

    path: str
    kernel_name: str
    number: str
    type: str
    size: int
    fstype: str = ""
    uuid: str = ""
    label: str = ""
    model: str = ""
    vendor: str = ""
    serial: str = ""
    wwn: str = ""
    transport: str = ""
    removable: bool = False
    read_only: bool = False
    rotational: bool = False
    logical_sector_size: int = 512
    physical_sector_size: int = 512
    minimum_io: int = 0
    optimal_io: int = 0
    alignment_offset: int = 0
    is_disk: bool = False
    parents: tuple[str, ...] = ()
    children: tuple[str, ...] = ()


class Identified(Protocol):
    """What is known of a disk, by whatever class."""

    @property
    def path(self) -> str: ...

    @property
    def wwn(self) -> str: ...

    @property
    def serial(self) -> str: ...

    @property
    def model(self) -> str: ...

    @property
    def size(self) -> int: ...


def is_same_disk(one: Identified, other: Identified) -> bool:
    """Whether two devices are paths to one disk, for which multipathd does not run: what happens to one happens to
    both, and the kernel knows nothing of that."""
    own, its = ((it.wwn, it.serial, it.model, it.size) for it in (one, other))
    return bool(one.wwn) and own == its and one.path != other.path


def read_devices(sh: Shell, warn: Callable[[str], None]) -> dict[str, Device]:
    """All block devices by path, those below before those that stand on them.

    >>> sh.json("lsblk", "--json", ...)
    {"blockdevices": [{"name": "sda", "kname": "sda", "maj:min": "8:0", "type": "disk", "size": 21474836480,
    ...,
                       "children": [{"name": "sda1", "kname": "sda1", "maj:min": "8:1", "type": "part",
                       ...}]}]}
    """
    report = sh.json("lsblk", "--json", "--bytes", "--output", COLUMNS)
    devices: dict[str, Device] = {}
    with understood("lsblk"):
        for node in report["blockdevices"]:
            _add(devices, node, "")
    ordered = _without_shadows(dict(_parents_first(devices)))
    disks = _disks(sh, ordered, warn)
    return {path: replace(device, is_disk=path in disks) for path, device in ordered.items()}


def _without_shadows(devices: Mapping[str, Device]) -> dict[str, Device]:
    """Without the partitions of members of arrays: a mirror with its metadata at the end has the same first sectors.

    They are those of the array, which the kernel also sees on each of its disks.
    """
    arrays = {path for path, device in devices.items() if device.type.startswith(("raid", "linear", "md"))}
    shadows = {
        child
        for device in devices.values()
        if arrays.intersection(device.children)
        for child in device.children
        if devices[child].type == "part" and not devices[child].children
    }
    return {
        path: replace(device, children=tuple(child for child in device.children if child not in shadows))
        for path, device in devices.items()
        if path not in shadows
    }


def partition_number(node: str, disk: str) -> int:
    """The number of a partition by its node, which is the disk's path with 1, p1 or -part1 behind it; 0 for none.

    >>> partition_number("/dev/nvme0n1p12", "/dev/nvme0n1")
    12
    """
    match = re.search(r"\d+$", node[len(disk) :])
    return int(match.group()) if match else 0


def why_no_disk(device: Device) -> str:
    """Why a device is none of the machine's disks by its name, "" for one that may be."""
    name = device.kernel_name
    return next((NOT_DISKS[p] for p in NOT_DISKS if name.startswith(p) and name[len(p) :].isdigit()), "")


def meaning(device: Device, patterns: Iterable[str]) -> list[str]:
    """Those of the patterns that mean a device: by its path, its kernel name or a link to it (/dev/disk/by-id/...).

    One that does not begin with a slash is below /dev: `sdb`.
    """
    names = {device.path, f"/dev/{device.kernel_name}"}
    paths = {pattern: os.path.join("/dev", pattern) for pattern in patterns}
    return [
        pattern
        for pattern, path in paths.items()
        if any(fnmatch(name, path) for name in names) or names & {*map(os.path.realpath, glob(path))}
    ]


def volume_group(device: Device) -> str:
    """The volume group of a logical volume: the name before the first single hyphen; hyphens in names are doubled.

    >>> volume_group(Device("/dev/mapper/my--data-root", ...))
    'my-data'
    """
    name = device.path.rpartition("/")[2]
    return re.split(r"(?<!-)-(?!-)", name, maxsplit=1)[0].replace("--", "-")


def begins_empty(sh: Shell, device: Device, begin: int = 0) -> bool:
    """Whether the first MiB of a device, or that from some byte on, has zeros alone: others may hold data without a
    signature, as databases do."""
    size = min(device.size - begin, PROBED)
    skip = [f"--ignore-initial={begin}:0"] if begin else []
    if size <= 0:
        return True
    try:
        return sh.run("cmp", "--silent", f"--bytes={size}", *skip, device.path, "/dev/zero", ok=(0, 1)).status == 0
    except ProgramMissing:
        raise
    except ProgramFailed:
        return False


def ends_empty(sh: Shell, disk: Device) -> bool:
    """Whether the last sector of a disk has zeros alone: there is the copy of a GPT of which only the beginning was
    lost (UEFI 5.3.2)."""
    return begins_empty(sh, disk, max(disk.size - disk.logical_sector_size, 0))


def pathless(devices: Mapping[str, Device]) -> frozenset[str]:
    """The multipath disks whose paths are all gone, and what stands on them alone.

    Whatever reads one may wait for ever: multipathd has requests queue until a path comes back.
    """
    found: set[str] = set()
    for path, device in devices.items():
        if found.issuperset(device.parents) if device.parents else device.type == "mpath":
            found.add(path)
    return frozenset(found)


def is_part(devices: Mapping[str, Device], device: Device) -> bool:
    """Whether a device is a hidden part of a logical volume, as pool_tdata or mirror_rimage_0.

    What blkid finds there is the volume's own, or what lay there before.
    """
    above = [devices[child] for child in device.children]
    return device.type == "lvm" and any(d.type == "lvm" and volume_group(d) == volume_group(device) for d in above)


def _disks(sh: Shell, devices: Mapping[str, Device], warn: Callable[[str], None]) -> set[str]:
    """The disks: those in the inventory of blkinfo, and what lsblk has besides, named.

    To lsblk all is a disk that it has no other word for, also what a driver makes of devices below it.
    """
    inventory = read_inventory(sh, warn)
    found = {
        path
        for path, device in devices.items()
        if device.type == "mpath" or (device.type == "disk" and not device.parents)
    }
    for path in sorted(found):
        # blkinfo shows an array or multipath disk in place of the disks that are wholly its members.
        hidden = any(devices[child].type.startswith(("raid", "mpath")) for child in devices[path].children)
        if inventory and devices[path].kernel_name not in inventory and not hidden:
            warn(f"lsblk lists the disk {path}, but the inventory of blkinfo does not")
    return found


def read_inventory(sh: Shell, warn: Callable[[str], None]) -> frozenset[str]:
    """The kernel names of the machine's disks and arrays, by blkinfo.

    It runs in a process of its own: it calls lsblk without a time limit, and raises KeyError or
    UnicodeDecodeError on names and labels it did not expect.
    """
    try:
        found = sh.query(sys.executable, "-m", __name__, env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))})
    except ProgramFailed as error:
        warn(f"blkinfo cannot list the disks, so rear uses lsblk alone: {error.message}")
        return frozenset()
    return frozenset(found.split())


def probe(sh: Shell, path: str) -> tuple[int, dict[str, str]]:
    """What blkid finds on a device itself, and its status: 2 for nothing or unreadable, 8 for several signatures.

    >>> sh.query("blkid", "--probe", "--output", "export", "/dev/vdb1")
    DEVNAME=/dev/vdb1
    LABEL=my\\ data
    UUID=5d6776a6-fd96-4adb-ade1-463678c90eef
    TYPE=ext4
    USAGE=filesystem

    That is made for a shell, with more than one label of the same looks; odd ones are asked for once more.
    """
    outcome = sh.run("blkid", "--probe", "--output", "export", path, ok=(0, 2, 8))
    found = dict(line.split("=", 1) for line in outcome.stdout.splitlines() if "=" in line)
    if re.search(r"\\|\^|M-", found.get("LABEL", "")):
        argv = ("blkid", "--probe", "--output", "value", "--match-tag", "LABEL", path)
        exact = sh.run(*argv, ok=(0, 2, 8)).stdout
        found["LABEL"] = exact[:-1] if exact.endswith("\n") else unshelled(found["LABEL"])
    return outcome.status, found


def unshelled(text: str) -> str:
    r"""A value of `blkid --output export`: backslashes before blanks, ^ and M- as of `cat --show-nonprinting`.

    >>> unshelled(r"\ M-CM-\$\ b")
    ' ä b'
    """

    def byte(match: re.Match[str]) -> str:
        high, control, letter = match.groups()
        code = ord(letter) ^ (0x40 if control else 0) | (0x80 if high else 0)
        return chr(code) if code < 0x100 else letter

    parts = re.sub(r"(M-)?(\^)?\\?(.)", byte, text, flags=re.DOTALL)
    try:
        return parts.encode("latin-1").decode()
    except UnicodeError:
        return parts


def _add(devices: dict[str, Device], node: Mapping[str, Any], parent: str) -> None:
    """Take a node of lsblk's tree; what stands on several devices appears below each of them."""
    device = _device(node)
    known = devices.get(device.path, device)
    above = node.get("children") or ()
    children = [_path(child) for child in above]
    devices[device.path] = replace(
        known,
        parents=tuple(dict.fromkeys((*known.parents, parent))) if parent else known.parents,
        children=tuple(dict.fromkeys((*known.children, *children))),
    )
    for child in above:
        _add(devices, child, device.path)


def _parents_first(devices: Mapping[str, Device]) -> Iterable[tuple[str, Device]]:
    done: set[str] = set()
    waiting = dict(devices)
    while waiting:
        ready = [path for path, device in waiting.items() if done.issuperset(device.parents)]
        if not ready:
            raise RearError(
                f"these block devices lie on each other in a circle: {', '.join(waiting)}", "look at `lsblk`"
            )
        for path in ready:
            yield path, waiting.pop(path)
        done.update(ready)


def _path(node: Mapping[str, Any]) -> str:
    # A device mapper node has its name in /dev/mapper; the kernel writes / in names (cciss/c0d0) as !.
    name = node["name"] if str(node["kname"]).startswith("dm-") else node["kname"].replace("!", "/")
    return f"/dev/mapper/{name}" if str(node["kname"]).startswith("dm-") else f"/dev/{name}"


def _type(node: Mapping[str, Any]) -> str:
    """Its type; util-linux before 2.33 calls a partition of an array `md`, as it does the array."""
    is_part = re.fullmatch(r"md\w*?\d+p\d+", str(node["kname"])) is not None
    return "part" if is_part else str(node.get("type") or "").strip()


def _device(node: Mapping[str, Any]) -> Device:
    def text(column: str) -> str:
        return str(node.get(column) or "").strip()

    def number(column: str) -> int:
        return int(node.get(column) or 0)

    def truth(column: str) -> bool:
        # Older releases of lsblk print "1" and "0".
        return node.get(column) in (True, "1")

    return Device(
        path=_path(node),
        kernel_name=node["kname"],
        number=text("maj:min"),
        type=_type(node),
        size=number("size"),
        fstype=text("fstype"),
        uuid=text("uuid"),
        label=str(node.get("label") or ""),
        model=text("model"),
        vendor=text("vendor"),
        serial=text("serial"),
        wwn=text("wwn"),
        transport=text("tran"),
        removable=truth("rm"),
        read_only=truth("ro"),
        rotational=truth("rota"),
        logical_sector_size=number("log-sec"),
        physical_sector_size=number("phy-sec"),
        minimum_io=number("min-io"),
        optimal_io=number("opt-io"),
        alignment_offset=number("alignment"),
    )


if __name__ == "__main__":
    from blkinfo import BlkDiskInfo

    # Without filters: its filter is_mounted raises TypeError as soon as a disk has partitions.
    print("\n".join(disk["kname"] for disk in BlkDiskInfo().get_disks()))
