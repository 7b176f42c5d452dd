# SPDX-License-Identifier: GPL-3.0-or-later
"""Which disk of this machine takes the place of which recorded one: by identity, scored, with reasons."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

from .compare import human_size
from .disk import Disk
from .inventory import NETWORK_TRANSPORTS, is_same_disk
from .layout import Item, Layout
from .marks import mark, unrecorded
from .present import PresentDisk

# From here on a match needs no question, unless another disk matches as well.
STRONG = 80
NONE = "none"


@dataclass(frozen=True)
class Match:
    """A recorded disk and the one that takes its place, "" for none; unless it is `sure`, it is a question.

    The disk is the recorded one, and `loses` what does not come back, or `keeps` that in its place. The recorded one is
    `overwritten` where it was chosen for another.
    """

    recorded: Disk
    path: str = ""
    score: int = 0
    reasons: tuple[str, ...] = ()
    sure: bool = False
    loses: bool = False
    keeps: bool = False
    overwritten: bool = False

    def __str__(self) -> str:
        return f"{recorded_as(self.recorded, self.path)} -> {self.path or 'nothing'} ({', '.join(self.reasons)})"


@dataclass(frozen=True)
class Assignment:
    """A match for every recorded disk, and why that cannot be.

    `spare` says of each disk that is not used why it is not. `others` are the recorded disks, by the paths that were
    chosen for another one, of which nobody has said that they may be overwritten.
    """

    matches: tuple[Match, ...]
    spare: Mapping[str, str]
    problems: tuple[str, ...] = ()
    others: Mapping[str, Disk] = field(default_factory=dict)

    @property
    def questions(self) -> tuple[Match, ...]:
        """The matches that somebody has to confirm."""
        return tuple(match for match in self.matches if not match.sure)

    @property
    def disks(self) -> dict[str, str]:
        """The paths by the ids of the recorded disks, without those that are left out."""
        return {match.recorded.id: match.path for match in self.matches if match.path}


def recorded_as(disk: Disk, path: str = "") -> str:
    """A recorded disk in words; the name that its device had may be that of another one now, unless it is at `path`."""
    return f"{disk}" if disk.device == path else f"{disk}".replace(f" ({disk.device})", f" (was {disk.device})")


def assign(
    layout: Layout,
    present: Sequence[PresentDisk],
    minimum: Mapping[str, int],
    answers: Mapping[str, str],
    *,
    alone: Mapping[str, str] | None = None,
    lost: Mapping[str, Sequence[str]] | None = None,
    keeps: Collection[str] = (),
    gives_up: bool = False,
    takes: bool = True,
) -> Assignment:
    """Match the recorded disks to present ones.

    `minimum` are the bytes that each recorded disk must have, by id. `answers` name a present disk, or `none`,
    by id, serial number, WWN or recorded path of a disk; they decide whatever the scores say, but never about
    locks and sizes. `alone` says by id why a disk is left alone unless an answer takes it, `lost` what it holds that
    nothing gives back: that, or what came onto it since it was recorded, makes a match a question, unless `keeps` has
    its id; with `gives_up` what came since does not matter. Where nothing `takes` the disks, they are only looked for:
    nothing can be lost, and no blank one will do.
    """
    recorded = layout.of(Disk)
    known_marks = {disk.id: marks(layout, disk) for disk in recorded}
    shared = shared_serials(recorded, present)
    alone, lost = alone or {}, lost or {}
    by_path = {disk.path: disk for disk in present}
    problems: list[str] = []
    others: dict[str, Disk] = {}
    found: dict[str, Match] = {}

    def came_onto(disk: Disk, here: PresentDisk) -> frozenset[str]:
        # A layout of before has no marks of disks.
        then = disk.marks or recorded_marks(layout)
        return frozenset() if gives_up or not takes else unrecorded(here.marks | here.inside, then)

    for disk in recorded:
        if disk.id in alone:
            found[disk.id] = Match(disk, reasons=(alone[disk.id],), sure=True)
    answered = dict(_answered(recorded, answers, problems))
    for disk, answer in answered.items():
        found[disk.id] = _explicit(disk, answer, by_path, minimum, problems)
    chosen_for = [disk for disk in answered if found[disk.id].path]
    for disk in chosen_for:
        here = by_path.get(found[disk.id].path)
        if here is None:
            continue
        elsewhere = any(score(disk, it, known_marks[disk.id], shared)[0] >= STRONG for it in present if it is not here)
        for other in _others_known_by(here, disk, chosen_for, recorded, known_marks, shared):
            if other not in answered:
                problems.append(_mistaken(disk, here, other, elsewhere=elsewhere))
                others[here.path] = other
            if other.id in found:
                chosen = f"{here.path} was chosen for {recorded_as(disk)}"
                found[other.id] = Match(other, reasons=(chosen,), sure=True, overwritten=True)
        if disk.id in keeps and lost.get(disk.id) and known_marks[disk.id] & here.marks:
            match = _careful(found[disk.id], here, lost[disk.id], came_onto(disk, here), keep=True)
            found[disk.id] = match
            if not match.keeps:
                why = match.reasons[-1]
                problems.append(f"{here.path} was chosen for {recorded_as(disk)} and is to be kept, but {why}")
    taken = {match.path for match in found.values() if match.path}
    for path in sorted(taken):
        if len(twice := [recorded_as(match.recorded) for match in found.values() if match.path == path]) > 1:
            problems.append(f"{path} was chosen for {' and for '.join(twice)}")

    def candidates_for(disk: Disk) -> list[str]:
        free = (p for p in present if p.path not in taken and not (p.locked or p.contents) and _may_be_guessed(p))
        return [p.path for p in free if p.size >= minimum[disk.id]]

    for match in _strong(recorded, present, known_marks, minimum, shared):
        if match.recorded.id not in found and match.path not in taken:
            blank = candidates_for(match.recorded) if takes else []
            match = _rather_blank(match, by_path[match.path], blank, shared)
            here, id = by_path[match.path], match.recorded.id
            found[id] = _careful(match, here, lost.get(id, ()), came_onto(match.recorded, here), keep=id in keeps)
            taken.add(match.path)
    open_disks = [disk for disk in recorded if disk.id not in found]
    # What is sure to be another recorded disk, is locked or can be pulled out is never a guess.
    candidates = [p for p in present if p.path not in taken and not p.locked]
    candidates = [p for p in candidates if not any(is_same_disk(p, by_path[t]) for t in taken & by_path.keys())]
    # What a network brings is no place for what was on a disk of the machine's own.
    foreign = {*NETWORK_TRANSPORTS} - {disk.transport for disk in recorded}
    candidates = [p for p in candidates if p.transport not in foreign]
    guesses = [c for c in candidates if _may_be_guessed(c)] if takes else []
    for match in _weak(open_disks, guesses, minimum, shared):
        found[match.recorded.id] = match
    for disk in open_disks:
        if disk.id not in found:
            problems.append(_no_place(disk, minimum[disk.id], [p for p in present if p.path not in taken]))
    matches = tuple(found[disk.id] for disk in recorded if disk.id in found)
    taken = {match.path for match in matches}
    problems += [
        f"{one.path} and {other.path} are the same disk by their WWN and serial number: only one can be taken"
        for one, other in combinations((p for p in present if p.path in taken), 2)
        if is_same_disk(one, other)
    ]
    spare = {p.path: p.locked or p.spared or p.contents or "blank" for p in present if p.path not in taken}
    return Assignment(matches, spare, tuple(problems), others)


def _rather_blank(match: Match, here: PresentDisk, blank: Sequence[str], shared: frozenset[str]) -> Match:
    """The match, as a question where only its contents are those of the disk, as those of a copy are, and a blank disk
    would do as well."""
    disk = match.recorded
    another = bool(disk.wwn and here.wwn and disk.wwn != here.wwn) or bool(
        disk.serial and here.serial and disk.serial != here.serial
    )
    if not another or not blank or score(disk, here, shared=shared)[0] >= STRONG:
        return match
    reason = f"another serial number or WWN, and blank instead: {', '.join(blank)}"
    return replace(match, reasons=(*match.reasons, reason), sure=False)


def _careful(match: Match, present: PresentDisk, lost: Sequence[str], came: frozenset[str], *, keep: bool) -> Match:
    """The match, as a question when the disk holds what would not be there again afterwards."""
    if present.remains and lost:
        match = replace(match, reasons=(*match.reasons, "its table or signature is lost, but not the data behind it"))
    elif lost and present.holds and keep and not came:
        return replace(match, reasons=(*match.reasons, f"it keeps: {'; '.join(lost)}"), keeps=True)
    reasons = [f"it would lose: {'; '.join(lost)}"] if lost and (present.holds or present.remains) else []
    if came:
        where = "" if came & present.marks else ", and in a volume that does not run something else"
        reasons.append(f"it holds something that was not recorded: {present.holds}{where}")
    loses = bool(reasons)
    if not match.sure and present.contents and not loses:
        reasons.append(f"it holds {present.contents}")
    return replace(match, reasons=(*match.reasons, *reasons), sure=match.sure and not loses, loses=loses)


def recorded_marks(layout: Layout) -> frozenset[str]:
    """The identifiers of all that is recorded, on whatever disk."""
    return frozenset(mark(uuid) for item in layout if (uuid := getattr(item, "uuid", "")))


def shared_serials(recorded: Iterable[Disk], present: Iterable[PresentDisk]) -> frozenset[str]:
    """The serial numbers that several disks have: the namespaces of an NVMe controller, disks behind one bridge."""
    counts = [Counter(disk.serial for disk in disks) for disks in (recorded, present)]
    return frozenset(serial for count in counts for serial, times in count.items() if serial and times > 1)


def score(
    recorded: Disk,
    present: PresentDisk,
    known: frozenset[str] = frozenset(),
    shared: frozenset[str] = frozenset(),
) -> tuple[int, tuple[str, ...]]:
    """How well a present disk fits the identity of a recorded one, and why.

    A WWN says more than a serial number, which is none where several disks have it, and no proof against another WWN.
    """
    found: list[tuple[int, str]] = []
    if recorded.wwn and recorded.wwn == present.wwn:
        found.append((100, "same WWN"))
    if recorded.serial and recorded.serial == present.serial:
        other = bool(recorded.wwn and present.wwn and recorded.wwn != present.wwn)
        weak = "another WWN" if other else "a generic one" if is_generic(present.serial) else "which several disks have"
        strong = not other and not is_generic(present.serial) and present.serial not in shared
        found.append((90, "same serial number") if strong else (30, f"same serial number, {weak}"))
    if known & present.marks:
        found.append((80, "it holds what is recorded for this disk"))
    same_size, same_model = recorded.size == present.size, bool(recorded.model) and recorded.model == present.model
    same_bus = recorded.transport == present.transport
    if same_size:
        found.append((20, "same size"))
    if same_model:
        found.append((15, "same model"))
    if same_bus and same_model:
        found.append((5, f"same bus ({present.transport})" if present.transport else "same bus"))
    best = max((points for points, _ in found), default=0)
    total = best if best >= STRONG else sum(points for points, _ in found)
    if not found:
        size = human_size(present.size)
        found = [(1, f"larger: {size}" if present.size > recorded.size else f"smaller, but all fits: {size}")]
        total = 1
    return total, tuple(reason for _, reason in found)


def is_generic(serial: str) -> bool:
    """Whether it is one that many disks have: QEMU's own, Proxmox's for the places of disks, or a blank."""
    return re.fullmatch(r"QM\d{5}|0+|0123456789ABCDEF|drive-\w+|", serial) is not None


def is_nameless(disk: Disk | PresentDisk) -> bool:
    """Whether nothing but its contents tells it from another one of its size."""
    return not disk.wwn and is_generic(disk.serial)


def marks(layout: Layout, disk: Disk) -> frozenset[str]:
    """The identifiers that lie on a disk alone: of its table, its partitions and their contents."""
    above = {disk.id}
    items: list[Item] = []
    for item in layout.order():
        if item.needs and above.issuperset(item.needs):
            above.add(item.id)
            items.append(item)
    # A UUID of a partition in an MBR follows from that of the table; short ones are no proof.
    found = {mark(uuid) for item in items if (uuid := getattr(item, "uuid", ""))}
    return frozenset(uuid for uuid in found if len(uuid) >= 8)


def _others_known_by(
    here: PresentDisk, disk: Disk, chosen_for: Collection[Disk], recorded: Sequence[Disk],
    known: Mapping[str, frozenset[str]], shared: frozenset[str],
) -> list[Disk]:  # fmt: skip
    """The recorded disks for which no path was chosen, and that a chosen one is rather than that for which it was."""
    own = score(disk, here, known[disk.id], shared)[0]
    points = {other: score(other, here, known[other.id], shared)[0] for other in recorded if other not in chosen_for}
    return [other for other, its in points.items() if its >= STRONG and its > own]


def _mistaken(disk: Disk, here: PresentDisk, other: Disk, *, elsewhere: bool) -> str:
    renamed = f", and {recorded_as(disk)} has another name" if elsewhere else ""
    return (
        f"{here.path} was chosen for {recorded_as(disk)}, but it is {recorded_as(other)} now{renamed};"
        f" if {here.path} is to be overwritten, add {other.wwn or other.serial or other.device}=none"
    )


def named(recorded: Sequence[Disk], name: str) -> list[Disk]:
    """The recorded disks that a word of DISK_MAPPING means: several where they share a serial number."""
    found = [disk for disk in recorded if name in (disk.id, disk.id.partition(":")[2], disk.wwn, disk.device)]
    return found or [disk for disk in recorded if name == disk.serial]


def _answered(recorded: Sequence[Disk], answers: Mapping[str, str], problems: list[str]) -> Iterator[tuple[Disk, str]]:
    for name, answer in answers.items():
        found = named(recorded, name)
        if not found:
            problems.append(f"no disk {name} is recorded, there are {', '.join(map(recorded_as, recorded))}")
        elif len(found) > 1:
            problems.append(
                f"{name} is the serial number of {' and of '.join(map(recorded_as, found))}: name a WWN or a path"
            )
        else:
            yield found[0], answer


def _explicit(
    disk: Disk, answer: str, by_path: Mapping[str, PresentDisk], minimum: Mapping[str, int], problems: list[str]
) -> Match:
    if answer == NONE:
        return Match(disk, reasons=("left out, as requested",), sure=True)
    present = by_path.get(answer)
    if present is None:
        problems.append(f"there is no disk {answer}, which was chosen for {recorded_as(disk)}")
    elif present.locked:
        problems.append(f"{answer} was chosen for {recorded_as(disk)}, but {present.locked}")
    elif present.size < minimum[disk.id]:
        problems.append(f"{answer} was chosen for {recorded_as(disk)}, but {_too_small(present, minimum[disk.id])}")
    return Match(disk, answer, 100, ("as chosen",), sure=True)


def _strong(
    recorded: Sequence[Disk], present: Sequence[PresentDisk], known: Mapping[str, frozenset[str]],
    minimum: Mapping[str, int], shared: frozenset[str],
) -> list[Match]:  # fmt: skip
    """The pairs that know each other, best first; where two are as good, neither is sure."""
    pairs = [
        Match(disk, p.path, *score(disk, p, known[disk.id], shared), sure=True)
        for disk in recorded
        for p in present
        # A clone on a removable disk carries the same identifiers.
        if not p.locked
        and p.size >= minimum[disk.id]
        and (_may_be_guessed(p) or score(disk, p, shared=shared)[0] >= STRONG)
    ]
    pairs = sorted((pair for pair in pairs if pair.score >= STRONG), key=lambda pair: -pair.score)
    chosen: list[Match] = []
    for pair in pairs:
        rivals = [
            other
            for other in pairs
            if other is not pair and other.score == pair.score
            and (other.path == pair.path) != (other.recorded.id == pair.recorded.id)
        ]  # fmt: skip
        if pair.recorded.id in {match.recorded.id for match in chosen} or pair.path in {m.path for m in chosen}:
            continue
        tie = ("but " + " and ".join(sorted({r.path for r in rivals} | {pair.path})) + " match as well",)
        chosen.append(Match(pair.recorded, pair.path, pair.score, pair.reasons + tie * bool(rivals), not rivals))
    return chosen


def _weak(
    recorded: Sequence[Disk], candidates: Sequence[PresentDisk], minimum: Mapping[str, int], shared: frozenset[str]
) -> list[Match]:
    """Pairs by likeness for disks that nobody knows.

    Sure only where nothing can be lost and nothing is left to choose: as many candidates as are needed, or ones
    of just the right size, and all of them blank.
    """
    pairs = _paired(recorded, candidates, minimum, shared)
    blank = not any(present.contents for _, present in pairs)
    sizes = {disk.size for disk, _ in pairs}
    exact = all(disk.size == present.size for disk, present in pairs)
    of_these_sizes = [present for present in candidates if present.size in sizes]
    sure = blank and len(pairs) == len(recorded) and (
        len(candidates) == len(recorded) or (exact and len(of_these_sizes) == len(recorded))
    )  # fmt: skip
    found = []
    for disk, present in pairs:
        points, reasons = score(disk, present, shared=shared)
        state = f"it holds {present.contents}" if present.contents else "blank"
        found.append(Match(disk, present.path, points, (*reasons, state), sure))
    return found


def _paired(
    recorded: Sequence[Disk], candidates: Sequence[PresentDisk], minimum: Mapping[str, int], shared: frozenset[str]
) -> list[tuple[Disk, PresentDisk]]:
    """The best pairs first; those that are alike in the order of their sizes and names."""

    def rank(disk: Disk, here: PresentDisk) -> tuple[int, bool, int, int, str, str]:
        points = score(disk, here, shared=shared)[0]
        return -points, bool(here.contents), abs(here.size - disk.size), disk.size, disk.device, here.path

    possible = [(rank(disk, p), disk, p) for disk in recorded for p in candidates if p.size >= minimum[disk.id]]
    found: dict[str, tuple[Disk, PresentDisk]] = {}
    for _, disk, present in sorted(possible, key=lambda entry: entry[0]):
        if disk.id not in found and present.path not in {p.path for _, p in found.values()}:
            found[disk.id] = disk, present
    if len(found) < len(recorded) <= len(candidates):
        # The nearest sizes first has left a large disk without a place: largest to largest always works, if any does.
        ordered = sorted(recorded, key=lambda disk: (-minimum[disk.id], disk.device))
        largest = sorted(candidates, key=lambda p: (-p.size, p.path))
        pairs = list(zip(ordered, largest))
        if all(present.size >= minimum[disk.id] for disk, present in pairs):
            return pairs
    return list(found.values())


def _may_be_guessed(present: PresentDisk) -> bool:
    return not present.removable and present.transport != "usb" and not present.spared


def _no_place(disk: Disk, minimum: int, others: Sequence[PresentDisk]) -> str:
    reasons = []
    for present in others:
        reason = present.locked or (_too_small(present, minimum) if present.size < minimum else "")
        if reason or not _may_be_guessed(present):
            reason = reason or f"{present.spared or 'a removable disk'}: rear uses it only if you name it"
            reasons.append(f"{present.path}: {reason}")
    return f"no disk can replace {recorded_as(disk)}" + (f" ({'; '.join(reasons)})" if reasons else "")


def _too_small(present: PresentDisk, minimum: int) -> str:
    return f"it has {human_size(present.size)}, the recovery needs {human_size(minimum)}"
