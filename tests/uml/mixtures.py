# SPDX-License-Identifier: GPL-3.0-or-later
"""Layouts drawn at random: partitions, arrays, volume groups, encryption and file systems on whatever there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import strategies as st

from .made import LUKS1, PBKDF2, Made

DISK = 352
# Of a device, in MiB, that its technology keeps for itself; generously.
LOST = 20
# What md wants at least, by level.
MEMBERS = {"0": 2, "1": 2, "4": 3, "5": 3, "6": 4, "10": 2}
SMALLEST = {"ext2": 8, "ext3": 16, "ext4": 16, "xfs": 304, "btrfs": 128, "vfat": 40, "swap": 8, "nothing": 0}
NAMES = ("data", "a-b", "c.d", "x--y", "E_f")


@dataclass(frozen=True)
class Device:
    """A block device of the script that nothing lies on yet, with its size in MiB; `deep` is what it lies on."""

    path: str
    size: int
    deep: int = 0
    is_volume: bool = False
    on_array: bool = False

    @property
    def hangs_in_arrays(self) -> bool:
        """Whether the kernel, since 7.2 at least, may wait for ever for an array of such devices."""
        return self.is_volume and self.on_array


@dataclass
class Drawing:
    """A layout that is being drawn: the lines of its script, and the devices that are free."""

    draw: st.DrawFn
    lines: list[str] = field(default_factory=list)
    free: list[Device] = field(default_factory=list)
    made: int = 0

    def any(self, choices: Sequence[str]) -> str:
        """One of some words."""
        return self.draw(st.sampled_from(choices))

    def number(self, low: int, high: int) -> int:
        """A number from `low` to `high`."""
        return self.draw(st.integers(low, high))

    def take(self, count: int) -> list[Device]:
        """Some of the free devices, which are no longer free."""
        taken = [self.free.pop(self.number(0, len(self.free) - 1)) for _ in range(count)]
        self.made += 1
        return taken

    def disk(self, name: str) -> None:
        """A disk as it is, or with partitions."""
        label = self.any(("none", "gpt", "gpt", "dos"))
        if label == "none":
            self.free.append(Device(f"${name}", DISK))
            return
        count = self.number(1, 3)
        size = (DISK - 8) // count
        lines = "".join(f"size={size - 2}MiB\\n" for _ in range(count))
        self.lines.append(f"printf '{lines}' | sfdisk -q -X {label} ${name}; udevadm settle")
        self.free += [Device(f"${{{name}}}{number}", size - 2) for number in range(1, count + 1)]

    def array(self) -> None:
        """A RAID of md."""
        kept = [device for device in self.free if device.hangs_in_arrays]
        self.free = [device for device in self.free if not device.hangs_in_arrays]
        level = self.any([level for level, count in MEMBERS.items() if count <= len(self.free)])
        members = self.take(self.number(MEMBERS[level], min(len(self.free), 4)))
        metadata, name = self.any(("1.0", "1.1", "1.2")), f"m{self.made}"
        bitmap = " --bitmap=internal" if level != "0" and self.number(0, 1) else ""
        bitmap = bitmap or (" --bitmap=none" if level != "0" else "")
        self.lines.append(
            f"mdadm --quiet --create /dev/md/{name} --run --level={level} --metadata={metadata} --name={name}"
            f" --homehost=debian12{bitmap} --raid-devices={len(members)} {' '.join(m.path for m in members)}\n"
            f"udevadm settle; mdadm --quiet --wait /dev/md/{name} || true"
        )
        size = min(member.size for member in members) - LOST
        usable = {"0": len(members), "4": len(members) - 1, "5": len(members) - 1, "6": len(members) - 2}.get(level, 1)
        deep = 1 + max(member.deep for member in members)
        self.free += [*kept, Device(f"/dev/md/{name}", size * usable, deep, on_array=True)]

    def group(self) -> None:
        """A volume group with one or two volumes."""
        # LVM does not look for physical volumes on its own volumes.
        kept = [device for device in self.free if device.is_volume]
        self.free = [device for device in self.free if not device.is_volume]
        volumes = self.take(self.number(1, min(len(self.free), 3)))
        self.free += kept
        group = f"{self.any(NAMES)}{self.made}"
        paths = " ".join(volume.path for volume in volumes)
        self.lines.append(f"pvcreate -qq {paths}; vgcreate -qq {group} {paths}")
        size = (min(volume.size for volume in volumes) - LOST) // 2 // 4 * 4
        deep, on_array = 1 + max(volume.deep for volume in volumes), any(volume.on_array for volume in volumes)
        for number in range(self.number(1, 2)):
            name = f"{self.any(NAMES)}{number}"
            kind = self.any(("linear", "thin", *(("striped", "raid1", "raid0") if len(volumes) > 1 else ())))
            options = {"striped": "-i 2", "raid1": "--type raid1 -m 1", "raid0": "--type raid0 -i 2"}.get(kind, "")
            if kind == "thin":
                self.lines.append(f"lvcreate -qq -y --type thin-pool -n pool{number} -L {size - 8}m {group}")
                options = f"--thinpool pool{number} -V {size}m"
            else:
                options += f" -L {size - 8}m"
            self.lines.append(f"lvcreate -qq -y -n {name} {options} {group}")
            self.free.append(Device(f"/dev/{group}/{name}", size - 8, deep, is_volume=True, on_array=on_array))

    def vault(self) -> None:
        """An encrypted volume."""
        (device,) = self.take(1)
        # Not with sectors of another size: LVM and md do not join them.
        how = self.any((LUKS1, PBKDF2, f"{PBKDF2} --sector-size 512", f"{PBKDF2} --label vault"))
        name = f"c{self.made}"
        self.lines.append(
            f"{how} {device.path} $key; cryptsetup open --key-file $key {device.path} {name}; udevadm settle"
        )
        self.free.append(Device(f"/dev/mapper/{name}", device.size - LOST, device.deep + 1, on_array=device.on_array))

    def content(self) -> None:
        """A file system, swap, or nothing."""
        (device,) = self.take(1)
        kind = self.any([kind for kind, size in SMALLEST.items() if size <= device.size])
        command = {
            "xfs": "mkfs.xfs -q -K", "btrfs": "mkfs.btrfs -q", "vfat": "mkfs.vfat -I >/dev/null", "swap": "mkswap -q",
        }.get(kind, f"mkfs.{kind} -q")  # fmt: skip
        if kind != "nothing":
            self.lines.append(f"{command} {device.path}")


@st.composite
def mixtures(draw: st.DrawFn) -> Made:
    """A layout on two to four disks."""
    drawing = Drawing(draw)
    disks = drawing.number(2, 4)
    for name in "abcd"[:disks]:
        drawing.disk(name)
    while drawing.free:
        steps = [drawing.content]
        if all(device.size > 64 and device.deep < 3 for device in drawing.free):
            steps += [drawing.vault]
            steps += [drawing.group] * 2 if any(not device.is_volume for device in drawing.free) else []
            steps += [drawing.array] * 2 if sum(not device.hangs_in_arrays for device in drawing.free) > 1 else []
        draw(st.sampled_from(steps))()
    return Made("a mixture", "\n".join(drawing.lines) + "\n", disks=disks, size=DISK)
