# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan: a layout and the disks of this machine, made into commands in the order of the graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .command import Site


@dataclass(frozen=True)
class Rebuilt:
    """The storage as it was made again: where each item is on this machine, and what is not as it was.

    `mapping` has the path of each recorded disk's successor by the id of the recorded disk;
    `changed_identifiers` the new identifier of each one that could not be kept (UUIDs of volume groups and
    logical volumes); `notes` what the user should know about the rest.
    """

    site: Site
    mapping: Mapping[str, str]
    changed_identifiers: dict[str, str] = field(default_factory=dict)
    hardware_changed: bool = False
    notes: tuple[str, ...] = ()

    def device(self, id: str) -> str:
        """The path of an item: /dev/vda1, /dev/mapper/vg-lv; of a file system, the device that it lies on."""
        return self.site.device(id)

    def disks(self, id: str) -> tuple[str, ...]:
        """The paths of all disks that an item lies on."""
        return tuple(sorted({self.mapping[below] for below in self.site.below(id) if below in self.mapping}))

    def disk(self, id: str) -> str:
        """The path of the disk that an item lies on; of several the first."""
        return self.disks(id)[0]
