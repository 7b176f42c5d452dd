# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the disks that URLs and settings name, which may have been plugged in a moment ago."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from ..errors import Refused
from ..mounts import unescaped
from ..shell import Shell

DEVICE_SECONDS = 10


def find_device(sh: Shell, name: str, *, seconds: float = DEVICE_SECONDS) -> str:
    """The device that a path means, waited for: drivers of USB find a disk some seconds after the machine has started.

    Raises `Refused` when there is none, or when several carry the label or identifier of the path.
    """
    deadline = time.monotonic() + seconds
    while not (found := devices_named(sh, name)) and time.monotonic() < deadline:
        time.sleep(0.5)
    if not found:
        raise Refused(f"there is no {name}", "plug the disk in; `lsblk --output NAME,LABEL,UUID` lists what is there")
    if len(found) > 1:
        raise Refused(
            f"{name} could be {' or '.join(found)}", "unplug the others, or name one by /dev/disk/by-uuid/UUID"
        )
    return found[0]


def devices_named(sh: Shell, name: str) -> list[str]:
    """All devices that a path means; where a label or identifier is not unique, udev links to any one of them.

    >>> devices_named(sh, "/dev/disk/by-label/REAR-000")
    ['/dev/sdb3']
    """
    # blkid(8), TOKENS: LABEL, UUID, PARTLABEL, PARTUUID; udev writes special characters as \x20 in its links.
    if match := re.fullmatch(r"/dev/disk/by-(label|uuid|partlabel|partuuid)/(.+)", name):
        token = f"{match[1].upper()}={unescaped(match[2])}"
        # The cache of blkid may tell of a disk that is gone. 2: there is none.
        options = ("--cache-file", "/dev/null", "--match-token", token, "--output", "device")
        return sh.query("blkid", *options, ok=(0, 2)).splitlines()
    path = os.path.realpath(name)
    return [path] if Path(path).is_block_device() else []
