# SPDX-License-Identifier: GPL-3.0-or-later
"""What all file systems have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .inventory import Device
from .layout import Item


@dataclass(frozen=True)
class FileSystem(Item):
    """A file system: it needs the device, or devices, that it lies on.

    `empty` is one that is known to have had no files.
    """

    identified_below = True

    uuid: str = ""
    label: str = ""
    empty: bool = field(default=False, compare=False)

    @property
    def identifiers(self) -> Mapping[str, str]:
        """Its UUID and label."""
        return {"UUID": self.uuid, "LABEL": self.label}


def identity(device: Device) -> str:
    """The id of the file system on a device; without a UUID, that of its place."""
    return f"fs:{device.uuid or device.path}"
