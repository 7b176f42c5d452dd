# SPDX-License-Identifier: GPL-3.0-or-later
"""Recreates the storage as it was planned: stops and erases what is there, builds, mounts, and compares."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import RearError, Refused
from ..hookspecs import hookimpl
from ..settings.model import Setting
from ..step import Step
from ..storage import passphrases
from .existing import described
from .planning import check_description, check_tools, load_description, make_plan, recovery_plan
from .resuming import identifiers, is_built, journal_path
from .storage import kinds, recorded_layout

if TYPE_CHECKING:
    from ..run import Run
    from ..storage.command import Command
    from ..storage.layout import Item


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
        "MBR_TO_GPT", bool, default=False,
        help="Whether a recovery creates a GPT in the place of an MBR on a disk that is larger than an MBR can address"
        " (2 TiB with sectors of 512 bytes). Partitions keep their numbers; their PARTUUIDs change. For GRUB, which"
        " gets a BIOS boot partition where it needs one.",
    )  # fmt: skip
    yield Setting(
        "LUKS_PASSPHRASE", str, secret=True, environment=True,
        help="New passphrase for all LUKS volumes that recover creates. If not set, recover asks for one for each"
        " volume. rear never puts it on the rescue media: for an unattended recovery, set it in the rescue system or"
        " in the environment.",
    )  # fmt: skip


@hookimpl
def rear_verify(run: Run) -> Iterable[Step]:
    from ..archive import headers

    if "recreate" in run.phases:
        yield Step(5, "Read the description of the storage", load_description)
        yield Step(10, "Check that the root file system is described", check_description)
        yield Step(15, "Choose the disks and plan the storage", make_plan)
        yield Step(20, "Check that the storage tools are installed", check_tools)
        # Where headers come with the backup, their passphrases are those of its time.
        yield Step(45 if headers.wanted(run) else 25, "Get the passphrases", get_passphrases)
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


def get_passphrases(run: Run) -> None:
    """Have a passphrase for every LUKS volume that is made; volumes that a run before this one has made have theirs."""
    from ..storage.plan import with_headers

    if run.plan and run.headers and not is_built(run):
        run.plan = with_headers(run.plan, run.headers, kinds(run))
    if run.plan is None or is_built(run):
        return
    for volume in run.plan.volumes:
        if volume.id in run.headers and volume.id not in run.passphrases:
            _get_old(run, volume, run.headers[volume.id])
    passphrases.get_new(run, run.plan.volumes)


def _get_old(run: Run, volume: Item, header: Path) -> None:
    """Have a passphrase that opens a volume by its old header."""
    from ..storage.kinds import header_keeper

    keeper = header_keeper(volume, kinds(run))
    assert keeper is not None

    def opens(word: str) -> bool:
        if keeper.opens(run.sh, header, word):
            run.passphrases[volume.id] = word
        return volume.id in run.passphrases

    try:
        passphrases.unlock(run, volume, opens)
    except Refused as error:
        raise Refused(error.message, f"{error.hint}; with LUKS_HEADER_BACKUP=no it gets a new one") from error


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
    from .inspection import look

    made = recovery_plan(run)
    # A run that was killed has left its own there, /dev and /proc too.
    release(run.sh, unmount_below(run.target), run.report.detail)
    if is_built(run):
        run.writing = True
        return
    assert run.held is not None
    run.held.drop_caches()
    machine = look(run, recorded_layout(run), lock=False)
    run.held.check(machine, disks_of_urls(run, machine))
    run.erased = machine
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
    journal.note(plan=made.id, state="built", holds=identifiers(run, made))


def mount(run: Run) -> None:
    """Mount everything below the target, until the run ends; set `run.rebuilt`."""
    from ..storage.execute import Journal, execute

    made = recovery_plan(run)
    run.undo.callback(unmount, run)
    execute(run.sh, made.mount, tell=run.report.detail)
    Journal(journal_path(run)).note(backup=run.backup_name)
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

    from ..storage.activate import readable
    from ..storage.in_place import visible
    from ..storage.layout import make
    from ..storage.outcome import outcome, renamed

    made, rebuilt = recovery_plan(run), run.rebuilt
    assert rebuilt is not None
    try:
        resting = make(item for item in made.site.layout if item.id in made.in_place)
        # What stays and nothing stands on that is new does not run.
        with readable(run.sh, resting, kinds(run), run.report.detail):
            now = described(run, made.mapping, made.site.layout)
        now = renamed(now, made.ids)
        identifiers, differences = outcome(visible(made.site.layout, made.in_place, now), now)
    except RearError as error:
        # The storage is there all the same; only nobody knows how well it was copied.
        run.report.warn(f"cannot compare the storage with the recorded one: {error.message}")
        return
    for line in differences:
        run.report.say(f"Differs: {line}")
    run.recovery.differences += differences
    run.rebuilt = replace(
        rebuilt, changed_identifiers={**made.identifiers, **identifiers}, differences=tuple(differences)
    )


def after_restore(run: Run) -> None:
    """Swap files, and what becomes read-only: the system starts without what cannot be made."""
    from ..storage.execute import execute

    for name, commands in recovery_plan(run).later.items():
        try:
            execute(run.sh, commands, tell=run.report.detail)
        except RearError as error:
            run.report.warn(f"{name}: {error.message}")
            run.recovery.differences.append(f"{name}: {error.message}")
