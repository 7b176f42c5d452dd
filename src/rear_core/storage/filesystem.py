# SPDX-License-Identifier: GPL-3.0-or-later
"""What all file systems have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from .inventory import Device
from .layout import Item

if TYPE_CHECKING:
    from .resize import Sizes

MIB = 1 << 20


@dataclass(frozen=True)
class FileSystem(Item):
    """A file system: it needs the device, or devices, that it lies on.

    `empty` is one that is known to have had no files.
    """

    identified_below = True
    # Whether it may hold more than its device has room for.
    compresses: ClassVar[bool] = False
    # Whether UEFI reads it.
    is_for_firmware: ClassVar[bool] = False

    uuid: str = ""
    label: str = ""
    empty: bool = field(default=False, compare=False)

    @property
    def identifiers(self) -> Mapping[str, str]:
        """Its UUID and label."""
        return {"UUID": self.uuid, "LABEL": self.label}

    def part(self, _root: str) -> str:
        """The id of the part that is mounted when that is its root (mountinfo, proc(5)), "" where it has no parts."""
        return ""


def any_size(_item: FileSystem, _sizes: Sizes) -> bool:
    """Whether one of a kind that is made as large as its device can be made on one of another size."""
    return True


def fits(_item: FileSystem, _sizes: Sizes, _size: int) -> bool:
    """Whether one of a kind that is made as large as its device can be made on one that is a little smaller."""
    return True


def spare(item: FileSystem, sizes: Sizes, size: int, *, journal: int, least: int = 64 * MIB) -> int:
    """How many bytes a device of that size can lose below a file system: what is left when its files, a fourth of that
    for its own bookkeeping and its `journal` have their place, in whole MiB. 0 where nobody knows what they take.
    """
    targets = sizes.targets(item.id)
    if not targets or len(item.needs) > 1 or not targets <= set(sizes.used):
        return 0
    used = max(sizes.used[target] for target in targets)
    needed = -(-(used * 5 // 4 + journal + 64 * MIB) // MIB) * MIB
    return max(0, size - max(least, needed))


def identity(device: Device) -> str:
    """The id of the file system on a device; without a UUID, that of its place."""
    return f"fs:{device.uuid or device.path}"
