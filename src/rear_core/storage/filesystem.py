# SPDX-License-Identifier: GPL-3.0-or-later
"""What all file systems have in common."""

from __future__ import annotations

from dataclasses import dataclass, field

from .inventory import Device
from .layout import Item


@dataclass(frozen=True)
class FileSystem(Item):
    """A file system: it needs the device, or devices, that it lies on.

    `empty` is one that is known to have had no files.
    """

    uuid: str = ""
    label: str = ""
    empty: bool = field(default=False, compare=False)


def identity(device: Device) -> str:
    """The id of the file system on a device; without a UUID, that of its place."""
    return f"fs:{device.uuid or device.path}"
