# SPDX-License-Identifier: GPL-3.0-or-later
"""What stays where it is on a disk that is taken: contents that do not come back, and all that carries them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from ..errors import Refused
from .command import Site
from .disk import Disk
from .fate import LOST, Content, Stake
from .filesystem import FileSystem
from .layout import Item, Layout, make
from .outcome import outcome

ADVICE = "name in GIVE_UP what may be lost, or restore the recorded state"


@dataclass(frozen=True)
class InPlace:
    """The ids of the items that stay, and the paths that those among them have now which are not disks."""

    ids: frozenset[str] = frozenset()
    devices: Mapping[str, str] = field(default_factory=dict)

    def cleared(self, site: Site) -> list[str]:
        """The devices that stay, and on which something is recreated."""
        made = [item for item in site.layout if item.id not in self.ids and item.is_storage]
        needs = {need for item in made for need in item.needs} & self.ids
        return sorted({site.device(id) for id in needs if site.item(id).is_device})


def staying(layout: Layout, stakes: Iterable[Stake]) -> frozenset[str]:
    """The ids of all that has to stay for what is lost otherwise: what stands on it, as a closed LUKS volume does, and
    down to the disks, with the other partitions of their tables and the other volumes of their groups."""
    site = Site(layout, {})
    lost = {item for stake in stakes for content in stake.lost for item in content.items}
    lost |= {item.id for item in layout if item.is_storage and lost & site.below(item.id)}
    found = {id for item in lost for id in site.below(item)}
    while True:
        divided = {id for id in found if site.item(id).is_divided}
        beside = {item.id for item in layout if divided.intersection(item.needs)}
        more = {below for id in beside for below in site.below(id)} | beside
        if more <= found:
            return frozenset(found)
        found |= more


def carrying(layout: Layout, ids: frozenset[str]) -> Layout:
    """The part of what stays that something stands on which is recreated: it has to be active."""
    site = Site(layout, {})
    made = [item for item in layout if item.id not in ids and item.is_storage]
    needed = {below for item in made for below in site.below(item.id)} & ids
    return make(item for item in layout if item.id in needed)


def check(layout: Layout, ids: frozenset[str], contents: Iterable[Content], now: Layout) -> InPlace:
    """What stays, if all that carries it is as it was recorded; `Refused` names what is not."""
    filesystems = {filesystem.id for filesystem in layout.of(FileSystem)}
    shared = [str(c) for c in contents if c.fate != LOST and filesystems & ids.intersection(c.items)]
    if shared:
        raise Refused(f"it cannot be kept in place: {'; '.join(shared)} is on the same file system", ADVICE)
    recorded = visible(layout, ids, now)
    _, differences = outcome(make(_carriers(recorded, ids)), make(_carriers(_in_other_hands(recorded, now), ids)))
    differences += list(_moved(recorded, ids, now))
    if differences:
        raise Refused(f"it cannot be kept in place: {'; '.join(differences)}", ADVICE)
    devices = {item.id: getattr(item, "device", "") for item in now if item.id in ids and not isinstance(item, Disk)}
    return InPlace(ids, {id: path for id, path in devices.items() if path})


def _in_other_hands(recorded: Layout, now: Layout) -> Layout:
    """The layout of now with the recorded disks where they only have another name, as in another enclosure."""
    known = {}
    for disk in now.of(Disk):
        was = recorded.get(disk.id) or disk
        words = {name: getattr(was, name) for name in ("serial", "wwn", "model", "vendor", "transport")}
        known[disk.id] = replace(disk, **words)
    return make(known.get(item.id, item) for item in now)


def _moved(recorded: Layout, ids: frozenset[str], now: Layout) -> Iterator[str]:
    """File systems that stay, and lie elsewhere by now: in their place is what would stay, and in the other's they are
    overwritten."""
    for filesystem in recorded.of(FileSystem):
        here = now.get(filesystem.id) if filesystem.id in ids else None
        if here and {*here.needs} != {*filesystem.needs}:
            yield f"{filesystem} lies on {' and '.join(here.needs)}, not on {' and '.join(filesystem.needs)}"


def visible(layout: Layout, ids: frozenset[str], now: Layout) -> Layout:
    """The layout without what lies in volumes that stay and are closed: it is known by them, and cannot be seen."""
    opened, still = ({item.id for item in items if getattr(item, "device", "")} for items in (layout, now))
    closed = {item.id for item in now} & ids & opened - still
    site = Site(layout, {})
    inside = {item.id for item in layout if item.id in ids - closed and closed & site.below(item.id)}
    return make(item.at_rest() if item.id in closed else item for item in layout if item.id not in inside)


def _carriers(layout: Layout, ids: frozenset[str]) -> Iterator[Item]:
    """Items that carry others: what is in a file system is its owner's affair, and a volume may be closed."""
    for item in layout:
        if item.id in ids and item.is_storage and not isinstance(item, FileSystem):
            yield item.at_rest()
