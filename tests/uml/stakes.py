# SPDX-License-Identifier: GPL-3.0-or-later
"""Mixtures of which a backup gives back some contents and others not, drawn at random with what excludes them."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st

from .made import PBKDF2
from .mixtures import DISK, SMALLEST, Device, Drawing


@dataclass(frozen=True)
class Content:
    """What somebody wrote to a device, and whether a recovery gives it back; the device is that of these disks."""

    path: str
    disks: frozenset[str]
    is_saved: bool


@dataclass
class Stakes(Drawing):
    """A drawing that knows what lies on which disks: lines that make it, start it again, and are settings."""

    disks: dict[str, frozenset[str]] = field(default_factory=dict)
    contents: list[Content] = field(default_factory=list)
    again: list[str] = field(default_factory=list)
    settings: list[str] = field(default_factory=list)
    excluded: set[str] = field(default_factory=set)

    def disk(self, name: str) -> None:
        """A disk as it is, or with partitions, by names that stay when the kernel gives others."""
        count = self.number(0, 3)
        if not count:
            self.known(Device(f"${name}", DISK), frozenset(name))
            return
        size = (DISK - 8) // count - 2
        label, lines = self.any(("gpt", "dos")), f"size={size}MiB\\n" * count
        self.lines.append(f"printf '{lines}' | sfdisk -q -X {label} ${name}; udevadm settle")
        for number in range(1, count + 1):
            self.known(Device(f"${name}-part{number}", size), frozenset(name))

    def known(self, device: Device, disks: frozenset[str]) -> None:
        """Nothing is on the device so far, which lies on these disks."""
        self.free.append(device)
        self.disks[device.path] = disks

    def stacked(self, draw_one: str) -> None:
        """An array, group or vault, and on which disks the devices are that it makes."""
        before = list(self.free)
        getattr(super(), draw_one)()
        gone = [device for device in before if device not in self.free]
        disks = frozenset().union(*(self.disks[device.path] for device in gone))
        new = [device for device in self.free if device not in before]
        excluded = any(device.path in self.excluded for device in gone)
        for device in new:
            self.disks[device.path] = disks
        first, members = new[0].path, " ".join(device.path for device in gone)
        start = {
            # By its name: the first member of a mirror may begin with what the mirror begins with.
            "array": f"mdadm --quiet --assemble --name={first.rpartition('/')[2]} {first} {members}",
            "vault": f"cryptsetup open --key-file $key {members} {first.rpartition('/')[2]}",
            "group": f"vgchange -qq -ay {first.split('/')[2]}",
        }[draw_one]
        self.again.append(f"{start}; udevadm settle")
        if draw_one == "group" and not self.number(0, 3):
            self.settings.append(f"EXCLUDE_VG+=( {first.split('/')[2]} )")
            excluded = True
        if excluded:
            self.excluded |= {device.path for device in new}

    def array(self) -> None:
        """A RAID of md."""
        self.stacked("array")

    def group(self) -> None:
        """A volume group, which a setting may exclude with all that stands on it."""
        self.stacked("group")

    def vault(self) -> None:
        """An encrypted volume."""
        self.stacked("vault")

    def closed(self) -> None:
        """An encrypted volume that nobody has opened."""
        (device,) = self.take(1)
        self.lines.append(f"{PBKDF2} {device.path} $key")
        self.wrote(device.path, saved=False)

    def content(self) -> None:
        """A file system with a file, mounted or not, excluded or not; or data that no tool knows; or nothing."""
        (device,) = self.take(1)
        kind = self.any([kind for kind, size in SMALLEST.items() if size <= device.size])
        if kind == "nothing" and self.number(0, 1):
            self.lines.append(f"echo precious | dd of={device.path} status=none")
            self.wrote(device.path, saved=False)
        if kind == "swap":
            self.lines.append(f"mkswap -q {device.path}")
            self.contents += [Content(device.path, self.disks[device.path], True)] * (device.path not in self.excluded)
        if kind in ("nothing", "swap"):
            return
        place = f"/srv/{self.made}"
        make = {"xfs": "mkfs.xfs -q -K", "btrfs": "mkfs.btrfs -q", "vfat": "mkfs.vfat -I >/dev/null"}.get(
            kind, f"mkfs.{kind} -q"
        )
        self.lines.append(f"{make} {device.path}; mount {device.path} {place} --mkdir; echo precious >{place}/file")
        fate = self.any(("saved", "saved", "saved", "not mounted", "excluded", "left out"))
        if fate == "not mounted":
            self.lines.append(f"umount {place}")
        elif fate == "excluded":
            self.settings.append(f"EXCLUDE_MOUNTPOINTS+=( {place} )")
        elif fate == "left out":
            self.settings.append(f"BACKUP_PROG_EXCLUDE+=( '{place}/*' )")
        self.wrote(device.path, saved=fate == "saved")

    def wrote(self, path: str, *, saved: bool) -> None:
        """Somebody's data are there now."""
        self.contents.append(Content(path, self.disks[path], saved and path not in self.excluded))


@st.composite
def stakes(draw: st.DrawFn) -> Stakes:
    """A drawing of three or four disks."""
    drawing = Stakes(draw)
    for name in "abcd"[: drawing.number(3, 4)]:
        drawing.disk(name)
    while drawing.free:
        steps = [drawing.content, drawing.content, drawing.closed]
        if all(device.size > 64 and device.deep < 2 for device in drawing.free):
            steps += [drawing.vault]
            steps += [drawing.group] * 2 if any(not device.is_volume for device in drawing.free) else []
            steps += [drawing.array] if len(drawing.free) > 1 else []
        draw(st.sampled_from(steps))()
    return drawing
