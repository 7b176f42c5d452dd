# SPDX-License-Identifier: GPL-3.0-or-later
"""What a storage technology brings: its item types, their capture, and what the rescue system needs for
them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..contents import Contents
from ..errors import PluginError
from .command import Command, Site
from .layout import Item, Layout, LeftOut

if TYPE_CHECKING:
    from ..rescue.tree import Tree
    from ..shell import Shell
    from .inventory import Device
    from .references import NamingFile, Reader
    from .survey import Survey


@dataclass(frozen=True)
class Starting:
    """How items are started: `tell` says what is done, `unlock` is given an item and what tries a passphrase, and
    `device` says which path an item has, by its id as in `needs`: on the disks of this machine, by the name that it had
    where it is no partition."""

    sh: Shell
    tell: Callable[[str], None]
    unlock: Callable[[Any, Callable[[str], bool]], None]
    device: Callable[[str], str]


@dataclass(frozen=True)
class HeaderKeeper:
    """How the header of an encrypted item is kept as a file, with all its keys, and put back in the place of a new one.

    `save(item, site, sh, path)` writes it, `live(item)` says which keys it has. In a recovery `unfit(item, site, sh,
    path)` says why it is none of the item that will be made ("" where it is), `put_back(item, site, path)` yields the
    commands that put it back and open the item, and `opens(sh, path, passphrase)` tells whether a passphrase does.
    """

    save: Callable[[Any, Site, Shell, Path], None]
    live: Callable[[Any], str]
    unfit: Callable[[Any, Site, Shell, Path], str]
    put_back: Callable[[Any, Site, Path], Iterable[Command]]
    opens: Callable[[Shell, Path, str], bool]


@dataclass(frozen=True)
class StorageKind:
    """A storage technology, as yielded by the hook `rear_storage_kinds`: its item types, and what is done with them.

    What is a fact of a single item, the item itself is asked (`Item`).

    - `items` are its item types.
    - `capture(survey)` yields the items it finds on this machine; in their `needs` it may write the path of a block
      device, which becomes the id of the item with that `device`. In `survey.reached` it may write the id of the item
      through which a disk is reached, by the path of that disk, which then needs it. With `last` it runs after the
      others, and sees their items in `survey.items`.
    - `signatures` are the types that blkid has for devices of this technology which are no contents without it, as the
      members of arrays: `capture` leaves out by name what of them it does not describe.
    - `contents(layout)` says which programs and modules the rescue system needs; it is asked when the layout has such
      an item. `configure(tree)` changes in the tree of the rescue system what holds for one machine alone.
    - `recreate(item, site)` yields the commands that recreate an item where what it needs is there already;
      `restored(item, site)` those that must wait until the files are back.
    - `refuses(item, site)` yields why an item cannot be recreated: `rear mkrescue` then ends, and a recovery does not
      begin. `notes(item, site)` yields what of it will not be as it was; both say it. `lacking(item, gone)` is an item
      as it runs without those of its needs that are `gone`, None where it cannot.
    - `exclusive` are the items that cannot be made while another disk has one of their identifiers or names.
    - `connect(layout, sh, warn)` connects the rescue system to what its items are at the other end of a network, unless
      that was done; it comes before `appear` of any, and says what it cannot reach by `warn`, or by a `RearError` where
      nothing is left to recover to.
    - `appear(sh)` makes its devices visible in the rescue system, before anybody looks for disks.
    - `start(item, starting)` starts an item that is there, unless it runs; `read_only(item)` is the command that starts
      it so that nothing is written, and the one that stops it then, None where it runs or cannot run so.
      `stop(device)` is the command that stops what a running device is, None where it is of another technology;
      `release(device)` has the kernel let go of one that it uses without any device standing on it, as a cache.
    - `within(sh, devices, layout)` names what lies on devices without being started there, and is not recorded, by
      their paths: that is not erased unasked. It may name what is recorded, where something else has its name.
      `is_empty(sh, device)` says whether a device has one of its file systems, which has no files.
    - `unseen(sh, layout)` yields what its file systems hold on the described machine outside of all that is mounted of
      them, so that no backup has it; it may mount them for its own process alone.
    - `naming_files` are the configuration files in which devices are named; `words(text)` finds devices in words for
      the kernel. `keeps_from_starting(target)` names what in its configuration keeps the recovered system below that
      folder from starting.
    - `header` keeps the headers of its items with an encrypted backup; it is asked where a setting wants that.
    """

    name: str
    items: tuple[type[Item], ...]
    capture: Callable[[Survey], Iterable[Item]]
    contents: Callable[[Layout], Contents]
    last: bool = False
    signatures: tuple[str, ...] = ()
    configure: Callable[[Tree], None] | None = None
    recreate: Callable[[Any, Site], Iterable[Command]] | None = None
    restored: Callable[[Any, Site], Iterable[Command]] | None = None
    refuses: Callable[[Any, Site], Iterable[str]] | None = None
    notes: Callable[[Any, Site], Iterable[str]] | None = None
    connect: Callable[[Layout, Shell, Callable[[str], None]], None] | None = None
    appear: Callable[[Shell], None] | None = None
    is_empty: Callable[[Shell, Device], bool] | None = None
    lacking: Callable[[Any, Collection[str]], Item | None] | None = None
    start: Callable[[Any, Starting], None] | None = None
    read_only: Callable[[Any], tuple[Sequence[str], Sequence[str]] | None] | None = None
    stop: Callable[[Device], Command | None] | None = None
    release: Callable[[Device], Command | None] | None = None
    naming_files: tuple[NamingFile, ...] = ()
    words: Reader | None = None
    keeps_from_starting: Callable[[Path], Iterable[str]] | None = None
    exclusive: tuple[type[Item], ...] = ()
    within: Callable[[Shell, Mapping[str, Device], Layout], Mapping[str, Sequence[str]]] | None = None
    unseen: Callable[[Shell, Layout], Iterable[LeftOut]] | None = None
    header: HeaderKeeper | None = None


def item_types(kinds: Iterable[StorageKind]) -> dict[str, type[Item]]:
    """All item types by their word in layout.json; two of the same word are an error."""
    types: dict[str, type[Item]] = {}
    for kind in kinds:
        for cls in kind.items:
            if types.setdefault(cls.type, cls) is not cls:
                raise PluginError(
                    f"two storage technologies have items of the type {cls.type!r}: "
                    f"{types[cls.type].__module__} and {cls.__module__}",
                    "remove one of the packages",
                )
    return types


def kind_of(item: Item, kinds: Iterable[StorageKind]) -> StorageKind:
    """The technology of an item."""
    return next(kind for kind in kinds if type(item) in kind.items)


def header_keeper(item: Item, kinds: Iterable[StorageKind]) -> HeaderKeeper | None:
    """What keeps the header of an item, None for an item without one."""
    return kind_of(item, kinds).header


def refusals(site: Site, kinds: Iterable[StorageKind]) -> list[str]:
    """Why items of a layout cannot be recreated, each by name."""
    asked = {cls: kind.refuses for kind in kinds for cls in kind.items if kind.refuses}
    return [f"{item}: {why}" for item in site.layout if type(item) in asked for why in asked[type(item)](item, site)]


def notes(site: Site, kinds: Iterable[StorageKind]) -> list[str]:
    """What will not be as it was, each item by name."""
    asked = {cls: kind.notes for kind in kinds for cls in kind.items if kind.notes}
    return [f"{item}: {what}" for item in site.layout if type(item) in asked for what in asked[type(item)](item, site)]


def lacking(item: Item, gone: Collection[str], kinds: Iterable[StorageKind]) -> Item | None:
    """An item as it runs without what is gone of its needs, None where it cannot."""
    asked = next((kind.lacking for kind in kinds if type(item) in kind.items), None)
    return asked(item, gone) if asked else None


def contents(layout: Layout, kinds: Sequence[StorageKind]) -> list[Contents]:
    """What the rescue system needs for the technologies that the layout uses."""
    return [kind.contents(layout) for kind in kinds if any(isinstance(item, kind.items) for item in layout)]


def contents_of_additions(layout: Layout, kinds: Sequence[StorageKind]) -> list[Contents]:
    """What it takes to add a file system for another kind of firmware, where the machine has it."""
    found = [
        kind.contents(layout) for kind in kinds if any(getattr(cls, "is_for_firmware", False) for cls in kind.items)
    ]
    return [Contents(optional_programs=(*one.programs, *one.optional_programs), modules=one.modules) for one in found]
