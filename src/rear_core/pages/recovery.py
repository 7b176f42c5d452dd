# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages of recoveries: what one would do to the disks, and what one has done."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..storage.disk import Disk
from ..storage.layout import Item, Layout, of_type
from ..storage.mapping import recorded_as
from ..storage.plan import Plan
from ..storage.present import Machine
from ..storage.same_plan import SHOWN
from ..storage.script import joined
from . import render
from .bars import Picture
from .layout import hostname
from .storage import as_recorded, found, pictures
from .times import spans

if TYPE_CHECKING:
    from ..run import Run

KEPT = "kept in place"


@dataclass(frozen=True)
class View:
    """A picture of one time: `when` is its caption, and by `page` its links find the others of that time."""

    when: str
    page: str
    picture: Picture


@dataclass(frozen=True)
class Block:
    """A disk, or what lies on several, at all times that are known."""

    title: str
    views: tuple[View, ...]


def plan_page(run: Run, made: Plan, machine: Machine, disks: Sequence[str], id: str) -> str:
    """What a plan with this id would do, as HTML; `disks` say what becomes of each."""
    chapters = (
        ("Take down", made.teardown), ("Create", made.build), ("Mount", made.mount), ("After the files", made.restored),
    )  # fmt: skip
    return render(
        "plan.html.j2",
        hostname=hostname(run),
        plan=id,
        disks=disks,
        blocks=blocks(run.layout or made.site.layout, machine, made, ("Now on it", "After the recovery")),
        alone=left_alone(machine, made),
        chapters=[(title, [(one, joined(one.argv)) for one in commands]) for title, commands in chapters if commands],
        notes=made.notes,
    )


def report_page(run: Run, facts: Mapping[str, str]) -> str:
    """What a recovery came to, as HTML; `facts` are the `hostname`, the `backup` and the `date`."""
    made = run.plan
    times = ("Found on it by the recovery", "After the recovery")
    return render(
        "recovery.html.j2",
        facts=facts,
        recovery=run.recovery,
        plan=run.recovery.plan[:SHOWN],
        spans=spans(run.recovery.seconds),
        blocks=blocks(run.layout, run.erased, made, times) if made and run.layout else [],
        alone=left_alone(run.erased, made) if made and run.erased else [],
        resumed=bool(made and run.erased is None),
    )


def blocks(before: Layout, here: Machine | None, made: Plan, times: tuple[str, str]) -> list[Block]:
    """Each disk that a plan takes, and what is made on several of them: as it was recorded, as it is found here, and as
    it is made. `times` are the captions of the last two."""
    was = pictures(as_recorded(before))
    now = pictures(made.site, lambda id: KEPT if id in made.in_place else "")
    present = found(here, made.mapping.values(), made.cleared) if here else {}

    on = {id: [made.mapping[disk] for disk in _disks(id, made, {*was, *now})] for id in dict.fromkeys([*now, *was])}

    def views(id: str) -> Iterator[View]:
        if id in was:
            yield View("Before, as it was recorded", "was", was[id])
        yield from (View(times[0], "found", present[path]) for path in on[id] if path in present)
        if id in now:
            yield View(times[1], "is", now[id])

    return [Block(_title(before.get(id) or made.site.layout[id], paths), tuple(views(id))) for id, paths in on.items()]


def _disks(id: str, made: Plan, roots: Collection[str]) -> list[str]:
    """The disks that are drawn in a picture: the one that it is of, or one that is reached through what it is of."""
    layout = made.site.layout
    return [
        disk for disk in made.mapping if disk == id or (disk not in roots and id in {i.id for i in layout.below(disk)})
    ]


def _title(item: Item, paths: Sequence[str]) -> str:
    """A disk, and which one takes its place; of what lies on several just what it is."""
    path = " ".join(paths)
    if item.needs:
        return f"{item}"
    names = [recorded_as(disk, path) for disk in of_type([item], Disk)] or [f"{item}"]
    return f"{names[0]} → {path or 'nothing: left out'}"


def left_alone(here: Machine, made: Plan) -> list[View]:
    """The disks that are here and not taken."""
    taken = {*made.mapping.values()}
    return [
        View(path, "alone", picture)
        for path, picture in found(here, {disk.path for disk in here.disks} - taken, made.cleared).items()
    ]
