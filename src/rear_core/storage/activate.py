# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings storage that is there to life without changing it: arrays, LUKS, volume groups, mounts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from ..shell import Shell
from .command import Command, Site
from .kinds import Starting, StorageKind, kind_of
from .layout import Item, Layout, make
from .plan import commands


def activate(layout: Layout, kinds: Sequence[StorageKind], starting: Starting) -> None:
    """Start what the layout has and what does not run yet."""
    for item in layout.order():
        if start := kind_of(item, kinds).start:
            start(item, starting)
    starting.sh.run("udevadm", "settle", "--timeout=60")


@contextmanager
def readable(
    sh: Shell, layout: Layout, kinds: Sequence[StorageKind], tell: Callable[[str], None]
) -> Iterator[Sequence[Item]]:
    """A block in which that of a layout runs which can without anything being written; yields what did not start.

    A closed LUKS volume is not opened, nor is anything started that would be written to.
    """
    refused = []
    with ExitStack() as undo:
        for item in layout.order():
            read_only = kind_of(item, kinds).read_only
            found = read_only(item) if read_only else None
            if found is None:
                continue
            argv, stop = found
            tell(f"start {item} read-only")
            # Where it is not there, as on a new disk, it is no failure.
            if sh.run(*argv, ok=(0, 1, 2, 5)).status == 0:
                # A name that udev has not removed yet would pass for that of something that runs.
                undo.callback(sh.run, "udevadm", "settle", "--timeout=60")
                undo.callback(sh.run, *stop, ok=(0, 1, 2, 5))
                sh.run("udevadm", "settle", "--timeout=60")
            else:
                refused.append(item)
        yield refused


def mounting(
    layout: Layout, now: Layout, disks: Mapping[str, str], kinds: Sequence[StorageKind], target: str
) -> Iterator[Command]:
    """The commands that mount what a layout has, where its items are `now`."""
    known = {item.id for item in layout}

    def here(item: Item) -> Item:
        # What is seen on another disk as well, as a clone, may be described as lying there.
        found = now.get(item.id) if item.is_storage else None
        return found if found and known.issuperset(found.needs) else item

    items = [here(item) for item in layout]
    site = Site(make(items), disks, target=target)
    yield from commands(site, kinds, lambda item: not item.is_storage)
