# SPDX-License-Identifier: GPL-3.0-or-later
"""The layout: a machine's storage as a graph of frozen items, and its file layout.json."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar

from .. import durable, encoding, own_files

if TYPE_CHECKING:
    from typing_extensions import Self

    from .command import Site
    from .exclusions import Exclusions
    from .resize import Sizes

T = TypeVar("T", bound="Item")
VERSION = 1
MAPPER = "/dev/mapper/"


@dataclass(frozen=True)
class Item:
    """Something that can be recreated once everything it needs is there.

    `id` names the thing itself and not where the kernel found it this time, so that the same machine has the
    same ids after its disks have swapped names. `needs` are ids of other items. `type` is the item's word in
    layout.json, `noun` what a sentence calls it.
    An item with a block device has the path of that device in a field `device`, which is no part of a comparison: by
    it rear finds what lies on the item.
    Fields declared with `field(compare=False)` are kept for the reader and are no part of a comparison.
    """

    type: ClassVar[str]
    noun: ClassVar[str] = "item"
    # Whether its size is its own, and does not follow from that of what it lies on.
    bounded: ClassVar[bool] = False
    # The fields that are as they were when the files are back.
    configured: ClassVar[tuple[str, ...]] = ()
    # The fields with identifiers that nobody can choose when it is made.
    renewed: ClassVar[tuple[str, ...]] = ()
    # Whether it is storage itself, and not a use of it that is described again when the files are back.
    is_storage: ClassVar[bool] = True
    # Whether the firmware may start the machine from any of the disks below it, so that all get a boot loader.
    starts_from_each: ClassVar[bool] = False
    # Whether somebody has to be asked for its passphrase when it is made.
    has_passphrase: ClassVar[bool] = False
    # Whether it is given up with all that lies on it, and not left, empty.
    goes_with_contents: ClassVar[bool] = False
    # Whether several things have parts of it, which stay where one of them does.
    is_divided: ClassVar[bool] = False
    # Whether it is a block device, or lies on one as a whole.
    is_device: ClassVar[bool] = True
    # Whether nobody misses what it holds, so that it is recreated empty.
    is_scratch: ClassVar[bool] = False
    # Whether its identifiers are found on what it lies on: they mean that, and its own path is what it becomes.
    identified_below: ClassVar[bool] = False
    # Whether it lies at the other end of a network, so that the initramfs needs the drivers of the network cards.
    is_remote: ClassVar[bool] = False
    # The module of dracut that finds it when the machine starts, "" where that takes none.
    dracut: ClassVar[str] = ""

    id: str
    needs: tuple[str, ...]

    @property
    def flexible(self) -> bool:
        """Whether it takes whatever place is left: among equals it is made last."""
        return False

    @property
    def is_pool(self) -> bool:
        """Whether its device is for other items alone, as that of a thin pool: no data of anybody else lie there."""
        return False

    @property
    def modules(self) -> frozenset[str]:
        """The kernel modules that it takes to reach it, where what it needs is there."""
        return frozenset()

    @property
    def identifiers(self) -> Mapping[str, str]:
        """The identifiers by which configuration names it: those of mount(8), and words of its own technology."""
        return {}

    @property
    def device_paths(self) -> frozenset[str]:
        """The paths by which it was known, beside its links below /dev/disk."""
        return frozenset({getattr(self, "device", "")} - {""})

    def is_linked(self, name: str) -> bool:
        """Whether that is the name of one of its links below /dev/disk/by-id."""
        path = getattr(self, "device", "")
        return name == f"dm-name-{path[len(MAPPER) :]}" if path.startswith(MAPPER) else False

    def as_planned(self, planned: Self) -> Self:
        """The item as it was made, with what was planned wherever a difference says nothing of what was made."""
        return replace(self, **{name: getattr(planned, name) for name in (*self.configured, *self.renewed)})

    def mounted_by(self, site: Site) -> list[str]:
        """Options by which mount(8) gets at it where it is recreated."""
        return []

    @property
    def made_file(self) -> str:
        """The path of the file that it is, which is recreated when the others are back, "" for what is no file."""
        return ""

    def at_rest(self) -> Self:
        """The item as it is seen when it does not run."""
        return self

    @property
    def may_be_blank(self) -> bool:
        """Whether it can have been made for somebody who has written nothing to it, and is read without a change."""
        return False

    @property
    def begins(self) -> int:
        """The byte of the device below at which its contents begin, 0 where that is not known."""
        return 0

    def component_names(self, _below: str) -> Iterable[str]:
        """The names that Relax-and-Recover has for it in disklayout.conf; `below` is the device that it lies on."""
        return (str(getattr(self, "device", "")),)

    def excluded_by(self, _exclusions: Exclusions) -> str:
        """The setting of its technology that leaves it out, as `EXCLUDE_VG names it`, "" for none."""
        return ""

    def setting_names(self) -> Mapping[str, Iterable[str]]:
        """The names that settings of its technology know it by, by the setting."""
        return {}

    def any_size(self, _sizes: Sizes) -> bool:
        """Whether it can be made on a device of another size."""
        return False

    def fits(self, _sizes: Sizes, _size: int) -> bool:
        """Whether it can be made on a device of so many bytes, which are some less than it had."""
        return False

    def spare(self, _sizes: Sizes, _size: int) -> int:
        """How many bytes a device of that size can lose below it."""
        return 0

    def shrink(self, sizes: Sizes, amount: int) -> None:
        """Take so many bytes, which its device has lost, from what lies on it."""

    def named_beside(self, taken: Collection[str]) -> Self:
        """The item with a device that is none of these paths, where its name is one that the kernel counts."""
        return self

    def place(self, below: str) -> str:
        """The path of its block device when what it needs first is at the path `below`; that path for what has none."""
        return below

    def __str__(self) -> str:
        name, device = self.id.partition(":")[2], getattr(self, "device", "")
        return f"{self.noun} {name}" + (f" ({device})" if device not in ("", name) else "")


@dataclass(frozen=True)
class LeftOut:
    """Something the machine has that the layout does not describe, and why; `lost` for what somebody may miss.

    `on` are the ids of the items that it lies on, where it is there: a recovery that takes their disks destroys it.
    `wwn` and `serial` are those of a disk that a setting leaves out: tomorrow its name is another one's.
    """

    name: str
    reason: str
    lost: bool = False
    on: tuple[str, ...] = ()
    wwn: str = ""
    serial: str = ""


@dataclass(frozen=True)
class Layout:
    """The items by id, sorted, and what was left out."""

    items: tuple[Item, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    version: int = VERSION

    @cached_property
    def _by_id(self) -> Mapping[str, Item]:
        # A layout that was edited may have one twice, until it is validated: the first counts.
        return {item.id: item for item in reversed(self.items)}

    def __getitem__(self, id: str) -> Item:
        return self._by_id[id]

    def get(self, id: str) -> Item | None:
        """The item, or None."""
        return self._by_id.get(id)

    def __contains__(self, id: object) -> bool:
        return id in self._by_id

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def of(self, kind: type[T]) -> list[T]:
        """The items of one type, and of those that build on it."""
        return of_type(self.items, kind)

    def below(self, *ids: str) -> list[Item]:
        """These items, and all that they lie on."""
        found = {id: self[id] for id in ids}
        waiting = list(found.values())
        while waiting:
            new = {need: self[need] for need in waiting.pop().needs if need not in found}
            found |= new
            waiting += new.values()
        return list(found.values())

    def order(self) -> list[Item]:
        """Every item after all it needs; among equals those without a fixed place last, then by id."""
        return list(self._ordered)

    @cached_property
    def _ordered(self) -> Sequence[Item]:
        by_id = self._by_id
        sorter = TopologicalSorter({item.id: item.needs for item in self.items})
        sorter.prepare()
        ordered = []
        while sorter.is_active():
            ready = sorted(sorter.get_ready(), key=lambda id: (by_id[id].flexible, id))
            ordered += [by_id[id] for id in ready]
            sorter.done(*ready)
        return ordered


def of_type(items: Iterable[Item], kind: type[T]) -> list[T]:
    """Those items that are of one type, or of one that builds on it."""
    return [item for item in items if isinstance(item, kind)]


def make(items: Iterable[Item], left_out: Iterable[LeftOut] = ()) -> Layout:
    """A layout in its one true order."""
    return Layout(
        tuple(sorted(items, key=lambda item: item.id)),
        tuple(sorted(set(left_out), key=lambda entry: (entry.name, entry.reason))),
    )


def dumps(layout: Layout) -> str:
    """The layout as JSON: sorted, one item per paragraph, fields that have their default left away."""
    layout = make(layout.items, layout.left_out)
    return encoding.dumps(
        {
            "version": VERSION,
            "items": [{"id": item.id, "type": item.type, **encoding.encode(item)} for item in layout.items],
            "left_out": [encoding.encode(entry) for entry in layout.left_out],
        }
    )


def save(layout: Layout, path: Path) -> None:
    """Write layout.json."""
    durable.write(path, dumps(layout))


def load(path: Path, types: Mapping[str, type[Item]]) -> Layout:
    """Read layout.json; `types` are the item types of all storage kinds, by their word."""
    try:
        text = own_files.read_text(path)
    except (OSError, ValueError) as error:
        raise own_files.unreadable(path, error) from error
    return loads(text, types, name=os.fspath(path))


def loads(text: str, types: Mapping[str, type[Item]], *, name: str = "layout.json") -> Layout:
    """Read a layout from JSON; anything that is not one is a ConfigurationError with its line and advice."""
    source = encoding.Source(name, text)
    document = source.parse()
    version = document.get("version") if isinstance(document, dict) else None
    if not isinstance(document, dict) or version is None:
        raise source.error("this is no layout: it has no version", "run `rear savelayout` to create it again")
    if type(version) is not int or version != VERSION:
        advice = "read it with the release of rear that wrote it, or run `rear savelayout` to create it again"
        raise source.error(f"this release reads only version {VERSION}, not {encoding.shown(version)}", advice)
    unknown = set(document) - {"version", "items", "left_out"}
    if unknown:
        raise source.error(f"{sorted(unknown)[0]!r} is not part of a layout", "remove it")
    items = [_read_item(source, entry, types) for entry in source.list_of(document, "items")]
    left_out = [encoding.decode(source, LeftOut, entry) for entry in source.list_of(document, "left_out")]
    _validate(source, items)
    return make(items, left_out)


def _read_item(source: encoding.Source, entry: object, types: Mapping[str, type[Item]]) -> Item:
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
        raise source.error("an item must be an object with an id", 'give it "id", "type" and "needs"')
    here = entry["id"]
    word = entry.get("type")
    if not isinstance(word, str) or word not in types:
        known = ", ".join(sorted(types))
        advice = f"use one of {known}; the type of a plugin needs that plugin installed"
        raise source.error(f"item {here!r} has the unknown type {encoding.shown(word)}", advice, here, "type")
    fields = {key: value for key, value in entry.items() if key != "type"}
    return encoding.decode(source, types[word], fields, here)


def validate(layout: Layout, name: str = "layout.json") -> None:
    """Raise ConfigurationError on a duplicate id, a reference to nothing or a cycle."""
    _validate(encoding.Source(name, dumps(layout)), layout.items)


def _validate(source: encoding.Source, items: Iterable[Item]) -> None:
    items = list(items)
    known: set[str] = set()
    for item in items:
        if item.id in known:
            raise source.error(f"the id {item.id!r} is given twice", "rename or remove one", item.id, nth=2)
        known.add(item.id)
    for item in items:
        for need in item.needs:
            if need not in known:
                advice = f'add an item {need!r}, or remove it from "needs"'
                raise source.error(f"item {item.id!r} needs {need!r}, which is missing", advice, item.id, "needs")
    try:
        TopologicalSorter({item.id: item.needs for item in items}).prepare()
    except CycleError as error:
        circle = error.args[1]
        advice = 'remove one of them from the other\'s "needs"'
        raise source.error("these items need each other: " + " -> ".join(circle), advice, circle[0], "needs") from None


def resolved(item: Item, names: Mapping[str, str]) -> Item:
    """The item with every need that is a known name replaced by its id."""
    needs = tuple(names.get(need, need) for need in item.needs)
    return item if needs == item.needs else replace(item, needs=needs)
