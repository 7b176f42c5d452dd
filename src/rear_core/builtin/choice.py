# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides with the settings, and where they leave it open with the user, which disk is to become which."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from .. import own_files, questions
from ..archive import described
from ..errors import NOT_UNDERSTOOD, Interrupted, ProgramFailed, Refused
from ..report import visible
from ..storage import present
from ..storage.activate import readable
from ..storage.at_stake import at_stake, left_alone
from ..storage.command import Site
from ..storage.disk import BLANK, DATA, Disk, PartitionTable
from ..storage.fate import LOST, NOT_EMPTY, REMADE, SAVED, WAS_EMPTY, Content, Stake, given_up_by
from ..storage.filesystem import FileSystem
from ..storage.inventory import Device, begins_empty, is_part, meaning
from ..storage.layout import Item, Layout, LeftOut, make
from ..storage.mapping import (
    NONE,
    STRONG,
    Assignment,
    Match,
    assign,
    is_generic,
    is_nameless,
    marks,
    named,
    recorded_as,
    score,
    shared_serials,
)
from ..storage.marks import RAW, left_behind, mark
from ..storage.plan import without
from ..storage.present import Machine, PresentDisk, locked_with_others
from ..storage.resize import minimum
from ..storage.spared import backup_disks, disks_of_urls

if TYPE_CHECKING:
    from ..run import Run
    from ..storage.kinds import StorageKind

KEEP = "keep"
QUITS = "stopped before anything was written, as requested"
ANSWER = "DISK_MAPPING=( {disk}=/dev/... ) in /etc/rear/local.conf names the disk to use, or none to leave it out"


class Decision(NamedTuple):
    """Which disk becomes which, what is there now, and what is at stake on each recorded disk, by its id."""

    assignment: Assignment
    machine: Machine
    stakes: Mapping[str, Stake]


def decide(run: Run, layout: Layout, *, takes: bool = True) -> Decision:
    """A match for every recorded disk that is sure or confirmed; `Refused` when that cannot be or stays open.

    Without `takes`, nothing is going to be written to the disks: what would be lost does not matter.
    """
    answers = {**backup_disks(run, layout), **chosen(run, layout)}
    if not takes:
        return Decision(_confirmed(run, layout, (machine := look(run, layout)), answers, {}), machine, {})
    machine, stakes = at_stake_now(run, layout)
    assignment = assigned(run, layout, machine, answers, stakes)
    refuse(run, assignment)
    for disk in replaced(layout, machine, assignment, stakes) if questions.is_interactive(run) else ():
        answers = {**answers, disk.id: ask_for_empty(run, disk, assignment.spare)}
    return Decision(_confirmed(run, layout, machine, answers, stakes), machine, stakes)


def _confirmed(
    run: Run, layout: Layout, machine: Machine, answers: Mapping[str, str], stakes: Mapping[str, Stake]
) -> Assignment:
    assignment = assigned(run, layout, machine, answers, stakes)
    refuse(run, assignment)
    kept: set[str] = set()
    while assignment.questions:
        match = assignment.questions[0]
        answer = ask(run, match, assignment.spare)
        kept |= {match.recorded.id} if answer == KEEP else set()
        tried = answers if answer == KEEP else {**answers, match.recorded.id: answer}
        after = assigned(run, layout, machine, tried, stakes, kept)
        for problem in after.problems:
            print(visible(f"Not possible: {problem}"), file=sys.stderr)
        if answer == KEEP and match.recorded.id in {question.recorded.id for question in after.questions}:
            print(
                "Not possible: rear cannot keep what was not recorded, only leave the disk alone (none)",
                file=sys.stderr,
            )
        if not after.problems:
            answers, assignment = tried, after
    return assignment


