# SPDX-License-Identifier: GPL-3.0-or-later
"""What the names of block devices in a restored configuration mean on the rebuilt storage."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..mounts import unescaped
from ..shell import Shell
from ..storage.inventory import unshelled
from ..storage.layout import Item, Layout
from ..storage.links import BY_ID, linked
from ..storage.plan import Rebuilt
from ..storage.references import TAGS
from ..storage.survey import is_called
from ..storage.technologies.multipath import MultipathDisk
from . import multipath

if TYPE_CHECKING:
    from ..run import Run


@dataclass(frozen=True)
class Device:
    """A block device that is here: all its paths, and the identifiers that can be written for it, by tag.

    `wwid` is that of the multipath disk that it is, or is a partition of. Where the recovered system calls it otherwise
    than the rescue system does, `path` and `recovered` are what it is called there.
    """

    path: str
    names: frozenset[str] = frozenset()
    tags: Mapping[str, str] = field(default_factory=dict)
    wwid: str = ""
    recovered: frozenset[str] = frozenset()

    @property
    def written(self) -> frozenset[str]:
        """The paths that may stand in the recovered system's configuration."""
        return self.recovered or self.names


def read_devices(sh: Shell, dev: Path = Path("/dev"), sysfs: Path = Path("/sys")) -> list[Device]:
    """All block devices of this machine, with the links to them below /dev."""
    # $ lsblk --json --list --paths --output NAME,KNAME
    # {"blockdevices": [{"name":"/dev/mapper/vg-root", "kname":"/dev/dm-0"}, ...]}
    rows = sh.json("lsblk", "--json", "--list", "--paths", "--output", "NAME,KNAME")["blockdevices"]
    tags = read_tags(sh)
    links: dict[str, set[str]] = {}
    for link in dev.rglob("*"):
        if link.is_symlink():
            links.setdefault(str(link.resolve()), set()).add(str(link))
    return [
        Device(
            path=row["name"],
            names=frozenset({row["name"], row["kname"], *links.get(row["kname"], ())}),
            tags=tags.get(row["name"]) or tags.get(row["kname"], {}),
            wwid=_wwid(sysfs / "class/block" / Path(row["kname"]).name / "dm/uuid"),
        )
        for row in rows
    ]


def _wwid(uuid: Path) -> str:
    """The WWID of a multipath disk (mpath-3600...) or partition of one (part1-mpath-3600...) by its UUID as a map."""
    found = re.fullmatch(r"(?:part\d+-)?mpath-(\S+)\s*", uuid.read_text()) if uuid.is_file() else None
    return found[1] if found else ""


def as_recovered(devices: Iterable[Device], called: Mapping[str, str]) -> list[Device]:
    """The devices with the paths that they have in the recovered system, by its names of multipath disks.

    The rescue system may have given `mpatha` to another disk.
    """
    devices = list(devices)
    # Of a disk and its partitions the disk has the shortest path.
    disks = {wwid: min((one.path for one in devices if one.wwid == wwid), key=len, default="") for wwid in called}
    return [
        _called(device, disks[device.wwid].rpartition("/")[2], called[device.wwid]) if device.wwid in called else device
        for device in devices
    ]


def _called(device: Device, old: str, new: str) -> Device:
    of_disk = re.compile(rf"^(/dev/mapper/|/dev/disk/by-id/dm-name-){re.escape(old)}(?=$|(?:-part|p|)\d+$)")
    names = frozenset(of_disk.sub(rf"\g<1>{new}", name) for name in device.names)
    path = of_disk.sub(rf"\g<1>{new}", device.path)
    return replace(device, path=path, recovered=names) if names != device.names else device


def read_tags(sh: Shell) -> dict[str, dict[str, str]]:
    """The identifiers of all devices, read from the devices themselves: what udev knows may be older."""
    # $ blkid --cache-file /dev/null --output export
    # DEVNAME=/dev/sda1
    # LABEL=my\ root
    # UUID=2c54...
    # TYPE=ext4
    #
    # Exit status 2: nothing was found. Beside backslashes it writes ^I and M-C for what is no letter of ASCII, as a
    # label can be spelled as well: such a one is asked for alone.
    found: dict[str, dict[str, str]] = {}
    text = sh.query("blkid", "--cache-file", "/dev/null", "--output", "export", ok=(0, 2), timeout=300)
    for block in text.split("\n\n"):
        pairs = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        name = pairs.get("DEVNAME", "")
        found.setdefault(name, {tag: _exact(sh, name, tag, pairs[tag]) for tag in TAGS if tag in pairs})
    return found


