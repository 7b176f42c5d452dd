# SPDX-License-Identifier: GPL-3.0-or-later
"""Links of udev below /dev/disk/by-id, and the recorded item that each stood for."""

from __future__ import annotations

import re

from .disk import Partition
from .layout import Item, Layout

BY_ID = "/dev/disk/by-id/"
# The links of a partition: of one on a multipath disk, and of any other.
OF_MAP = re.compile(r"dm-uuid-part(?P<number>\d+)-mpath-(?P<disk>.+)")
OF_DISK = re.compile(r"(?P<disk>.+)-part(?P<number>\d+)")


def linked(layout: Layout, path: str) -> Item | None:
    """The item that a link below /dev/disk/by-id stood for, by what udev writes into such names; None for others."""
    if not path.startswith(BY_ID):
        return None
    name = path[len(BY_ID) :]
    part = OF_MAP.fullmatch(name) or OF_DISK.fullmatch(name)
    disk = next((item for item in layout if part and item.is_linked(part["disk"])), None)
    if part and disk:
        return _partition(layout, disk, int(part["number"]))
    return next((item for item in layout if item.is_linked(name)), None)


def _partition(layout: Layout, disk: Item, number: int) -> Item | None:
    tables = {item.id for item in layout if disk.id in item.needs}
    return next((i for i in layout.of(Partition) if i.number == number and tables & {*i.needs}), None)
