# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices that are there: started and stopped by what the kernel has for it below /sys.

It does both after it was told: whoever goes on has to wait, as what is not stopped yet may still be written to.
"""

from __future__ import annotations

import re
from pathlib import Path

from rear_core.errors import RearError
from rear_core.storage.command import Command
from rear_core.storage.inventory import Device, read_devices
from rear_core.storage.kinds import Starting
from rear_core.storage.layout import Item

from .items import SIGNATURE, Bcache, CacheSet, is_cache, link, read_superblock

# udev may register it as well, which is no error of register_quiet. The link is udev's where it has rules for it, which
# it does not in a rescue system, and where it came in time to hear from the kernel which device it is.
REGISTER_CACHE = """\
name=$(readlink -f "$0")
modprobe --quiet bcache
for try in $(seq 300); do
    [ ! -e "/sys/class/block/${name##*/}/bcache/set" ] || exit 0
    echo "$name" >/sys/fs/bcache/register_quiet
    sleep 0.1
done 2>/dev/null
exit 1"""
REGISTER_DEVICE = """\
name=$(readlink -f "$0")
modprobe --quiet bcache
for try in $(seq 300); do
    made=$(readlink "/sys/class/block/${name##*/}/bcache/dev") && break
    echo "$name" >/sys/fs/bcache/register_quiet
    sleep 0.1
done 2>/dev/null
[ "$made" ] || exit 1
udevadm settle --timeout=60
mkdir -p "${1%/*}"
[ "$(readlink -f "$1")" = "/dev/${made##*/}" ] || ln -sfn "/dev/${made##*/}" "$1"
"""
# Its folder "bcache" goes at once, and the device when all is written.
STOP = """\
[ ! -e "$0/bcache/stop" ] || echo 1 >"$0/bcache/stop"
for try in $(seq 300); do
    [ -e "$0" ] || exit 0
    sleep 0.1
done
exit 1"""
RELEASE = """\
[ ! -e "$0/set" ] || echo 1 >"$0/set/stop"
[ -e "$0/set" ] || [ ! -e "$0/stop" ] || echo 1 >"$0/stop"
for try in $(seq 300); do
    [ -e "$0" ] || exit 0
    sleep 0.1
done
exit 1"""


def register_cache(device: str) -> Command:
    """The command that starts a cache."""
    return Command(("sh", "-c", REGISTER_CACHE, device), f"start the cache on {device}", devices=(device,))


def register(item: Bcache, device: str) -> Command:
    """The command that starts a device, and sees to its link; the kernel gives it the cache that it names."""
    argv = ("sh", "-c", REGISTER_DEVICE, device, link(item.uuid))
    return Command(argv, f"start {item.noun} {item.uuid}", devices=(device,))


def start(item: Item, starting: Starting) -> None:
    """Start what is there; what runs goes on."""
    if isinstance(item, CacheSet):
        if not Path("/sys/fs/bcache", item.cset).exists():
            starting.tell(f"start {item}")
            starting.sh.run(*register_cache(_holding(item, starting)).argv)
    elif isinstance(item, Bcache):
        starting.tell(f"start {item}")
        starting.sh.run(*register(item, _holding(item, starting)).argv)


def _holding(item: CacheSet | Bcache, starting: Starting) -> str:
    """The device that holds a cache or a device."""
    for device in read_devices(starting.sh, lambda _line: None).values():
        if device.fstype == SIGNATURE:
            words = read_superblock(starting.sh, device.path)
            if isinstance(item, CacheSet):
                is_it = is_cache(words) and words.get("cset.uuid") == item.cset
            else:
                is_it = words.get("dev.uuid") == item.uuid
            if is_it:
                return device.path
    raise RearError(f"{item} is on none of the connected disks", "plug in its disk, and look at `lsblk --fs`")


def stop(device: Device) -> Command | None:
    """Stop a device that runs; data that only its cache has stay there."""
    if not re.fullmatch(r"bcache\d+", device.kernel_name):
        return None
    argv = ("sh", "-c", STOP, f"/sys/block/{device.kernel_name}")
    return Command(argv, f"stop {device.path}")


def release(device: Device) -> Command | None:
    """Stop the set of a cache, which has no device of its own, and what waits for its cache."""
    if device.fstype != SIGNATURE:
        return None
    argv = ("sh", "-c", RELEASE, f"/sys/class/block/{device.kernel_name}/bcache")
    return Command(argv, f"release the cache or device on {device.path}")
