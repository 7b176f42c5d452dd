# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides with the settings, and where they leave it open with the user, which disk is to become which."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from .. import own_files, questions
from ..errors import Interrupted, Refused
from ..report import visible
from ..storage.at_stake import left_alone
from ..storage.disk import Disk
from ..storage.fate import LOST, SAVED, Stake, given_up_by
from ..storage.layout import Layout
from ..storage.mapping import NONE, STRONG, Assignment, Match, assign, marks, named, recorded_as, score
from ..storage.plan import without
from ..storage.present import Machine
from ..storage.resize import minimum
from ..storage.spared import backup_disks
from .inspection import at_stake_now, look

if TYPE_CHECKING:
    from ..run import Run

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
        machine = look(run, layout)
        return Decision(_confirmed(run, layout, machine, answers, {}, takes=False), machine, {})
    machine, stakes = at_stake_now(run, layout)
    assignment = assigned(run, layout, machine, answers, stakes)
    refuse(run, assignment)
    for disk in replaced(layout, machine, assignment, stakes) if questions.is_interactive(run) else ():
        answers = {**answers, disk.id: ask_for_empty(run, disk, assignment.spare)}
    return Decision(_confirmed(run, layout, machine, answers, stakes), machine, stakes)


def _confirmed(
    run: Run,
    layout: Layout,
    machine: Machine,
    answers: Mapping[str, str],
    stakes: Mapping[str, Stake],
    *,
    takes: bool = True,
) -> Assignment:
    assignment = assigned(run, layout, machine, answers, stakes, takes=takes)
    refuse(run, assignment)
    kept: set[str] = set()
    while assignment.questions:
        match = assignment.questions[0]
        answer, id = ask(run, match, assignment.spare), match.recorded.id
        keeping = {*kept, id} if answer == KEEP else kept
        tried = {**answers, id: match.path if answer == KEEP else answer}
        after = assigned(run, layout, machine, tried, stakes, keeping, takes=takes)
        if (other := after.others.get(answer)) and _may_overwrite(run, answer, other):
            tried = {**tried, other.id: NONE}
            after = assigned(run, layout, machine, tried, stakes, keeping, takes=takes)
        for problem in after.problems:
            print(visible(f"Not possible: {problem}"), file=sys.stderr)
        if not after.problems:
            answers, assignment, kept = tried, after, keeping
    return assignment


def _may_overwrite(run: Run, path: str, other: Disk) -> bool:
    question = f"{path} is {visible(recorded_as(other))} now. Overwrite everything on it"
    return questions.confirm(run, question, default=False, quits=QUITS)


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
    *,
    takes: bool = True,
) -> Assignment:
    """The recorded disks matched with those that are here; those of `kept` keep in place what would be lost."""
    lost = {id: [*map(str, stake.lost)] for id, stake in stakes.items()}
    kept = stakes.keys() if run.settings["KEEP_IN_PLACE"] else kept
    alone, sizes = left_alone(stakes), minimum(layout, usage(run))
    gives_up = "*" in run.settings["GIVE_UP"]
    found = assign(
        layout, machine.disks, sizes, answers, alone=alone, lost=lost, keeps=kept, gives_up=gives_up, takes=takes
    )
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
    what = "use it and keep that" if match.keeps else "overwrite it"
    default = f" [{proposal}]" if proposal else f" (type {match.path} to {what}) [quit]"
    keep = ", keep (to recreate only the rest)" if match.loses else ""
    question = f"Which disk becomes {recorded_as(match.recorded)}? A path{keep}, none, or quit{default}: "
    answer = questions.ask(run, question, quits=QUITS) or proposal
    if not answer or answer.lower() in questions.NO:
        raise Interrupted(QUITS)
    return answer.lower() if answer.lower() in (NONE, KEEP) else _device(answer)
