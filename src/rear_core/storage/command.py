# SPDX-License-Identifier: GPL-3.0-or-later
"""A command of a plan, and the place where a layout is recreated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .inventory import PROBED
from .layout import Item, Layout

# It is there, and stays as long as it is.
TO_A_DEVICE = ("conv=nocreat,notrunc,fsync", "status=none")


@dataclass(frozen=True)
class Command:
    """A command to run, what it is for, as an imperative ("create ..."), and what it destroys ("" for nothing).

    `input` is its standard input; `passphrase` names the LUKS volume whose passphrase that is instead. The
    block devices in `devices` must be there when it runs: some tools would make a file of that name. `trial` is
    what is run on sparse files in their place when the media are made, () for what works on devices alone.
    """

    argv: tuple[str, ...]
    reason: str
    destroys: str = ""
    input: str = ""
    passphrase: str = ""
    devices: tuple[str, ...] = ()
    trial: tuple[str, ...] = ()


@dataclass(frozen=True)
class Site:
    """The machine on which a layout is recreated: where its items will be, and how they may differ.

    `disks` are the paths of the disks by id, `resized` the items that are larger or smaller than recorded,
    `memory` the bytes of main memory (0 when they do not matter), `target` where file systems are mounted.
    """

    layout: Layout
    disks: Mapping[str, str]
    resized: frozenset[str] = frozenset()
    memory: int = 0
    target: str = "/mnt/local"

    def item(self, id: str) -> Item:
        """An item by its id."""
        return self.layout[id]

    def device(self, id: str) -> str:
        """The path of an item's block device, or of the one that it lies on."""
        if id in self.disks:
            return self.disks[id]
        item = self.layout[id]
        return item.place(self.device(item.needs[0]) if item.needs else "")

    def size(self, id: str) -> int:
        """The bytes of a block device, 0 when they are not known."""
        size = getattr(self.layout[id], "size", 0)
        return size if isinstance(size, int) else 0

    def below(self, id: str) -> set[str]:
        """The ids of all that an item lies on, and its own."""
        return {item.id for item in self.layout.below(id)}

    def is_resized(self, id: str) -> bool:
        """Whether an item is not as large as it was: itself, or because of what it lies on."""
        if id in self.resized:
            return True
        item = self.layout[id]
        return not item.bounded and any(self.is_resized(need) for need in item.needs)


def zeros(path: str, size: int) -> Command:
    """Erase the start of a device of so many bytes: what is left there would look like unknown data to later checks."""
    argv = ("dd", "if=/dev/zero", f"of={path}", f"bs={min(PROBED, size)}", "count=1", *TO_A_DEVICE)
    return Command(argv, f"erase the first bytes of {path}", destroys=f"the first bytes of {path}", devices=(path,))