def _exact(sh: Shell, name: str, tag: str, shown: str) -> str:
    """An identifier as it lies on the device, by what `blkid --output export` has shown of it."""
    if not re.search(r"\^|M-", shown):
        return re.sub(r"\\(.)", r"\1", shown)
    argv = ("blkid", "--cache-file", "/dev/null", "--output", "value", "--match-tag", tag, name)
    return sh.query(*argv, ok=(0, 2), timeout=300).removesuffix("\n") or unshelled(shown)


def storage_of(run: Run) -> Storage:
    """The names of the recorded machine and the devices that are here."""
    assert run.layout is not None and run.rebuilt is not None
    used = {item.name for item in run.layout.of(MultipathDisk)}
    devices = as_recovered(read_devices(run.sh), multipath.names(run.target, used)) if used else read_devices(run.sh)
    return Storage(run.layout, run.rebuilt, devices)


def changed_wwids(run: Run) -> dict[str, str]:
    """The WWIDs of multipath disks that others took the place of: those that have it now, by the recorded ones."""
    assert run.layout is not None and run.rebuilt is not None
    recorded = [item for item in run.layout.of(MultipathDisk) if run.rebuilt.disks(item.id)]
    if not recorded:
        return {}
    by_name = {name: wwid for wwid, name in multipath.names(run.target, {item.name for item in recorded}).items()}
    found, devices = {}, read_devices(run.sh)
    for item in recorded:
        # A disk without a name is called by its WWID; what `mpatha` was is nowhere but in the bindings.
        old = by_name.get(item.name, "" if re.fullmatch("mpath[a-z]+", item.name) else item.name)
        new = next((device.wwid for device in devices if run.rebuilt.device(item.id) in device.names), "")
        if old and new and new != old:
            found[old] = new
    return found


class Storage:
    """Answers what a name that meant a device of the recorded machine must be now."""

    def __init__(self, layout: Layout, rebuilt: Rebuilt, devices: Iterable[Device]) -> None:
        self._layout = layout
        self._rebuilt = rebuilt
        self._devices = list(devices)

    def now(self, tag: str, value: str) -> str | None:
        """The value to write for a device: the same where nothing changed, None when nothing is there for it.

        `tag` is one of TAGS, "" for a path below /dev, or a word that a technology has for its `identifiers`.
        """
        if tag and tag not in TAGS:
            return self._named(tag, value)
        item = self._item(tag, value)
        path = self.place(item, backing=bool(tag)) if item else ""
        if item is None or (not path and (tag or value.startswith(BY_ID))):
            # What was not recreated, such as a disk that was left as it is, is known by its identifier.
            value = self._rebuilt.changed_identifiers.get(value, value)
            return value if any(_is_called(device, tag, value) for device in self._devices) else None
        device = next((device for device in self._devices if path and path in device.names), None)
        if device is None:
            return None
        if _is_called(device, tag, value):
            return value
        return device.tags.get(tag) if tag else _other_name(device, value)

    def is_stale(self, tag: str, value: str) -> bool:
        """Whether a name that stood for a described device means another one now, or none.

        Of a disk that was left as it is nobody knows what the kernel calls it now: its name counts where there is one.
        """
        item = self._item(tag, value)
        if item is None or (not self.place(item) and any(_is_called(device, tag, value) for device in self._devices)):
            return False
        return self.now(tag, value) != value

    def place(self, item: Item, *, backing: bool = True) -> str:
        """The device that carries an item now, "" when it was not made; of LUKS the closed one if `backing`."""
        id = item.needs[0] if backing and item.identified_below else item.id
        return self._rebuilt.device(id) if self._rebuilt.disks(id) else ""

    def _named(self, tag: str, value: str) -> str | None:
        item = self._item(tag, value)
        return self._rebuilt.changed_identifiers.get(value, value) if item and self.place(item) else None

    def _item(self, tag: str, value: str) -> Item | None:
        if not tag and value.startswith(BY_ID):
            return linked(self._layout, value)
        return next((item for item in self._layout if _meant(item, tag, value)), None)


def _is_called(device: Device, tag: str, value: str) -> bool:
    if not tag:
        return value in device.written
    return is_called(tag, decoded(value), device.tags.get(tag, ""))


def _meant(item: Item, tag: str, value: str) -> bool:
    """Whether a name of the recorded machine stood for this item."""
    return is_called(tag, decoded(value), item.identifiers.get(tag, "")) if tag else value in item.device_paths


def _other_name(device: Device, old: str) -> str:
    """A path for a device whose old one is gone: a link of the same kind where there is one."""
    folder, _, name = old.rpartition("/")
    scheme = f"{folder}/{name.partition('-')[0]}-"
    alike = [other for other in device.written if other.startswith(folder + "/") and folder != "/dev"]
    return min(alike, key=lambda other: (not other.startswith(scheme), other), default=device.path)


def decoded(value: str) -> str:
    r"""The value without the escapes of fstab (\040) and of udev's links (\x20), which stand for bytes."""
    return unescaped(value)
