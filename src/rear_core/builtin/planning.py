# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans the storage of a recovery: reads its description, has the disks chosen, and refuses what could not work."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..errors import ConfigurationError, RearError, Refused
from .existing import described, starting
from .storage import kinds, load_layout, recorded_layout

if TYPE_CHECKING:
    from ..run import Run
    from ..storage.additions import Addition
    from ..storage.fate import Stake
    from ..storage.in_place import InPlace
    from ..storage.layout import Layout
    from ..storage.mapping import Assignment
    from ..storage.plan import Plan
    from ..storage.present import Machine


def load_description(run: Run) -> None:
    """Read recovery/layout.json, which somebody may have edited; `Refused` with the line of what is wrong there."""
    try:
        run.layout = load_layout(run)
    except ConfigurationError as error:
        raise Refused(error.message, error.hint) from error


def check_description(run: Run) -> None:
    """Refuse to recover what was described without its root file system: all files would be restored into memory."""
    from ..storage.mount import why_no_root

    if reason := why_no_root(recorded_layout(run)):
        raise Refused(
            f"the description has no root file system: {reason}",
            "nothing was written; create and mount file systems by hand, then run `rear restoreonly`",
        )


def make_plan(run: Run) -> None:
    """Decide which disk is to become which, and set `run.plan`; `Refused` when that cannot be or stays open."""
    from ..storage.held import HeldDisks
    from .choice import decide

    if run.layout is None:
        return
    layout = run.layout
    assignment, machine, known = decide(run, layout)
    for match in assignment.matches:
        run.report.say(str(match))
        if match.path and known[match.recorded.id].lost and not match.keeps:
            run.report.say(f"  not restored: {'; '.join(map(str, known[match.recorded.id].lost))}")
    keeping = any(match.keeps for match in assignment.matches)
    in_place, machine = kept(run, layout, assignment, known) if keeping else (None, machine)
    run.plan = planned(run, layout, assignment, machine, in_place)
    check_root(layout, run.plan)
    taken = set(run.plan.mapping.values())
    run.held = HeldDisks((disk for disk in machine.disks if disk.path in taken), run.undo)
    for note in run.plan.notes:
        run.report.say(f"Note: {note}")
    if run.plan.hardware_changed:
        run.report.detail("Disks have other names or another kind of bus than before")


def kept(run: Run, layout: Layout, assignment: Assignment, known: Mapping[str, Stake]) -> tuple[InPlace, Machine]:
    """What stays on disks that keep in place what would be lost, active where something stands on it that is made
    again; and the machine as it then is. `Refused` where that cannot be."""
    from ..storage import in_place
    from ..storage.activate import activate, readable
    from ..storage.disk import Disk
    from ..storage.layout import make
    from ..storage.mapping import STRONG
    from .inspection import look

    ids = in_place.staying(layout, [known[match.recorded.id] for match in assignment.matches if match.keeps])
    sure = {match.recorded.id for match in assignment.matches if match.path and match.score >= STRONG}
    if others := [str(item) for item in layout.of(Disk) if item.id in ids and item.id not in sure]:
        absent = f"{', '.join(others)}, which is missing or left alone"
        raise Refused(f"what is kept in place is also on {absent}", in_place.ADVICE)
    active = in_place.carrying(layout, ids)
    activate(active, kinds(run), starting(run, layout, assignment.disks))
    # What nothing is recreated on does not run yet, and would not be seen.
    resting = make(item for item in layout if item.id in ids)
    with readable(run.sh, resting, kinds(run), run.report.detail):
        now = described(run, assignment.disks, layout)
    found = in_place.check(layout, ids, [c for stake in known.values() for c in stake.contents], now)
    return found, look(run, layout, known)


