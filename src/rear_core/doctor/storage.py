# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of the storage: what a recovery cannot make again or give back, disks that fail, room for the next backup."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .. import records
from ..archive.progress import size
from ..errors import RearError
from ..health.checks import SAVING, State, of_methods
from ..mounts import unescaped
from .examination import Probe, Problem, work_area

if TYPE_CHECKING:
    from ..run import Run
    from ..storage.layout import Layout

AFTERWARDS = "note it for the recovery: it has to be set by hand then"
SAVE_OTHERWISE = "save it by other means, or leave its disk out with EXCLUDE_DEVICES: then a recovery does not touch it"


def describe(run: Run) -> Iterator[Problem]:
    """Describe the storage as `rear savelayout` does, and keep it for the other checks."""
    from ..builtin.storage import capture_layout, kinds
    from ..storage.command import Site
    from ..storage.disk import Disk
    from ..storage.fate import Exclusions, unknown_names
    from ..storage.kinds import notes, refusals
    from ..storage.spared import with_backups_noted

    layout = run.layout = with_backups_noted(run, capture_layout(run))
    for entry in layout.left_out:
        if entry.lost:
            yield Problem(State.WARNING, f"{entry.name} does not come back: {entry.reason}", SAVE_OTHERWISE)
    for name in unknown_names(layout, Exclusions.of(run.settings)):
        yield Problem(State.WARNING, f"{name}: nothing here has this name", "correct it; `rear layout show` has names")
    site = Site(layout, {item.id: item.device for item in layout.of(Disk)})
    for problem in refusals(site, kinds(run)):
        yield Problem(State.CRITICAL, problem, "EXCLUDE_DEVICES leaves a disk out, with everything on it")
    for note in notes(site, kinds(run)):
        yield Problem(State.WARNING, note, AFTERWARDS)
    disks = " ".join(item.device for item in layout.of(Disk)) or "no disks"
    yield Problem(State.OK, f"{disks} with {len(layout)} parts can be described")


def described(run: Run) -> Layout:
    """The storage; an error that says so where `describe` has failed."""
    if run.layout is None:
        raise RearError("the storage could not be described")
    return run.layout


def create(run: Run) -> Iterator[Problem]:
    """Try every mkfs of a recovery on files, as when media are made."""
    from ..builtin.stakes import try_filesystems
    from ..storage.mount import why_no_root

    if reason := why_no_root(described(run)):
        yield Problem(State.CRITICAL, f"the root file system is not described: {reason}", "rear cannot recover it")
        return
    work_area(run)
    try_filesystems(run)


def at_stake(run: Run) -> Iterator[Problem]:
    """What a recovery destroys, as it is told when media are made; and whether it would destroy the backup."""
    from ..builtin.backup import check_place_survives
    from ..builtin.stakes import check_patterns, tell_stakes

    described(run)
    check_patterns(run)
    tell_stakes(run)
    check_place_survives(run)
    yield from ()


def files(run: Run) -> Iterator[Problem]:
    """What is mounted and would not be in a backup that is made now."""
    from ..archive import coverage
    from ..archive.backup import selected_beside

    described(run)
    url = run.settings.get("BACKUP_URL")
    folder = Path(url.path) if url and url.scheme == "file" else None
    try:
        selection = selected_beside(run, folder)
    except RearError as error:
        yield Problem(State.CRITICAL, error.message, error.hint)
        return
    left_out = []
    for entry in selection.covered:
        if entry.reason == coverage.NOT_MOUNTED:
            text = f"{entry.name} is not mounted: its files are not saved"
            yield Problem(State.WARNING, text, f"mount it, or name it in EXCLUDE_MOUNTPOINTS: {entry.name}")
        elif coverage.BEHIND_IS_LOST in entry.reason:
            text = f"{entry.name} is not saved: {entry.reason}"
            yield Problem(State.WARNING, text, "name it in BACKUP_PROG_INCLUDE, or save it by other means")
        elif entry.verdict == coverage.EXCLUDED and entry.bytes and entry.reason != coverage.HOLDS_BACKUP:
            left_out.append(f"{entry.name}, {size(entry.bytes)} ({entry.reason})")
    told = f"; left out: {'; '.join(left_out)}" if left_out else ""
    yield Problem(State.OK, f"about {size(selection.bytes)} would be saved{told}")


def room(run: Run) -> Iterator[Problem]:
    """Whether a backup as large as the last one has room in its place."""
    from ..places.opening import free_bytes
    from ..places.room import check_mounted

    url = run.settings.get("BACKUP_URL")
    known = of_methods(records.load(run.var_dir), run.settings["BACKUP"])
    made = next((one for one in reversed(known) if one.done and one.command in SAVING), None)
    needed = sum(entry.size for entry in made.saved) if made else 0
    if not url or not needed:
        yield Problem(State.OK, "no backup in BACKUP_URL says how much the next one takes")
        return
    work_area(run)
    check_mounted(run, url, "BACKUP_URL")
    free = free_bytes(run, url, run.settings.get("BACKUP_OPTIONS", ""))
    if free is None:
        yield Problem(State.OK, f"only the server knows what {url} has free")
        return
    if free < needed:
        yield Problem(
            State.WARNING,
            f"{url} has {size(free)} free, the last backup took {size(needed)}",
            "make room there, or keep fewer backups (BACKUP_KEEP)",
        )
    yield Problem(State.OK, f"{url} has {size(free)} free, the last backup took {size(needed)}")


def health(run: Run) -> Iterator[Problem]:
    """What disks say of themselves, where smartctl is installed."""
    from ..storage.disk import Disk

    if not run.sh.which("smartctl"):
        yield Problem(State.OK, "not asked: smartctl is not installed")
        return
    asked = []
    for disk in described(run).of(Disk):
        device = unescaped(disk.device)
        # Its exit status is a set of bits, of which some only say that a disk has no SMART (smartctl(8)).
        outcome = run.sh.run("smartctl", "--json", "--health", device, ok=range(256), timeout=30)
        try:
            passed = json.loads(outcome.stdout)["smart_status"]["passed"]
        except (ValueError, LookupError, TypeError):
            continue
        asked.append(device)
        if passed is False:
            text = f"{disk} is failing, as it says itself (`smartctl --all {device}`)"
            yield Problem(State.CRITICAL, text, "run `rear mkbackup` now, then replace the disk")
    yield Problem(State.OK, f"{' '.join(asked)}: passed" if asked else "no disk has SMART")


BEFORE = (Probe("storage", "", describe, "correct it, or leave the disk out with EXCLUDE_DEVICES", seconds=600),)
AFTER = (
    Probe("create", "each file system can be created again", create, seconds=600),
    Probe("at-stake", "a recovery destroys nothing that is not saved", at_stake),
    Probe("files", "", files, "correct it, so that all files can be saved"),
    Probe("room", "", room),
    Probe("disks", "", health),
)
