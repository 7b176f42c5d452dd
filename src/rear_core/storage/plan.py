# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan: a layout and the disks of this machine, made into commands in the order of the graph."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import Refused
from .additions import Addition, add, room
from .command import Command, Site
from .disk import Disk
from .filesystem import FileSystem
from .in_place import InPlace
from .kinds import StorageKind, header_keeper, kind_of, lacking, refusals
from .kinds import notes as notes_of
from .layout import Item, Layout, make
from .mapping import Assignment
from .marks import mark
from .mount import Mount
from .present import Machine, PresentDisk
from .resize import fit
from .script import script as script
from .sectors import align, with_sectors
from .teardown import teardown

CLASH = (
    "unplug it, detach it (echo 1 >/sys/block/.../device/delete), erase it (wipefs --all) or use it with DISK_MAPPING"
)


@dataclass(frozen=True)
class Rebuilt:
    """The storage as it was recreated: where each item is on this machine, and what is not as it was.

    `mapping` has the path of each recorded disk's successor by the id of the recorded disk;
    `changed_identifiers` the new identifier of each one that could not be kept (UUIDs of volume groups and
    logical volumes); `differences` and `notes` what the user should know about the rest. `hardware_changed`
    says that a disk has another name or hangs on another kind of bus. `in_place` are the ids of what stayed as it was.
    """

    site: Site
    mapping: Mapping[str, str]
    changed_identifiers: dict[str, str] = field(default_factory=dict)
    hardware_changed: bool = False
    notes: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()
    in_place: frozenset[str] = frozenset()

    def device(self, id: str) -> str:
        """The path of an item: /dev/vda1, /dev/mapper/vg-lv; of a file system, the device that it lies on."""
        return self.site.device(id)

    def disks(self, id: str) -> tuple[str, ...]:
        """The paths of all disks that an item lies on, none when it was left out."""
        if id not in self.site.layout:
            return ()
        return tuple(sorted({self.mapping[below] for below in self.site.below(id) if below in self.mapping}))

    def disk(self, id: str) -> str:
        """The path of the disk that an item lies on; of several the first."""
        return self.disks(id)[0]


