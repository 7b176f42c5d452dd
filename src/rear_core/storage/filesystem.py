# SPDX-License-Identifier: GPL-3.0-or-later
"""What all file systems have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from .inventory import Device
from .layout import Item

MIB = 1 << 20

if TYPE_CHECKING:
    from typing_extensions import Self

    from .resize import Sizes


@dataclass(frozen=True)
class FileSystem(Item):
    """A file system: it needs the device, or devices, that it lies on.

    `empty` is one that is known to have had no files.
    """

    identified_below = True
    # Whether it may hold more than its device has room for.
    compresses: ClassVar[bool] = False
    goes_with_contents = True
    # Whether it has files, and is no part of another one.
    has_files: ClassVar[bool] = True
    # The bytes that it has at least, where it can be made on a device of another size; 0 where it cannot.
    least: ClassVar[int] = 0
    # Whether UEFI reads it.
    is_for_firmware: ClassVar[bool] = False

    uuid: str = ""
    label: str = ""
    empty: bool = field(default=False, compare=False)

    @property
    def identifiers(self) -> Mapping[str, str]:
        """Its UUID and label."""
        return {"UUID": self.uuid, "LABEL": self.label}

    @classmethod
    def new(cls, id: str, device: str, uuid: str) -> Self:
        """One that the machine did not have, on the device of that id."""
        return cls(id, (device,), uuid)

    def any_size(self, _sizes: Sizes) -> bool:
        """Whether it is made as large as its device, and can be smaller than it was."""
        return bool(self.least)

    def fits(self, _sizes: Sizes, _size: int) -> bool:
        """One of a kind that is made as large as its device can be a little smaller."""
        return bool(self.least)

    def spare(self, sizes: Sizes, size: int) -> int:
        """What is left when its files, a fourth of that for its own bookkeeping and its journal have their place, in
        whole MiB; 0 where nobody knows what they take."""
        targets = sizes.targets(self.id)
        if not self.least or not targets or len(self.needs) > 1 or not targets <= set(sizes.used):
            return 0
        used = max(sizes.used[target] for target in targets)
        needed = -(-(used * 5 // 4 + self.journal_bytes + 64 * MIB) // MIB) * MIB
        return max(0, size - max(self.least, needed))

    @property
    def journal_bytes(self) -> int:
        """The bytes of its journal, or what one may take."""
        return 64 * MIB

    def part(self, _root: str) -> str:
        """The id of the part that is mounted when that is its root (mountinfo, proc(5)), "" where it has no parts."""
        return ""


@dataclass(frozen=True)
class PartOfFileSystem(Item):
    """A part that can be mounted by itself, by its path from the top of the file system, which it needs."""

    path: str


def identity(device: Device) -> str:
    """The id of the file system on a device; without a UUID, that of its place."""
    return f"fs:{device.uuid or device.path}"
