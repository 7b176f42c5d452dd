# SPDX-License-Identifier: GPL-3.0-or-later
"""The survey: what a capture is given, and where it asks the machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import takewhile

from ..errors import NOT_UNDERSTOOD, ProgramFailed, understood
from ..fstab import FstabEntry
from ..mounts import device_number
from ..shell import Argument, Shell
from .inventory import Device
from .layout import Item, LeftOut


@dataclass(frozen=True)
class Mounted:
    """A mount of the running system, as findmnt shows it; `root` is the part of the file system that is
    seen."""

    target: str
    source: str
    fstype: str
    options: str
    root: str
    number: str


@dataclass
class Survey:
    """The machine while its storage is captured.

    `devices` are the block devices to describe, those below first; `mounts` and `fstab` are complete. The
    captures add to `left_out`, and to `without` by the path of what is left out where it is a device; `items` is what
    was captured before, for those that run last. `reached` has the ids of items through which disks are reached, by the
    paths of these: at the other end of a network lies what no tool shows below them.
    """

    sh: Shell
    devices: Mapping[str, Device]
    mounts: list[Mounted]
    fstab: list[FstabEntry]
    warn: Callable[[str], None]
    left_out: list[LeftOut] = field(default_factory=list)
    without: dict[str, LeftOut] = field(default_factory=dict)
    items: list[Item] = field(default_factory=list)
    reached: dict[str, str] = field(default_factory=dict)
    _claims: dict[str, str] = field(default_factory=dict)

    def identity(self, name: str, path: str) -> str:
        """The name by which a device knows itself, or its path when it has none or another has the same (a
        clone)."""
        return name if name and self._claims.setdefault(name, path) == path else path

    def of_type(self, *types: str) -> list[Device]:
        """The devices that are of a type of lsblk: disk, part, lvm, crypt, raid1 ..."""
        return [device for device in self.devices.values() if device.type in types]

    def carrying(self, *fstypes: str) -> list[Device]:
        """The devices that carry a file system or signature of a type of blkid: ext4, LVM2_member ..."""
        return [device for device in self.devices.values() if device.fstype in fstypes]

    def mount_point(self, device: Device) -> str:
        """Where the whole file system of a device is mounted, "" when it is not."""
        for mount in self.mounts:
            if mount.root == "/" and (mount.number == device.number or mount.source == device.path):
                return mount.target
        return ""

    def leave_out(
        self,
        name: str,
        reason: str,
        *,
        lost: bool = False,
        on: Iterable[str] = (),
        device: str = "",
        wwn: str = "",
        serial: str = "",
    ) -> None:
        """Say what the layout does not describe; `lost` for what somebody may miss after a recovery.

        `on` are the devices that it lies on, or the ids of their items; `device` is its own, with which goes what is
        on it; `wwn` and `serial` are those of a disk.
        """
        entry = LeftOut(name, reason, lost, tuple(on), wwn, serial)
        self.left_out.append(entry)
        if device:
            self.without[device] = entry

    @contextmanager
    def reading(self, name: str, on: Iterable[str], device: str = "") -> Iterator[None]:
        """A block that reads what programs tell of something: what is not understood is left out with its reason."""
        try:
            yield
        except NOT_UNDERSTOOD as error:
            reason = f"rear does not understand what programs report about it ({type(error).__name__}: {error})"
            self.leave_out(name, reason, lost=True, on=on, device=device)

    def ask(self, *argv: Argument, lost: str, ok: tuple[int, ...] = (0,)) -> str:
        """What a program prints; when it fails, a warning that says what is `lost`, and nothing."""
        try:
            return self.sh.query(*argv, ok=ok)
        except ProgramFailed as error:
            self.warn(f"{lost}: {error.message}")
            return ""

    def file(self, path: str) -> str:
        """The text of a file, "" when it is not there; by a program, so that it is recorded as everything
        else."""
        return self.sh.query("cat", path, ok=(0, 1))

    @cached_property
    def crypttab(self) -> dict[str, list[str]]:
        """The fields of /etc/crypttab by name of the mapping: device, key file, options; "" where one is empty."""
        # A word that begins with # is a comment, and the end of its line.
        lines = [
            list(takewhile(lambda word: not word.startswith("#"), line.split()))
            for line in self.file("/etc/crypttab").splitlines()
        ]
        return {
            words[0]: ["" if word in ("none", "-") else word for word in [*words[1:], "", "", ""][:3]]
            for words in lines
            if words
        }


def names(devices: Iterable[Device]) -> Callable[[str], str]:
    """What gives the path of a device by any of its names, other words as they are.

    btrfs and others are shown with the name by which their device was found: /dev/dm-3, or a link that udev or
    somebody made.
    """
    devices = list(devices)
    paths = {f"/dev/{device.kernel_name}": device.path for device in devices}
    numbers = {device.number: device.path for device in devices}
    known = {*paths, *paths.values()}

    def path(name: str) -> str:
        if name in known or not name.startswith("/dev/"):
            return paths.get(name, name)
        return numbers.get(device_number(name), name)

    return path


def is_called(tag: str, name: str, own: str) -> bool:
    """Whether a name after a tag as `LABEL=` is a device's own: DATA and data are two labels, and one identifier."""
    if tag in ("UUID", "PARTUUID", "MD"):
        name, own = name.lower(), own.lower()
    return bool(own) and name == own


def read_mounts(sh: Shell, devices: Iterable[Device] = ()) -> list[Mounted]:
    """What is mounted; sources among `devices` by their paths.

    >>> sh.json("findmnt", "--json", "--list", ...)
    {"filesystems": [{"target": "/", "source": "/dev/mapper/debian-root", "fstype": "ext4",
                      "options": "rw,relatime,errors=remount-ro", "fsroot": "/", "maj:min": "253:0"}, ...]}
    """
    report = sh.json("findmnt", "--json", "--list", "--output", "TARGET,SOURCE,FSTYPE,OPTIONS,FSROOT,MAJ:MIN")
    path = names(devices)
    with understood("findmnt"):
        # A part of a file system is shown as /dev/sda2[/@home].
        sources = [(row.get("source") or "").partition("[")[0] for row in report["filesystems"]]
        return [
            Mounted(
                target=row["target"] + "",
                source=path(source),
                fstype=row.get("fstype") or "",
                options=row.get("options") or "",
                root=row.get("fsroot") or "/",
                number=(row.get("maj:min") or "").strip(),
            )
            for row, source in zip(report["filesystems"], sources)
        ]