def check_root(recorded: Layout, made: Plan) -> None:
    """Refuse to recover a system without its root file system: all its files would be restored into memory; and one
    that nothing could start, as the disk of its kernels is not there."""
    from ..boot.conversion import missing
    from ..storage.command import Site
    from ..storage.disk import Disk
    from ..storage.mount import why_no_root
    from ..storage.plan import without
    from ..system.firmware import read_firmware

    hint = "choose a disk for it with DISK_MAPPING, or use `rear mountonly`"
    if why_no_root(made.site.layout) and not why_no_root(recorded):
        raise Refused("the disk of the root file system is left out", hint)
    boot = recorded.get("mount:/boot")
    below = Site(recorded, {}).below(boot.id) if boot and boot.id not in made.site.layout else set()
    left_out = {item.id for item in recorded.of(Disk)} - made.mapping.keys()
    if left_out & below:
        raise Refused("the disk of /boot is left out", hint)
    mode = read_firmware().mode
    if not missing(mode, recorded) and (lack := missing(mode, without(recorded, left_out))):
        raise Refused(f"the machine starts from {' and '.join(lack)}, which is on a disk that is left out", hint)


def planned(
    run: Run, layout: Layout, assignment: Assignment, machine: Machine, in_place: InPlace | None = None
) -> Plan:
    """The plan for an assignment; `Refused` where MBR_TO_GPT asks for what cannot be."""
    from dataclasses import replace

    from ..rescue.memory import available
    from ..storage import mbr_to_gpt
    from ..storage.fate import Exclusions, excluded
    from ..storage.in_place import InPlace
    from ..storage.plan import plan
    from .choice import usage

    staying = in_place or InPlace()
    sizes = {id: disk.size for id, path in assignment.disks.items() for disk in machine.disks if disk.path == path}
    large = mbr_to_gpt.too_large(layout, {id: size for id, size in sizes.items() if id not in staying.ids})
    wanted = run.settings["MBR_TO_GPT"]
    converted = mbr_to_gpt.convert(layout, large if wanted else (), sizes)
    if converted.problems:
        raise Refused("; ".join(converted.problems), "remove MBR_TO_GPT from the configuration")
    # In steps, so that a run after this one plans the same.
    memory = available() >> 28 << 28
    target = os.fspath(run.target)
    gone = excluded(layout, Exclusions.of(run.settings))
    made = plan(
        converted.layout, assignment, machine, kinds(run), used=usage(run), memory=memory, target=target, excluded=gone,
        in_place=staying, additions=additions(run, converted.layout, changed=bool(converted.ids)),
    )  # fmt: skip
    unused = (
        [] if wanted else [f"{table} does not reach the end of its disk: MBR_TO_GPT changes that" for table in large]
    )
    notes = (*converted.notes, *unused, *made.notes)
    return replace(made, identifiers=converted.identifiers, ids=converted.ids, notes=notes)


def additions(run: Run, layout: Layout, *, changed: bool = False) -> list[Addition]:
    """What the machine needs to be started by another kind of firmware than before, or from tables that are changed."""
    from ..boot import conversion
    from ..finalize import recorded

    mode = run.system.firmware.mode
    if not (run.recovery_dir / "system.json").is_file():
        return []
    was = recorded.description(run)["system"]["firmware"]["mode"]
    return conversion.additions(mode, layout) if (was != mode or changed) and recorded.usable(run) else []


def recovery_plan(run: Run) -> Plan:
    """The plan that verify has made."""
    if run.plan is None:
        raise RearError(
            "there is no plan for the storage", "this is a fault of the workflow: the phase verify creates it"
        )
    return run.plan


def check_tools(run: Run) -> None:
    """Refuse to begin when a program of the plan is missing."""
    made = run.plan
    if made is None:
        return
    needed = {command.argv[0] for command in (*made.teardown, *made.build, *made.mount, *made.restored)}
    missing = sorted(program for program in needed if run.sh.which(program) is None)
    if missing:
        raise Refused(f"programs are missing: {' '.join(missing)}", run.plugins.install_advice(missing))
