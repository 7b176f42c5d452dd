# SPDX-License-Identifier: GPL-3.0-or-later
"""The storage that a technology is tried with: layouts, and machines by what their programs once printed."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ..plugins import load
from ..storage import disk
from ..storage.capture import capture
from ..storage.command import Command, Site
from ..storage.disk import Disk
from ..storage.inventory import Device, read_devices
from ..storage.kinds import StorageKind, kind_of
from ..storage.layout import Item, Layout
from ..storage.resize import Sizes
from ..storage.survey import Survey
from ..storage.technologies import CORE_KINDS
from .fake_shell import FakeShell
from .harness import Harness
from .performing import skip


@dataclass(frozen=True)
class Load(Item):
    """What lies on a device that is tried, and can lose all but a MiB."""

    type = "load of a trial"

    def any_size(self, _sizes: Sizes) -> bool:
        """Any."""
        return True

    def fits(self, _sizes: Sizes, size: int) -> bool:
        """As long as there is what it cannot lose."""
        return size >= 1 << 20

    def spare(self, _sizes: Sizes, size: int) -> int:
        """Nearly all."""
        return max(0, size - (1 << 20))

    def shrink(self, sizes: Sizes, amount: int) -> None:
        """Note that it was asked."""
        sizes.notes.append(f"{self.id} loses {amount}")


@dataclass(frozen=True)
class Case:
    """A layout, the technologies that know it and those of them that are tried (`own`).

    `devices` are those of the machine that it was recorded on, `asked` are programs that the captures tried asked.
    """

    layout: Layout
    kinds: Sequence[StorageKind]
    own: Sequence[StorageKind]
    devices: Mapping[str, Device]
    asked: frozenset[str]

    @property
    def types(self) -> set[type[Item]]:
        """The types of all items."""
        return {type(item) for item in self.layout}

    @property
    def disks(self) -> dict[str, str]:
        """The paths of the disks, which are those that they had."""
        return {item.id: item.device for item in self.layout.of(Disk)}

    def site(self, resized: Collection[str] = ()) -> Site:
        """Where the layout is recreated: on the same disks."""
        return Site(self.layout, self.disks, frozenset(resized))

    def below(self, item: Item) -> set[str]:
        """The paths of what an item lies on directly."""
        return {self.site().device(need) for need in item.needs}

    @property
    def roots(self) -> list[str]:
        """The devices at the bottom of all that others stand on."""
        return [path for path, device in self.devices.items() if device.children and not device.parents]

    @property
    def running(self) -> dict[str, Item]:
        """The devices of the recorded machine that are those of items of the technologies tried."""
        made = {getattr(item, "device", ""): item for item in own_items(self) if makes_device(item)}
        return {path: made[path] for path in self.devices if path in made}

    def disks_below_own(self) -> list[Disk]:
        """The disks that items of the technologies tried lie on."""
        ids = {below.id for item in own_items(self) for below in self.layout.below(item.id)}
        return [one for one in self.layout.of(Disk) if one.id in ids]

    def recreate(self, item: Item) -> Iterator[Command]:
        """The commands that recreate an item."""
        kind = kind_of(item, self.kinds)
        yield from kind.recreate(item, self.site()) if kind.recreate else ()


def own_kinds(harness: Harness) -> list[StorageKind]:
    """The technologies of the plugin that is tried."""
    declare = getattr(load(harness.subject.found).module, "rear_storage_kinds", None)
    if declare is None:
        skip(harness.subject, "has no storage technology")
    return list(declare())


def cases(harness: Harness) -> list[Case]:
    """What its author gives to try it with, in which each of its item types must occur."""
    own = own_kinds(harness)
    supply = harness.supply
    if not harness.supplied:
        skip(harness.subject, "no fixture `supply` gives machines or layouts with its storage")
    kinds = [*CORE_KINDS, *(kind for kind in own if kind not in CORE_KINDS)]
    found = [recorded(harness, path, kinds, own) for path in supply.machines]
    found += [Case(layout, kinds, own, {}, frozenset()) for layout in supply.layouts]
    types = {cls.type for kind in own for cls in kind.items}
    unseen = sorted(types - {item.type for case in found for item in case.layout})
    assert not unseen, f"Supply.machines and Supply.layouts have no item of the types {unseen}"
    return found


def recorded(harness: Harness, path: Path, kinds: Sequence[StorageKind], own: Sequence[StorageKind]) -> Case:
    """A machine by the folder that `python3 -m rear_core.testing.fake_shell FOLDER` has made."""
    shell = FakeShell(path / "commands")
    asked: set[str] = set()

    def noted(kind: StorageKind) -> StorageKind:
        def noting(survey: Survey) -> Iterable[Item]:
            before = len(shell.asked)
            yield from kind.capture(survey)
            asked.update(command.split()[0] for command in shell.asked[before:])

        return replace(kind, capture=noting) if kind in own else kind

    settings = harness.settings(harness.plugins())
    include = path / "include.txt"
    layout = capture(
        shell,
        [noted(kind) for kind in kinds],
        include=[*settings["INCLUDE_DEVICES"], *(include.read_text().split() if include.exists() else ())],
        exclude=settings["EXCLUDE_DEVICES"],
    )
    lost = [f"{entry.name}: {entry.reason}" for entry in layout.left_out if "not understood" in entry.reason]
    if lost:
        pytest.fail(f"`capture` stumbles over {path}: {'; '.join(lost)}")
    return Case(layout, kinds, own, read_devices(shell, lambda _line: None), frozenset(asked - {"python3"}))


def own_items(case: Case) -> list[Item]:
    """The items of the technologies that are tried."""
    types = tuple(cls for kind in case.own for cls in kind.items)
    return [item for item in case.layout.order() if type(item) in types]


def makes_device(item: Item) -> bool:
    """Whether it is a device that the kernel makes of others by a driver; partitions it knows by itself."""
    if not item.needs or not item.is_storage or type(item) in disk.KIND.items:
        return False
    return item.place("/dev/below") != "/dev/below"


def planned(case: Case, site: Site) -> dict[Item, list[Command]]:
    """The commands that recreate each item of the technologies tried, in the order of the graph."""
    found = {}
    for item in site.layout.order():
        kind = kind_of(item, case.kinds)
        if kind in case.own:
            assert kind.recreate or not item.is_storage, f"{item}: {kind.name!r} has no `recreate`"
            found[item] = list(kind.recreate(item, site)) if kind.recreate else []
    return found


def within(value: str, text: str) -> bool:
    """Whether an identifier stands in commands, however they write it: without hyphens, in other capitals."""
    plain = re.sub(r"[-:]", "", value)
    return value in text or plain.lower() in re.sub(r"[-:]", "", text).lower()
