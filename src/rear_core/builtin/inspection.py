# SPDX-License-Identifier: GPL-3.0-or-later
"""The disks that are here, with what is at stake on them and in the volumes that do not run."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from ..archive import described
from ..errors import NOT_UNDERSTOOD, ProgramFailed, ProgramMissing, RearError
from ..storage import present
from ..storage.activate import readable
from ..storage.at_stake import at_stake, left_alone
from ..storage.command import Site
from ..storage.disk import BLANK, DATA, Disk, PartitionTable
from ..storage.fate import LOST, NOT_EMPTY, REMADE, WAS_EMPTY, Content, Stake, given_up_by
from ..storage.filesystem import FileSystem
from ..storage.inventory import Device, begins_empty, ends_empty, is_part, meaning
from ..storage.layout import Item, Layout, LeftOut, make
from ..storage.mapping import STRONG, is_generic, is_nameless, marks, score, shared_serials
from ..storage.marks import RAW, left_behind, mark
from ..storage.present import Machine, PresentDisk, locked_with_others
from ..storage.spared import backup_disks, disks_of_urls

if TYPE_CHECKING:
    from ..run import Run
    from ..storage.kinds import StorageKind


def look(run: Run, layout: Layout, stakes: Mapping[str, Stake] | None = None, *, lock: bool = True) -> Machine:
    """The disks that are here; with `lock`, those that hold backup or media, or are excluded, are locked.

    Those on which nothing is at stake that comes back are only taken when somebody names them.
    """
    if lock:
        _make_visible(run, layout)
    target, include = os.fspath(run.target), run.settings["INCLUDE_DEVICES"]
    machine = present.look(run.sh, run.report.warn, target, lock=lock, include=include)
    machine = _looked_into(run, layout, machine)
    kept, plugged_in = backup_disks(run, layout), disks_of_urls(run, machine) if lock else {}
    alone = left_alone(stakes or {})
    at_risk = [stake.disk for stake in (stakes or {}).values() if stake.lost and is_nameless(stake.disk)]
    recorded = {item.id: (item, marks(layout, item)) for item in layout.of(Disk)}
    shared = shared_serials([item for item, _ in recorded.values()], machine.disks)
    disks = []
    for disk in machine.disks:
        device = machine.devices[disk.path]
        known = [id for id, (item, found) in recorded.items() if score(item, disk, found, shared)[0] >= STRONG]
        itself = next((item for item, _ in recorded.values() if score(item, disk, shared=shared)[0] >= STRONG), None)
        excluded = is_excluded(run, device, itself) or any(is_left_out(disk, one, shared) for one in layout.left_out)
        backup = "it holds the backup" if kept.keys() & known else plugged_in.get(disk.path, "")
        locked = (disk.locked or backup if lock else "") or ("EXCLUDE_DEVICES names it" if excluded else "")
        spared = next((alone[id] for id in known if id in alone), "")
        may_be = [itself] if itself else [item for item in at_risk if is_nameless(disk) and item.size == disk.size]
        remains = not disk.holds and (
            any(left_behind(run.sh, layout, item, device) for item in may_be)
            or (itself is None and not ends_empty(run.sh, device))
        )
        disk = unreadable_table(layout, itself, disk) if itself else disk
        disks.append(replace(disk, locked=locked, spared=spared, remains=remains))
    return replace(machine, disks=tuple(locked_with_others(disk, disks) for disk in disks))


def _make_visible(run: Run, layout: Layout) -> None:
    """Have the rescue system see all disks of the machine: what is reached over a network, then what is made of it."""
    kinds = [kind for kind in run.plugins.call("rear_storage_kinds") if any(isinstance(i, kind.items) for i in layout)]
    for kind in kinds:
        try:
            if kind.connect:
                kind.connect(layout, run.sh, run.report.warn)
        except RearError as error:
            # Somebody has named a disk in the place of one that is out of reach.
            if not run.settings["DISK_MAPPING"]:
                raise
            run.report.warn(error.message)
    for kind in kinds:
        if kind.appear:
            kind.appear(run.sh)


def unreadable_table(layout: Layout, recorded: Disk, disk: PresentDisk) -> PresentDisk:
    """The disk with a mark for what nobody can see of it: the kernel looks for a table by the size of its sectors."""
    has_table = any(recorded.id in table.needs for table in layout.of(PartitionTable))
    # 0 where nobody knows.
    if not has_table or not disk.holds or disk.logical_sector_size in (0, recorded.logical_sector_size):
        return disk
    now = f"{disk.logical_sector_size} byte sectors, not {recorded.logical_sector_size}"
    holds = f"{disk.holds}; its partitions cannot be read, as it has {now}, perhaps by another enclosure"
    return replace(disk, holds=holds, marks=disk.marks | {RAW})


def is_excluded(run: Run, device: Device, recorded: Disk | None) -> bool:
    """Whether EXCLUDE_DEVICES means a disk.

    Names change: one that is recorded is not the one that was to be left out under this name, unless somebody excludes
    it since. A copy of it may be.
    """
    named = meaning(device, run.settings["EXCLUDE_DEVICES"])
    if not named or not recorded:
        return bool(named)
    noted = described.recorded(run, "exclude_devices")
    # A description of before does not say.
    return isinstance(noted, list) and not {*named} <= {*noted}


def is_left_out(disk: PresentDisk, entry: LeftOut, shared: Collection[str]) -> bool:
    """Whether a disk is one that a setting left out: by its WWN, or by its serial number where one has no WWN."""
    if entry.wwn and disk.wwn:
        return entry.wwn == disk.wwn
    return entry.serial == disk.serial and not is_generic(entry.serial) and entry.serial not in shared


def _looked_into(run: Run, layout: Layout, machine: Machine) -> Machine:
    """The machine with what nobody recorded and lies on its disks without being started, as a volume does."""
    kinds: list[StorageKind] = run.plugins.call("rear_storage_kinds")
    found = []
    for kind in kinds:
        try:
            found += [kind.within(run.sh, machine.devices, layout)] if kind.within else []
        except (ProgramFailed, *NOT_UNDERSTOOD) as error:
            # What is broken may be why the machine is recovered.
            run.report.warn(f"rear does not know whether {kind.name} has more on the disks than was recorded: {error}")
    disks = []
    for disk in machine.disks:
        ids = {id for device in machine.above(disk.path) for some in found for id in some.get(device.path, ())}
        names = frozenset(id for id in ids if id in layout)
        new = sorted(ids - names)
        holds = ", ".join(filter(None, [disk.holds, *(id.partition(":")[2] for id in new)]))
        disks.append(replace(disk, marks=disk.marks | {*map(mark, new)}, names=names, holds=holds))
    return replace(machine, disks=tuple(disks))


def at_stake_now(run: Run, layout: Layout, *, lock: bool = True) -> tuple[Machine, dict[str, Stake]]:
    """The disks that are here, as of `look`, and what is at stake on the recorded ones, now that they can be looked at:
    what would be recreated empty, as it was, and holds something by now, is lost."""
    stakes = at_stake(run, layout)
    machine = look(run, layout, stakes, lock=lock)
    were_empty = {
        content.items[0]
        for stake in stakes.values()
        for content in stake.contents
        if (content.fate, content.reason) == (REMADE, WAS_EMPTY)
    }
    inside, filled = _looked_inside(run, layout, machine, were_empty | _blank_volumes(layout), start=lock)
    if not filled:
        return _with(inside, machine), stakes
    given_up, site = run.settings["GIVE_UP"], Site(layout, {})
    for id, stake in stakes.items():
        now = [
            given_up_by(replace(content, fate=LOST, reason=NOT_EMPTY), given_up)
            if filled.intersection(content.items) and content.reason == WAS_EMPTY
            else content
            for content in stake.contents
        ]
        volumes = [layout[volume] for volume in filled - were_empty if id in site.below(volume)]
        lost = [Content(f"{v}", frozenset({id}), LOST, NOT_EMPTY, (v.id,), (v.place(""),)) for v in volumes]
        now += [given_up_by(content, given_up) for content in lost]
        stakes[id] = replace(stake, contents=tuple(now))
    return _with(inside, look(run, layout, stakes, lock=lock)), stakes


def _looked_inside(
    run: Run, layout: Layout, machine: Machine, were_empty: Collection[str], *, start: bool
) -> tuple[dict[str, frozenset[str]], frozenset[str]]:
    """What lies in recorded volumes that do not run, by the paths of the disks that are here, as somebody may have put
    something else into one since; and the ids of those that are not empty any more. With `start` they run meanwhile."""
    kinds: list[StorageKind] = run.plugins.call("rear_storage_kinds")
    here = {word for disk in machine.disks for word in disk.marks}
    site = Site(layout, {})
    gone = {disk.id for disk in layout.of(Disk) if not _is_here(layout, disk, machine, here)}
    known = layout if start else make(())
    with readable(run.sh, known, kinds, run.report.log) as refused:
        # One of which nothing is here, as after a recovery that was cut off, is no failure to look into it.
        stuck = {item.id for item in refused if mark(getattr(item, "uuid", "")) in here}
        for id in stuck:
            run.report.warn(f"{layout[id]} does not start: rear does not know whether it is as it was")
        target, include = os.fspath(run.target), run.settings["INCLUDE_DEVICES"]
        now = machine
        if known:
            now = present.look(run.sh, run.report.log, target, lock=False, include=include)
            # Some of what was to be found lies in what runs only now.
            now = _looked_into(run, layout, now)
        unknown = frozenset(id for id in were_empty if stuck & site.below(id))
        for item in _closed(layout, now) if start else ():
            if not gone & site.below(item.id):
                run.report.warn(f"rear cannot look into {item}: what came into it since it was described would be lost")
        return {disk.path: disk.marks for disk in now.disks}, unknown | _filled(run, layout, now, were_empty, kinds)


def _closed(layout: Layout, machine: Machine) -> list[Item]:
    """The volumes that do not run, without those that lie in one."""
    closed = {item.id: item for item in layout if _is_volume(item) and item.place("") not in machine.devices}
    return [item for item in closed.values() if not closed.keys() & {b.id for b in layout.below(*item.needs)}]


def _is_volume(item: Item) -> bool:
    """Whether its path is its own: a multipath disk and its partitions are where their disk is."""
    return item.place("").startswith("/dev/mapper/")


def _is_here(layout: Layout, disk: Disk, machine: Machine, here: Collection[str]) -> bool:
    """Whether a recorded disk, or what lay on it, is there: of half a mirror on a whole disk both halves tell."""
    own = {*marks(layout, disk), *(word for word in disk.marks if not word.startswith((BLANK, DATA)))}
    return bool(own.intersection(here)) or any(score(disk, found)[0] >= STRONG for found in machine.disks)


def _with(inside: Mapping[str, frozenset[str]], machine: Machine) -> Machine:
    disks = (replace(disk, inside=inside.get(disk.path, frozenset()) - disk.marks) for disk in machine.disks)
    return replace(machine, disks=tuple(disks))


def _blank_volumes(layout: Layout) -> set[str]:
    """The ids of volumes that were blank: somebody may have made a file system there since."""
    marks = {word for disk in layout.of(Disk) for word in disk.marks}
    return {item.id for item in layout if item.may_be_blank and f"{BLANK}{item.place('')}" in marks}


def _filled(
    run: Run, layout: Layout, machine: Machine, were_empty: Collection[str], kinds: Iterable[StorageKind]
) -> frozenset[str]:
    """The ids of those file systems and volumes that are here and hold something."""
    recorded = {id: layout[id] for id in were_empty}
    wanted = {item.uuid if isinstance(item, FileSystem) else id: id for id, item in recorded.items()}
    volumes = {item.place(""): item.id for item in layout if item.may_be_blank}
    found = [device for device in machine.devices.values() if not is_part(machine.devices, device)]
    # A copy has the same identifier, and may be as empty as it was.
    seen = [
        (wanted[name], device) for device in found for name in (device.uuid, volumes.get(device.path)) if name in wanted
    ]
    return frozenset(id for id, device in seen if _holds_something(run, device, kinds))


def _holds_something(run: Run, device: Device, kinds: Iterable[StorageKind]) -> bool:
    """Whether a device has more than zeros and a file system without files."""
    try:
        if any(kind.is_empty(run.sh, device) for kind in kinds if kind.is_empty):
            return False
    except (ProgramFailed, *NOT_UNDERSTOOD) as error:
        if isinstance(error, ProgramMissing):
            raise
        # A bad sector or a damaged superblock may be why the machine is recovered.
        run.report.warn(f"rear does not know whether {device.path} is still empty: {error}")
        return True
    return bool(device.fstype) or not begins_empty(run.sh, device)
