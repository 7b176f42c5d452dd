# SPDX-License-Identifier: GPL-3.0-or-later
"""Recreates the storage: finds the disks, plans, asks for passphrases, builds, mounts, and compares."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigurationError, RearError, Refused
from ..hookspecs import hookimpl
from ..settings.model import Setting
from ..step import Step
from ..storage import passphrases

if TYPE_CHECKING:
    from ..run import Run
    from ..storage.command import Command
    from ..storage.fate import Stake
    from ..storage.in_place import InPlace
    from ..storage.kinds import Starting
    from ..storage.layout import Layout
    from ..storage.mapping import Assignment
    from ..storage.plan import Plan
    from ..storage.present import Machine


def _pairs(values: Iterable[str]) -> str:
    answers: dict[str, str] = {}
    for word in values:
        name, _, answer = word.partition("=")
        if not name or not (answer.startswith("/") or answer.lower() == "none"):
            return f"must be words like serial=/dev/sdx or serial=none, not {word!r}"
        if answers.setdefault(name, answer) != answer:
            return f"has two answers for {name}: {answers[name]} and {answer}"
    return ""


@hookimpl
def rear_settings() -> Iterable[Setting]:
    """Answers to what a recovery may have to ask."""
    yield Setting(
        "DISK_MAPPING", list, check=_pairs,
        help="Which disk replaces which recorded disk, if serial numbers, WWNs or contents do not decide it:"
        " DISK_MAPPING=( S3Z9NB0K=/dev/sdb /dev/sda=/dev/nvme0n1 WD-WX11=none ). Left of the = is the serial number,"
        " the WWN or the recorded path of a disk; none leaves it out, with everything on it. rear never overwrites"
        " disks that hold rescue media or the backup.",
    )  # fmt: skip
    yield Setting(
        "LUKS_PASSPHRASE", str, secret=True, environment=True,
        help="New passphrase for all LUKS volumes that recover creates. If not set, recover asks for one for each"
        " volume. rear never puts it on the rescue media: for an unattended recovery, set it in the rescue system or"
        " in the environment.",
    )  # fmt: skip


@hookimpl
def rear_verify(run: Run) -> Iterable[Step]:
    if "recreate" in run.phases:
        yield Step(5, "Read the description of the storage", load_description)
        yield Step(10, "Check that the root file system is described", check_description)
        yield Step(15, "Choose the disks and plan the storage", make_plan)
        yield Step(20, "Check that the storage tools are installed", check_tools)
        yield Step(25, "Get the passphrases", get_passphrases)
        yield Step(60, "Check what an earlier run has done", check_earlier_run)


@hookimpl
def rear_recreate() -> Iterable[Step]:
    yield Step(20, "Stop and erase what is on the disks", take_down)
    yield Step(50, "Create the storage", build)
    yield Step(80, "Mount the file systems", mount)
    yield Step(90, "Compare the storage with the recorded one", compare)


@hookimpl
def rear_finalize() -> Iterable[Step]:
    yield Step(90, "Create swap files and read-only flags", after_restore)


def load_description(run: Run) -> None:
    """Read recovery/layout.json, which somebody may have edited; `Refused` with the line of what is wrong there."""
    from .storage import load_layout

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
    from ..storage.activate import activate
    from ..storage.disk import Disk
    from ..storage.mapping import STRONG
    from .choice import look
    from .storage import kinds

    ids = in_place.staying(layout, [known[match.recorded.id] for match in assignment.matches if match.keeps])
    sure = {match.recorded.id for match in assignment.matches if match.path and match.score >= STRONG}
    if others := [str(item) for item in layout.of(Disk) if item.id in ids and item.id not in sure]:
        raise Refused(f"what is kept in place is also on {', '.join(others)}, which is missing", in_place.ADVICE)
    active = in_place.carrying(layout, ids)
    activate(active, kinds(run), starting(run, layout, assignment.disks))
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


def recorded_layout(run: Run) -> Layout:
    """The recorded storage."""
    from .storage import load_layout

    if run.layout is None:
        run.layout = load_layout(run)
    return run.layout


def planned(
    run: Run, layout: Layout, assignment: Assignment, machine: Machine, in_place: InPlace | None = None
) -> Plan:
    """The plan for an assignment."""
    from ..rescue.memory import available
    from ..storage.fate import Exclusions, excluded
    from ..storage.in_place import InPlace
    from ..storage.plan import plan
    from .choice import usage
    from .storage import kinds

    # In steps, so that a run after this one plans the same.
    memory = available() >> 28 << 28
    target = os.fspath(run.target)
    gone = excluded(layout, Exclusions.of(run.settings))
    return plan(
        layout, assignment, machine, kinds(run), used=usage(run), memory=memory, target=target, excluded=gone,
        in_place=in_place or InPlace(),
    )  # fmt: skip


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


def get_passphrases(run: Run) -> None:
    """Have a passphrase for every LUKS volume that is made; volumes that a run before this one has made have theirs."""
    passphrases.get_new(run, run.plan.volumes if run.plan and not is_built(run) else ())


def journal_path(run: Run) -> Path:
    """Where it is noted what was done."""
    return run.var_dir / "journal"


def is_built(run: Run) -> bool:
    """Whether an earlier run of this rescue system has built just this plan, and all of it is still there.

    Not when it was going to restore another backup than this run: that one's files would stay among ours.
    """
    from ..storage.execute import Journal, is_block_device

    made, journal = recovery_plan(run), Journal(journal_path(run))
    if journal.built() != made.id or (run.backup and journal.restored() not in ("", run.backup.name)):
        return False
    if not all(is_block_device(device) for command in made.mount for device in command.devices):
        return False
    # A device of the same name may be on another disk by now, or hold something else.
    return journal.holds() in (None, _identifiers(run, made))


def _identifiers(run: Run, made: Plan) -> dict[str, str]:
    """The UUIDs of what a plan mounts, as they are on the devices."""
    from ..storage.inventory import probe

    devices = sorted({device for command in made.mount for device in command.devices})
    return {device: probe(run.sh, device)[1].get("UUID", "") for device in devices}


def check_earlier_run(run: Run) -> None:
    """Say whether it is resumed; now that the backup is known."""
    from ..storage.execute import Journal

    if run.plan is None or Journal(journal_path(run)).built() != run.plan.id:
        return
    if is_built(run):
        run.report.say("An earlier run created the storage; resuming it")
    else:
        run.report.say("Creating the storage again: not everything from the earlier run can be used")
        get_passphrases(run)


def take_down(run: Run) -> None:
    """Make the disks blank; not when a run before this one has built the same and failed later.

    First everything on them is stopped, which loses nothing. `Refused` when one of them is in use even then.
    """
    from ..storage.execute import Journal, check_unused, execute, release
    from ..storage.inventory import read_devices
    from ..storage.spared import disks_of_urls
    from ..storage.teardown import unmount_below
    from .choice import look

    made = recovery_plan(run)
    # A run that was killed has left its own there, /dev and /proc too.
    release(run.sh, unmount_below(run.target), run.report.detail)
    if is_built(run):
        run.writing = True
        return
    assert run.held is not None
    machine = look(run, recorded_layout(run), lock=False)
    run.held.check(machine, disks_of_urls(run, machine))
    release(run.sh, [c for c in made.teardown if not c.destroys and not _is_gone(c)], run.report.detail)
    check_unused(made.cleared, read_devices(run.sh, run.report.log))
    run.writing = True
    journal = Journal(journal_path(run))
    journal.note(plan=made.id, state="begun")
    execute(run.sh, [c for c in made.teardown if c.destroys], journal=journal, tell=run.report.detail)


def _is_gone(command: Command) -> bool:
    return command.argv[0] == "umount" and not os.path.ismount(command.argv[1])


def build(run: Run) -> None:
    """Run the commands that make everything."""
    from ..storage.execute import Journal, execute

    made = recovery_plan(run)
    if is_built(run):
        return
    journal = Journal(journal_path(run))
    execute(run.sh, made.build, journal=journal, passphrases=run.passphrases, tell=run.report.detail)
    journal.note(plan=made.id, state="built", holds=_identifiers(run, made))


def mount(run: Run) -> None:
    """Mount everything below the target, until the run ends; set `run.rebuilt`."""
    from ..storage.execute import Journal, execute

    made = recovery_plan(run)
    run.undo.callback(unmount, run)
    execute(run.sh, made.mount, tell=run.report.detail)
    Journal(journal_path(run)).note(backup=run.backup.name if run.backup else "")
    run.rebuilt = made.rebuilt()


def unmount(run: Run) -> None:
    """Unmount what lies at and below the target, the deepest first."""
    from ..storage.execute import release
    from ..storage.teardown import unmount_below

    for command in unmount_below(run.target):
        try:
            release(run.sh, [command], run.report.detail)
        except RearError as error:
            run.report.warn(f"{command.argv[1]} stays mounted: {error.message}")


def compare(run: Run) -> None:
    """Describe what was built, and note every difference from what was recorded."""
    from dataclasses import replace

    from ..storage.in_place import visible
    from ..storage.outcome import outcome

    made, rebuilt = recovery_plan(run), run.rebuilt
    assert rebuilt is not None
    try:
        now = described(run, made.mapping, made.site.layout)
        identifiers, differences = outcome(visible(made.site.layout, made.in_place, now), now)
    except RearError as error:
        # The storage is there all the same; only nobody knows how well it was copied.
        run.report.warn(f"cannot compare the storage with the recorded one: {error.message}")
        return
    for line in differences:
        run.report.say(f"Differs: {line}")
    run.recovery.differences += differences
    run.rebuilt = replace(rebuilt, changed_identifiers=identifiers, differences=tuple(differences))


def described(run: Run, disks: Mapping[str, str], recorded: Layout | None = None) -> Layout:
    """The storage as it is now, with the recorded ids of the disks; only of technologies that `recorded` uses.

    The rescue system has no tools for the others.
    """
    from ..storage.capture import capture
    from ..storage.disk import Disk
    from ..storage.outcome import renamed
    from .storage import kinds

    used = [kind for kind in kinds(run) if recorded is None or any(type(item) in kind.items for item in recorded)]
    now = capture(run.sh, used, warn=run.report.log, include=sorted(set(disks.values())))
    ids = {path: id for id, path in disks.items()}
    return renamed(now, {item.id: ids[item.device] for item in now.of(Disk) if item.device in ids})


def starting(run: Run, layout: Layout, disks: Mapping[str, str]) -> Starting:
    """How storage that is there is started, with the paths of its disks by id."""
    from ..storage.command import Site
    from ..storage.kinds import Starting

    return Starting(run.sh, run.report.detail, partial(passphrases.unlock, run), Site(layout, disks).device)


def after_restore(run: Run) -> None:
    """Swap files, and what becomes read-only: the system starts without what cannot be made."""
    from ..storage.execute import execute

    for name, commands in recovery_plan(run).later.items():
        try:
            execute(run.sh, commands, tell=run.report.detail)
        except RearError as error:
            run.report.warn(f"{name}: {error.message}")
            run.recovery.differences.append(f"{name}: {error.message}")


def mount_present(run: Run) -> None:
    """Assemble, open and mount what is there already; it stays mounted when the run ends.

    What lies on a disk that a recovery leaves alone, as that with the backup, is left out.
    """
    from ..storage.activate import activate, mounting
    from ..storage.execute import execute
    from ..storage.mount import Mount
    from ..storage.plan import without
    from .choice import decide
    from .storage import kinds

    recorded = recorded_layout(run)
    assignment = decide(run, recorded, takes=False).assignment
    layout = without(recorded, {match.recorded.id for match in assignment.matches if not match.path})
    for mount in recorded.of(Mount):
        if mount.id not in layout:
            run.report.warn(f"{mount} is left out with its disk")
    activate(layout, kinds(run), starting(run, layout, assignment.disks))
    now = described(run, assignment.disks, layout)
    execute(run.sh, mounting(layout, now, assignment.disks, kinds(run), os.fspath(run.target)), tell=run.report.say)
