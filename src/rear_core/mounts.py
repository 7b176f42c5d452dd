# SPDX-License-Identifier: GPL-3.0-or-later
"""What is mounted, by the kernel's own table, and what a folder really lies on; names are bytes."""

from __future__ import annotations

import fcntl
import os
import re
import stat
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# The kernel writes octal numbers (proc(5), mountinfo), udev and the raw output of util-linux hexadecimal ones; all of
# them escape a backslash of the name itself.
ESCAPE = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|([0-7]{3}))")

# linux/loop.h: the number, the size of its structure, and the place of lo_rdevice in that.
LOOP_GET_STATUS64, LOOP_INFO_SIZE, LOOP_DEVICE = 0x4C05, 232, 16


@dataclass(frozen=True)
class MountPoint:
    """A line of mountinfo; `number` is that of the file system (MAJOR:MINOR), which is no device's for some kinds.

    `root` is the folder of the file system that is seen at `target`.
    """

    id: str
    number: str
    root: str
    target: str
    fstype: str
    source: str
    options: str


def unescaped(text: str) -> str:
    r"""The name that an escaped one stands for, with bytes that are no UTF-8 as `os.fsdecode` has them.

    >>> unescaped(r"/srv/gr\xc3\xb6\xc3\x9fe"), unescaped(r"/srv/a\040b")
    ('/srv/größe', '/srv/a b')
    """

    def byte(match: re.Match[bytes]) -> bytes:
        return bytes([int(match[1], 16) if match[1] else int(match[2], 8) & 0xFF])

    return os.fsdecode(ESCAPE.sub(byte, os.fsencode(text)))


def mount_points() -> list[MountPoint]:
    """Everything that is mounted, in the order of mounting (proc(5), /proc/pid/mountinfo).

    36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
    """
    found = []
    # Lines and fields end at these two bytes alone: names may hold whatever else Unicode calls a blank or a line's end.
    for line in Path("/proc/self/mountinfo").read_bytes().split(b"\n"):
        if line:
            words = [unescaped(os.fsdecode(word)) for word in line.split(b" ")]
            rest = words[words.index("-", 6) + 1 :]
            found.append(MountPoint(words[0], words[2], words[3], words[4], rest[0], rest[1], rest[2]))
    return found


def mounted_below(folder: Path) -> list[str]:
    """Where something is mounted at and below a folder, in the order of mounting."""
    top = os.fspath(folder).rstrip("/")
    return [point.target for point in mount_points() if f"{point.target}/".startswith(f"{top}/")]


def mount_id(descriptor: int) -> str:
    """The mount that an open file lies in (proc(5), /proc/pid/fdinfo): bind mounts share all other numbers."""
    lines = Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines()
    return next(line.partition(":")[2].strip() for line in lines if line.startswith("mnt_id:"))


def mount_of(path: str) -> MountPoint | None:
    """The mount that a folder lies in, or will when it is made; whatever else covers or leads to it."""
    existing = next(place for place in (Path(path), *Path(path).parents) if os.path.exists(place))
    descriptor = os.open(existing, os.O_PATH | os.O_CLOEXEC)
    try:
        id = mount_id(descriptor)
    finally:
        os.close(descriptor)
    return next((mount for mount in mount_points() if mount.id == id), None)


def hidden_by(target: str) -> str:
    """What was mounted later over a folder above a mount, by which nobody gets to it any more; "" where it is seen."""
    seen = mount_of(target) if any(mount.target == target for mount in mount_points()) else None
    return seen.target if seen and seen.target != target else ""


def other_paths(path: str) -> list[str]:
    """Where else the same folder can be seen, as its file system is mounted in several places."""
    own, place = mount_of(path), os.path.realpath(path)
    if own is None:
        return []
    within = os.path.normpath(os.path.join(own.root, os.path.relpath(place, own.target)))
    found = []
    for mount in mount_points():
        if mount.number == own.number and f"{within}/".startswith(f"{mount.root.rstrip('/')}/"):
            seen = os.path.normpath(os.path.join(mount.target, os.path.relpath(within, mount.root)))
            if seen != place and _same(seen, place):
                found.append(seen)
    return found


def _same(first: str, second: str) -> bool:
    try:
        return os.path.samefile(first, second)
    except OSError:
        return False


def devices_below(path: str) -> Iterator[str]:
    """The numbers of the block devices that a folder or device lies on: through loop devices and overlays, too.

    Of a file system on several devices it is the one that was mounted.
    """
    if number := device_number(path):
        yield number
        if file := backing_file(number):
            yield from devices_below(file)
    elif mount := mount_of(path):
        upper = re.search(r"(?:^|,)upperdir=([^,]*)", mount.options) if mount.fstype == "overlay" else None
        # In a container, or after chroot(2), that is a path of elsewhere; what has it here lies in the overlay.
        below = mount_of(upper[1]) if upper else None
        if upper and below and below.id != mount.id:
            yield from devices_below(upper[1])
        elif device_number(mount.source):
            yield from devices_below(mount.source)
        else:
            yield mount.number


def backing_file(number: str) -> str:
    """The file behind the loop device MAJOR:MINOR, "" where there is none."""
    try:
        return Path(f"/sys/dev/block/{number}/loop/backing_file").read_text().rstrip("\n")
    except OSError:
        return ""


def loop_devices() -> dict[str, str]:
    """The loop devices that have a block device behind them, where others have a file, by the number of that device.

    lsblk shows them nowhere above it, and a loop device does not claim what it stands on (open(2), O_EXCL).
    """
    found: dict[str, str] = {}
    for file in sorted(Path("/sys/block").glob("loop*/loop/backing_file")):
        path = f"/dev/{file.parts[3]}"
        number = _behind(path)
        if number is None:
            with suppress(OSError):
                number = device_number(file.read_text().rstrip("\n"))
        if number:
            found[number] = path
    return found


def _behind(path: str) -> str | None:
    """The number of the block device behind a loop device, "" for a file, and None where the kernel does not tell.

    By its name it may be another one by now, or be one of another mount namespace.
    """
    status = bytearray(LOOP_INFO_SIZE)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.ioctl(descriptor, LOOP_GET_STATUS64, status)
        finally:
            os.close(descriptor)
    except OSError:
        return None
    number = struct.unpack_from("=Q", status, LOOP_DEVICE)[0]
    return f"{os.major(number)}:{os.minor(number)}" if number else ""


def device_number(path: str) -> str:
    """MAJOR:MINOR of a block device by any of its names, "" for what is none or not there."""
    try:
        found = os.stat(path)
    except OSError:
        return ""
    return f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}" if stat.S_ISBLK(found.st_mode) else ""