def look(run: Run, layout: Layout, stakes: Mapping[str, Stake] | None = None, *, lock: bool = True) -> Machine:
    """The disks that are here; with `lock`, those that hold backup or media, or are excluded, are locked.

    Those on which nothing is at stake that comes back are only taken when somebody names them.
    """
    for kind in run.plugins.call("rear_storage_kinds") if lock else ():
        if kind.appear and any(isinstance(item, kind.items) for item in layout):
            kind.appear(run.sh)
    target, include = os.fspath(run.target), run.settings["INCLUDE_DEVICES"]
    machine = present.look(run.sh, run.report.warn, target, lock=lock, include=include)
    machine = _looked_into(run, layout, machine)
    kept, plugged_in = backup_disks(run, layout), disks_of_urls(run, machine) if lock else {}
    alone = left_alone(stakes or {})
    at_risk = [stake.disk for stake in (stakes or {}).values() if stake.lost and is_nameless(stake.disk)]
    recorded = {item.id: (item, marks(layout, item)) for item in layout.of(Disk)}
    noted = described.recorded(run, "exclude_devices")
    # A description of before does not say.
    excluded_then = noted if isinstance(noted, list) else run.settings["EXCLUDE_DEVICES"]
    shared = shared_serials([item for item, _ in recorded.values()], machine.disks)
    disks = []
    for disk in machine.disks:
        known = [id for id, (item, found) in recorded.items() if score(item, disk, found, shared)[0] >= STRONG]
        # Names change: one that is recorded is not the one that was to be left out under this name, unless somebody
        # excludes it since. A copy of it may be.
        itself = next((item for item, _ in recorded.values() if score(item, disk, shared=shared)[0] >= STRONG), None)
        named = [
            pattern
            for pattern in meaning(machine.devices[disk.path], run.settings["EXCLUDE_DEVICES"])
            if not itself or pattern not in excluded_then
        ]
        excluded = named or any(is_left_out(disk, entry, shared) for entry in layout.left_out)
        backup = "it holds the backup" if kept.keys() & known else plugged_in.get(disk.path, "")
        locked = (disk.locked or backup if lock else "") or ("EXCLUDE_DEVICES names it" if excluded else "")
        spared = next((alone[id] for id in known if id in alone), "")
        may_be = [itself] if itself else [item for item in at_risk if is_nameless(disk) and item.size == disk.size]
        device = machine.devices[disk.path]
        remains = lock and not disk.holds and any(left_behind(run.sh, layout, item, device) for item in may_be)
        disk = unreadable_table(layout, itself, disk) if itself else disk
        disks.append(replace(disk, locked=locked, spared=spared, remains=remains))
    return replace(machine, disks=tuple(locked_with_others(disk, disks) for disk in disks))


def unreadable_table(layout: Layout, recorded: Disk, disk: PresentDisk) -> PresentDisk:
    """The disk with a mark for what nobody can see of it: the kernel looks for a table by the size of its sectors."""
    has_table = any(recorded.id in table.needs for table in layout.of(PartitionTable))
    # 0 where nobody knows.
    if not has_table or not disk.holds or disk.logical_sector_size in (0, recorded.logical_sector_size):
        return disk
    now = f"{disk.logical_sector_size} byte sectors, not {recorded.logical_sector_size}"
    holds = f"{disk.holds}; its partitions cannot be read, as it has {now}, perhaps by another enclosure"
    return replace(disk, holds=holds, marks=disk.marks | {RAW})


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


def chosen(run: Run, layout: Layout) -> dict[str, str]:
    """The answers in DISK_MAPPING; `Refused` where a disk that is named in two ways has two."""
    pairs = (word.partition("=") for word in run.settings["DISK_MAPPING"])
    answers = {name: _device(answer) if answer.startswith("/") else NONE for name, _, answer in pairs}
    for disk in layout.of(Disk):
        given = {name: answers[name] for name in answers if disk in named(layout.of(Disk), name)}
        if len({*given.values()}) > 1:
            words = " and ".join(f"{name}={answer}" for name, answer in given.items())
            raise Refused(f"DISK_MAPPING has two answers for {recorded_as(disk)}: {words}", "leave only one of them")
    return answers


def _device(answer: str) -> str:
    """A disk by any of its names: links below /dev/disk are followed, maps keep their names."""
    return os.path.realpath(answer) if answer.startswith("/") and not answer.startswith("/dev/mapper/") else answer


def assigned(
    run: Run,
    layout: Layout,
    machine: Machine,
    answers: Mapping[str, str],
    stakes: Mapping[str, Stake],
    kept: Collection[str] = (),
) -> Assignment:
    """The recorded disks matched with those that are here; those of `kept` keep in place what would be lost."""
    lost = {id: [*map(str, stake.lost)] for id, stake in stakes.items()}
    kept = stakes.keys() if run.settings["KEEP_IN_PLACE"] else kept
    alone, sizes = left_alone(stakes), minimum(layout, usage(run))
    gives_up = "*" in run.settings["GIVE_UP"]
    found = assign(layout, machine.disks, sizes, answers, alone=alone, lost=lost, keeps=kept, gives_up=gives_up)
    torn = _torn(run, layout, found, stakes)
    if not torn:
        return found
    lost = {id: some + torn.get(id, []) for id, some in lost.items()}
    # What is torn cannot be kept in place: it is not in the layout that is left.
    kept = {*kept} - torn.keys()
    return assign(layout, machine.disks, sizes, answers, alone=alone, lost=lost, keeps=kept, gives_up=gives_up)


def _torn(run: Run, layout: Layout, assignment: Assignment, stakes: Mapping[str, Stake]) -> dict[str, list[str]]:
    """What is saved and not recreated, as it also lies on a disk that is left out, by the id of each disk that is
    taken all the same."""
    out = {match.recorded.id: match.recorded for match in assignment.matches if not match.path}
    if not out:
        return {}
    left = without(layout, out.keys(), run.plugins.call("rear_storage_kinds"))
    found: dict[str, list[str]] = {}
    for id in assignment.disks.keys() & stakes.keys():
        for content in stakes[id].contents:
            if content.fate == SAVED and any(item not in left for item in content.items):
                others = " and ".join(recorded_as(out[disk]) for disk in sorted(content.disks & out.keys()))
                torn = replace(content, fate=LOST, reason=f"it also lies on {others}, which is left out")
                torn = given_up_by(torn, run.settings["GIVE_UP"])
                found.setdefault(id, []).extend([f"{torn}"] if torn.fate == LOST else [])
    return {id: some for id, some in found.items() if some}


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
    return str(getattr(item, "device", "")).startswith("/dev/mapper/")


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
    if any(kind.is_empty(run.sh, device) for kind in kinds if kind.is_empty):
        return False
    return bool(device.fstype) or not begins_empty(run.sh, device)


