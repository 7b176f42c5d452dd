# SPDX-License-Identifier: GPL-3.0-or-later
"""Proves that an archive can be restored, and restores it."""

from __future__ import annotations

from rear_core import RearError, Run
from rear_core.archive import external, owned
from rear_core.archive.described import check_newest
from rear_core.archive.progress import size
from rear_core.archive.restore import agree, check_room
from rear_core.archive.ticking import ticking

from . import archives, contents
from .extracting import Damaged, Extraction, read_data
from .repository import Repository, opened, unlocked
from .saving import missing_data


def check(run: Run) -> None:
    """Set `run.backup` to an archive of which all is there; `Refused` otherwise."""
    repository = run.undo.enter_context(opened(run))
    # First: borg only says that it failed where its own data is missing.
    if problem := missing_data(run, repository):
        _agree(run, repository, problem)
    repository, listed = unlocked(run, repository)
    chosen = owned.choose(run, listed.archives, str(repository), "archive", "BORG_REPOSITORY")
    others = [each.name for each in owned.own(run, listed.archives) if each != chosen]
    choice = f" (--backup DATE chooses another: {' '.join(others)})" if others else ""
    run.report.say(f"Backup: {chosen.name}, archive {chosen.title}{choice}")
    check_newest(run, chosen.name, str(repository))
    found = contents.read(repository, chosen.title, chosen.paths)
    there = [path for path in chosen.paths if contents.inside(path) in found.found]
    external.prove(run, external.recorded(run), dict.fromkeys(there, chosen.name))
    assert isinstance(run.backup, external.Found)
    check_room(run, needed(run, found.bytes))
    _read(run, repository, chosen.title, found)
    run.backup = archives.Chosen(
        chosen.name, run.backup.file_systems, chosen.moment, chosen.title, found.bytes, repository.address,
        repository.environment,
    )  # fmt: skip


def needed(run: Run, total: int) -> int:
    """How much room these bytes take: of sparse files the holes come back as such."""
    used = sum(system.bytes for system in external.recorded(run))
    return min(total, used) if used else total


def _read(run: Run, repository: Repository, title: str, found: contents.Contents) -> None:
    """Have borg read a sample of the files, or all of them where that is what the run is for, or BACKUP_CHECK says so;
    damage is asked about or refused."""
    whole = run.settings["BACKUP_CHECK"] == "all" or not {"restore", "fetch"} & {*run.phases}
    sample = [] if whole else found.sample()
    try:
        if whole or sample:
            read_data(run, repository, title, sample)
    except Damaged as error:
        _agree(run, repository, error.message)
        return
    what = "all of its data was" if whole else f"{len(sample)} files were"
    run.report.say(f"The archive is complete: {found.files} files, {size(found.bytes)}; {what} read")


def _agree(run: Run, repository: Repository, problem: str) -> None:
    """Have somebody decide whether to restore from a damaged repository."""
    agree(
        run,
        f"{repository} is damaged: {problem}; files of this or another machine may be lost",
        "choose another archive with --backup DATE; on a terminal rear asks whether to restore it anyway",
        "Restore from it anyway",
    )


def restore(run: Run) -> None:
    """Restore the chosen archive below the target; files that fail are a lack."""
    chosen, repository = _chosen(run)
    with (
        external.restoring(run, chosen.bytes) as (client, _),
        ticking(client, run.settings["BACKUP_STALL_MINUTES"]) as shown,
    ):
        Extraction(run, repository, chosen.title, shown.started).go()


def fetch(run: Run) -> None:
    """Restore the files and folders of `run.options.paths`; those that did not come are a lack."""
    chosen, repository = _chosen(run)
    with (
        external.fetching(run) as (client, _),
        ticking(client, run.settings["BACKUP_STALL_MINUTES"]) as shown,
    ):
        Extraction(run, repository, chosen.title, shown.started, run.options.paths).go()


def _chosen(run: Run) -> tuple[archives.Chosen, Repository]:
    """The archive that was checked, and where it is."""
    chosen = run.backup
    if not isinstance(chosen, archives.Chosen):
        raise RearError("no backup was checked, so rear restores none", "the plugin must prove it in the phase verify")
    return chosen, Repository(run, chosen.address, chosen.address, chosen.environment)