@dataclass(frozen=True)
class Plan:
    """Commands that recreate a layout: first what is `cleared` is made blank (disks, and parts of those that keep
    something in place), then everything is built and mounted; `later`, by the names of items, has to wait until the
    files are back. `in_place` are the ids of what stays as it is. `identifiers` are new ones that are known beforehand,
    by the old ones, and `ids` those of items by the ids that they have when they are described again."""

    site: Site
    mapping: Mapping[str, str]
    teardown: tuple[Command, ...] = ()
    build: tuple[Command, ...] = ()
    mount: tuple[Command, ...] = ()
    later: Mapping[str, tuple[Command, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    hardware_changed: bool = False
    cleared: tuple[str, ...] = ()
    in_place: frozenset[str] = frozenset()
    identifiers: Mapping[str, str] = field(default_factory=dict)
    ids: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The same for plans that build the same."""
        commands = [asdict(command) for command in (*self.build, *self.mount)]
        for command in commands:
            # How it was tried makes no difference to what is built.
            del command["trial"]
        return hashlib.sha256(json.dumps(commands, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def restored(self) -> tuple[Command, ...]:
        """What has to wait until the files are back, of all items."""
        return tuple(command for commands in self.later.values() for command in commands)

    @property
    def volumes(self) -> tuple[Item, ...]:
        """The encrypted volumes, which need a passphrase each."""
        wanted = {command.passphrase for command in self.build}
        return tuple(item for item in self.site.layout if item.id in wanted)

    @property
    def room(self) -> int:
        """The bytes of all file systems that are mounted, 0 when nobody can know how much fits into them."""
        layout = self.site.layout
        # What is mounted may be a part of one: a subvolume.
        mounted = {item.id for mount in layout.of(Mount) for item in layout.below(*mount.needs)}
        found = [item for item in layout.of(FileSystem) if item.id in mounted]
        sizes = [0 if item.compresses else self._size(item) for item in found]
        return sum(sizes) if all(sizes) else 0

    def _size(self, item: Item) -> int:
        """The bytes of the device below a file system, 0 when they are not known, as of an array on larger disks."""
        size = self.site.size(item.id)
        if size and item.needs and not item.bounded and self.site.is_resized(item.id):
            return 0
        return size or (self._size(self.site.item(item.needs[0])) if item.needs else 0)

    def rebuilt(self) -> Rebuilt:
        """What the plan leaves behind when all of it was done."""
        return Rebuilt(
            self.site, self.mapping, dict(self.identifiers), self.hardware_changed, self.notes, in_place=self.in_place
        )


def plan(
    layout: Layout, assignment: Assignment, machine: Machine, kinds: Sequence[StorageKind], *,
    used: Mapping[str, int] | None = None, memory: int = 0, target: str = "/mnt/local",
    excluded: Mapping[str, str] | None = None, in_place: InPlace = InPlace(),  # noqa: B008
    additions: Sequence[Addition] = (),
) -> Plan:  # fmt: skip
    """The commands that recreate a layout on the disks of an assignment.

    `used` are the bytes that files take by mount point, without which nothing can become smaller. `excluded` says by
    id why items are not recreated, `in_place` which of them stay as they are. `additions` are partitions that the
    machine did not have; those of a disk that is left out, or keeps something, are not made.
    """
    excluded = excluded or {}
    left_out = {match.recorded.id for match in assignment.matches if not match.path}
    kept = without(without(layout, left_out, kinds), excluded.keys())
    present = {disk.path: disk for disk in machine.disks}
    disks = {id: path for id, path in assignment.disks.items() if id in kept}
    kept = with_sectors(kept, {id: present[path].logical_sector_size for id, path in disks.items()})
    added = [one for one in additions if one.table in kept and kept[one.table].needs[0] in disks.keys() - in_place.ids]
    sizes = {id: present[path].size for id, path in disks.items()}
    fitted = align(fit(kept, room(kept, added, sizes), used or {}))
    if fitted.problems:
        raise Refused("; ".join(fitted.problems), "choose other disks with DISK_MAPPING, or edit layout.json")
    here = _on_site(add(fitted.layout, added, kinds), machine, disks, in_place)
    site = Site(here, disks, fitted.resized, memory, target)
    dropped = [
        f"{item} is not recreated: {excluded[item.id]}" if item.id in excluded else f"{item} is left out with its disk"
        for item in layout
        if item.id not in kept and item.needs
    ]
    if problems := refusals(site, kinds):
        raise Refused("; ".join(problems), "leave its disks out with DISK_MAPPING, or remove it from layout.json")
    lost = [f"Left out: {entry.name} ({entry.reason})" for entry in layout.left_out if entry.lost]
    exclusive = tuple(cls for kind in kinds for cls in kind.exclusive)
    if clashes := list(_doubles(site, machine, lambda item: isinstance(item, exclusive))):
        raise Refused("; ".join(clashes), CLASH)
    doubles = [f"{line}: the system may start from that" for line in _doubles(site, machine, lambda _: True)]
    new = [f"{one.noun} added to {here[here[one.table].needs[0]]}" for one in added]
    notes = [*fitted.notes, *new, *dropped, *lost, *notes_of(site, kinds), *doubles]
    blank = {path for id, path in disks.items() if id not in in_place.ids}
    cleared = sorted({*blank, *in_place.cleared(site)})
    return Plan(
        site,
        disks,
        tuple(teardown(machine, cleared, kinds)),
        tuple(commands(site, kinds, lambda item: item.is_storage and item.id not in in_place.ids)),
        tuple(commands(site, kinds, lambda item: not item.is_storage)),
        _after(site, kinds, in_place.ids),
        tuple(notes),
        _hardware_changed(layout, disks, present),
        tuple(cleared),
        in_place.ids,
    )


def with_headers(made: Plan, headers: Mapping[str, Path], kinds: Sequence[StorageKind]) -> Plan:
    """The plan with these headers, by the ids of encrypted items, put back in the place of new ones; one that has them
    already stays as it is."""
    build: list[Command] = []
    formatted = {command.passphrase for command in made.build if command.destroys} & headers.keys()
    for command in made.build:
        # What needs a passphrase makes the item, or opens it.
        if command.passphrase not in formatted:
            build.append(command)
        elif command.destroys:
            item = made.site.item(command.passphrase)
            keeper = header_keeper(item, kinds)
            assert keeper is not None
            build += keeper.put_back(item, made.site, headers[item.id])
    # What notes say of keys that are lost holds no longer.
    whole = tuple(f"{item}: " for item in made.site.layout if item.id in headers)
    return replace(made, build=tuple(build), notes=tuple(note for note in made.notes if not note.startswith(whole)))


def _doubles(site: Site, machine: Machine, counts: Callable[[Item], bool]) -> Iterator[str]:
    """What is recreated while a disk that is not taken has it as well, by its identifier or its name."""
    items = [item for item in site.layout if counts(item)]
    made = {mark(uuid): str(item) for item in items if len(uuid := str(getattr(item, "uuid", ""))) >= 8}
    named = {item.id: str(item) for item in items}
    for disk in machine.disks:
        same = {made[known] for known in disk.marks & made.keys()} | {named[id] for id in disk.names & named.keys()}
        if same and disk.path not in site.disks.values():
            yield f"{disk.path}, which the recovery leaves alone, also has {', '.join(sorted(same))}"


def without(layout: Layout, ids: Collection[str], kinds: Sequence[StorageKind] = ()) -> Layout:
    """The layout without some items and everything that needs them; what runs without them stays, as its kind says."""
    gone = set(ids)
    kept = []
    for item in layout.order():
        if item.id not in gone and gone.intersection(item.needs):
            now = lacking(item, gone, kinds)
            kept += [now] if now else []
            gone |= set() if now else {item.id}
        elif item.id not in gone:
            kept.append(item)
    return make(kept, layout.left_out)


def _on_site(layout: Layout, machine: Machine, disks: Mapping[str, str], in_place: InPlace) -> Layout:
    """The layout on the disks that are here; what stays there has its name of now, and nothing else gets that."""
    present = {disk.path: disk for disk in machine.disks}
    torn = {device.path for disk in disks.values() for device in machine.above(disk)}
    taken = {path for path in machine.devices if path not in torn} | {*in_place.devices.values()}
    items: list[Item] = []
    for item in layout:
        if isinstance(item, Disk):
            item = item.replaced_by(present[disks[item.id]])
        elif item.id in in_place.devices:
            now: dict[str, Any] = {"device": in_place.devices[item.id]}
            item = replace(item, **now)
        else:
            item = item.named_beside(taken)
            taken |= item.device_paths
        items.append(item)
    return make(items, layout.left_out)


def commands(site: Site, kinds: Sequence[StorageKind], wanted: Callable[[Item], bool]) -> Iterator[Command]:
    """The commands that recreate the wanted items, in their order; `Refused` where a technology cannot."""
    for item in site.layout.order():
        if wanted(item):
            kind = kind_of(item, kinds)
            if kind.recreate is None:
                raise Refused(
                    f"{item}: the storage technology {kind.name!r} cannot recreate it",
                    "update its plugin, or remove the item and what needs it from layout.json",
                )
            yield from kind.recreate(item, site)


def _after(site: Site, kinds: Sequence[StorageKind], staying: frozenset[str]) -> dict[str, tuple[Command, ...]]:
    found = {}
    for item in site.layout.order():
        later = kind_of(item, kinds).restored
        if later and item.id not in staying and (commands := tuple(later(item, site))):
            found[str(item)] = commands
    return found


def _hardware_changed(layout: Layout, disks: Mapping[str, str], present: Mapping[str, PresentDisk]) -> bool:
    """Whether a disk has another name or hangs on another kind of bus."""
    pairs = [(disk, present[disks[disk.id]]) for disk in layout.of(Disk) if disk.id in disks]
    return any((was.device, was.transport) != (now.path, now.transport) for was, now in pairs)