def destinies(assignment: Assignment, stakes: Mapping[str, Stake]) -> Iterator[str]:
    """A line for each recorded disk: whether it is taken, and what then becomes of all that lay on it."""
    for match in assignment.matches:
        word = "taken" if match.path and match.sure else "ASKED" if match.path else "left alone"
        word = "OVERWRITTEN" if match.overwritten else word
        yield f"{word}: {match}" + (f": {stakes[match.recorded.id]}" if match.path else "")


def replaced(layout: Layout, machine: Machine, assignment: Assignment, stakes: Mapping[str, Stake]) -> list[Disk]:
    """The disks that would be left alone and are not here any more, while there are blank ones."""
    alone = left_alone(stakes)
    blank = [path for path, state in assignment.spare.items() if state == "blank"]
    here = {
        disk.id
        for disk in layout.of(Disk)
        if any(score(disk, present, marks(layout, disk))[0] >= STRONG for present in machine.disks)
    }
    gone = [match.recorded for match in assignment.matches if not match.path and match.recorded.id in alone]
    return [disk for disk in gone if disk.id not in here] if blank else []


def ask_for_empty(run: Run, disk: Disk, spare: Mapping[str, str]) -> str:
    """The blank disk on which the storage of a disk is recreated without its files, or `none`."""
    blank = [path for path, state in spare.items() if state == "blank"]
    print(
        f"\n{visible(recorded_as(disk))} is not here, and the backup restores nothing that was on it", file=sys.stderr
    )
    question = f"Recreate its partitions and file systems, empty, on {' or '.join(blank)}? A path, or [none]: "
    return questions.choose(run, question, {"": NONE, NONE: NONE, "no": NONE, **{p: p for p in blank}}, quits=QUITS)


def usage(run: Run) -> dict[str, int]:
    """How many bytes files take by mount point, as it was recorded."""
    path = run.recovery_dir / "usage.json"
    if not os.path.lexists(path):
        return {}
    try:
        found = json.loads(own_files.read_text(path))
        return {str(target): int(size) for target, size in found.items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise Refused(f"{path} is damaged: {error}", "remove it; then disks must be as large as they were") from error


def refuse(run: Run, assignment: Assignment) -> None:
    """Raise `Refused` for an assignment that cannot be, or whose questions nobody is there to answer."""
    example = next((m.recorded for m in assignment.matches if not m.sure), None)
    serials = Counter(match.recorded.serial for match in assignment.matches)
    alone = example is not None and serials[example.serial] == 1
    advice = ANSWER.format(disk=(example.serial * alone or example.wwn or example.device) if example else "SERIAL")
    if assignment.problems:
        spare = "; ".join(f"{path}: {reason}" for path, reason in assignment.spare.items())
        raise Refused("; ".join(assignment.problems) + (f". Disks not used: {spare}" if spare else ""), advice)
    at_risk = [match for match in assignment.questions if match.loses]
    if at_risk and not questions.is_interactive(run):
        raise Refused(
            f"the data on the disk would be lost, and this run is unattended: {'; '.join(map(str, at_risk))}",
            f"{advice}; GIVE_UP=( ... ) names what may be lost, KEEP_IN_PLACE=yes recreates only the rest",
        )
    if assignment.questions and not questions.is_interactive(run):
        open_questions = "; ".join(map(str, assignment.questions))
        raise Refused(f"rear is not certain which disk is meant, and this run is unattended: {open_questions}", advice)


def ask(run: Run, match: Match, spare: Mapping[str, str]) -> str:
    """The disk that the user wants, or `none`; one that holds something has to be typed out."""
    holds = match.loses or any(reason.startswith("it holds") for reason in match.reasons)
    print(f"\n{visible(str(match))}", file=sys.stderr)
    for path, state in spare.items():
        print(visible(f"  also here: {path} ({state})"), file=sys.stderr)
    proposal = "" if holds else match.path
    default = f" [{proposal}]" if proposal else f" (type {match.path} to overwrite it) [quit]"
    keep = ", keep (to recreate only the rest)" if match.loses else ""
    question = f"Which disk becomes {recorded_as(match.recorded)}? A path{keep}, none, or quit{default}: "
    answer = questions.ask(run, question, quits=QUITS) or proposal
    if not answer or answer.lower() in questions.NO:
        raise Interrupted(QUITS)
    return answer.lower() if answer.lower() in (NONE, KEEP) else _device(answer)
