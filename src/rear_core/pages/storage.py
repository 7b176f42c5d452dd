# SPDX-License-Identifier: GPL-3.0-or-later
"""The pictures of storage: of a layout, and of what lies on the disks of this machine."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from ..storage.command import Site
from ..storage.disk import Disk
from ..storage.layout import Item, Layout
from ..storage.present import Machine, PresentDisk
from .bars import ERASED, Part, Picture, draw

FILES = "files"


def as_recorded(layout: Layout) -> Site:
    """The layout on the disks that it was recorded from."""
    return Site(layout, {disk.id: disk.device or disk.id for disk in layout.of(Disk)})


def pictures(site: Site, mark: Callable[[str], str] = lambda _: "") -> dict[str, Picture]:
    """A picture for each disk, and for each item that lies on several things, as an array does, by their ids.

    `mark` says what becomes of an item, by its id.
    """
    layout = site.layout
    above = _above(layout)
    several = (item for item in layout.order() if item.is_storage and len(_parents(layout, item)) != 1)
    # The disks in the order of their names, before what lies on them.
    roots = sorted(several, key=lambda item: (bool(item.needs), "" if item.needs else site.device(item.id)))
    # What lies on several comes after all of them.
    numbers = {item.id: number for number, item in enumerate(roots, 1)}

    def part(item: Item, base: int) -> Part:
        """An item with all that lies on it; `base` is the byte at which what it lies on begins, for its own start."""
        start = getattr(item, "start", -1)
        own = start if start >= 0 else 0 if item.is_device else base
        parts = tuple(
            _link(below, site, numbers[below.id]) if below.id in numbers else part(below, own)
            for below in above.get(item.id, ())
            if below.is_storage
        )
        found = replace(_described(item, site, above), mark=mark(item.id), parts=parts)
        return replace(found, size=_own_size(item, site), start=max(0, start - base) if start >= 0 else -1)

    return {item.id: draw(_whole(part(item, 0), item, site), numbers[item.id]) for item in roots}


def _whole(part: Part, item: Item, site: Site) -> Part:
    """What is drawn for a root: a disk is the bar itself, and another one all that is in its bar."""
    # What is at the other end of a network has only a size here.
    size = _size(item.id, site) or sum(below.size for below in part.parts)
    return replace(part, size=size, parts=(part,) if item.needs else part.parts)


def _own_size(item: Item, site: Site) -> int:
    """The bytes of what is not simply as large as what it lies on, 0 for the rest: that may have grown."""
    alone = not item.bounded and len(parents := _parents(site.layout, item)) == 1 and _size(parents[0], site)
    return 0 if alone else max(0, site.size(item.id))


def _size(id: str, site: Site) -> int:
    """The bytes of an item; where it has none of its own, those of all that it lies on."""
    # An edited layout may say anything.
    return max(0, site.size(id)) or sum(_size(need, site) for need in site.item(id).needs)


def _parents(layout: Layout, item: Item) -> list[str]:
    """What an item lies on, without what that lies on in turn: a logical partition lies on the extended one alone."""
    needs = item.needs if item.is_storage else item.needs[:1]
    lower = {below.id for need in needs for below in layout.below(*layout[need].needs)}
    return [need for need in needs if need not in lower]


def _above(layout: Layout) -> Mapping[str, Sequence[Item]]:
    found: dict[str, list[Item]] = {}
    for item in layout.order():
        for parent in _parents(layout, item):
            found.setdefault(parent, []).append(item)
    return found


def _described(item: Item, site: Site, above: Mapping[str, Sequence[Item]]) -> Part:
    """An item in words: what people call it, and what it is; a file system is called by where it is mounted."""
    uses = list(_uses(item, above))
    kind = _kind(item)
    title = _title(item, site, kind)
    noun = item.noun.replace(" on", "")
    if kind == FILES and not hasattr(item, "path"):
        noun = next((fstype for use in uses if (fstype := getattr(use, "fstype", ""))), item.type)
    facts = [str(getattr(item, name, "")) for name in ("level", "layout", "label", "name", "model", "serial")]
    if targets := [_target(use) for use in uses]:
        facts.insert(0, title)
        title = "  ".join(targets)
    words = dict.fromkeys(word for word in [noun, *facts] if word not in ("", title))
    return Part(title, ", ".join(words), kind=kind)


def _kind(item: Item) -> str:
    if item.is_scratch:
        return "scratch"
    if item.has_passphrase:
        return "locked"
    if hasattr(item, "has_files") or hasattr(item, "path"):
        return FILES
    return "part" if item.bounded else ""


def _title(item: Item, site: Site, kind: str) -> str:
    if getattr(item, "device", ""):
        return short(site.device(item.id))
    names = (str(getattr(item, name, "")) for name in ("path", "name", "label"))
    return next(filter(None, names), "") or (item.type if kind == FILES else item.noun)


def _uses(item: Item, above: Mapping[str, Sequence[Item]]) -> Iterator[Item]:
    """The uses of an item: where it is mounted, and the files there that are storage again."""
    for use in above.get(item.id, ()):
        if not use.is_storage:
            yield use
            yield from _uses(use, above)


def _target(use: Item) -> str:
    name = str(getattr(use, "target", "") or use)
    return name if getattr(use, "mounted", True) else f"{name} (not mounted)"


def _link(item: Item, site: Site, number: int) -> Part:
    """What lies on several, where it lies on one of them."""
    return Part(_title(item, site, ""), f"part of a {item.noun}", kind="link", link=number)


def short(path: str) -> str:
    """A path of a device as people say it: sda1, data-root."""
    return path.replace("/dev/mapper/", "").replace("/dev/", "") if path.startswith("/dev/") else path


def found(machine: Machine, paths: Collection[str], cleared: Collection[str]) -> dict[str, Picture]:
    """What lies on some disks that are here, by their paths; `cleared` are the devices that are erased."""
    disks = [disk for disk in machine.disks if disk.path in paths]
    return {disk.path: draw(_present(machine, disk, cleared)) for disk in disks}


def _present(machine: Machine, disk: PresentDisk, cleared: Collection[str]) -> Part:
    def part(path: str, erased: bool) -> Part:
        device = machine.devices[path]
        erased = erased or path in cleared
        words = ", ".join(filter(None, [device.fstype, device.label]))
        size = device.size if len(device.parents) == 1 else 0
        parts = tuple(part(child, erased) for child in device.children)
        kind = "" if parts else FILES if device.fstype else "part"
        return Part(short(path), words or device.type, size, kind=kind, mark=ERASED * erased, parts=parts)

    whole = part(disk.path, False)
    if not whole.parts and disk.contents:
        whole = replace(whole, parts=(Part(disk.contents, kind=FILES, mark=whole.mark),))
    words = ", ".join(filter(None, [disk.model, disk.serial, disk.locked]))
    return replace(whole, words=words, size=disk.size)
