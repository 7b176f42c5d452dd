# SPDX-License-Identifier: GPL-3.0-or-later
"""Proves that a snapshot can be restored, and restores it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence

from rear_core import ProgramFailed, RearError, Run
from rear_core.archive import external, owned
from rear_core.archive.coverage import literal
from rear_core.archive.described import check_newest
from rear_core.archive.external import Client, Ended
from rear_core.archive.restore import agree, check_room
from rear_core.archive.ticking import ticking
from rear_core.errors import Interrupted, understood

from . import snapshot
from .repository import (
    LOCKED,
    LONG,
    NO_REPOSITORY,
    READ_ONLY,
    WRONG_PASSWORD,
    Locked,
    Repository,
    failure,
    opened,
    unlocked,
    version,
)  # fmt: skip

# What restic says of each file that it cannot restore, and at its end.
FAILED = "ignoring error for "
FULL = "no space left on device"
ENDED = "^Fatal: |^Is there a repository|create lock|already locked"
NOTABLE = f"^{FAILED}|{ENDED}|{FULL}"
# The statuses that say what went wrong, since 0.17 or by what restic says.
UNDERSTOOD = (0, 1, NO_REPOSITORY, LOCKED, WRONG_PASSWORD)
# So much of a path with its reason is told on the terminal.
LONGEST = 200


def check(run: Run) -> None:
    """Set `run.backup` to a snapshot of which all is there; `Refused` otherwise."""
    repository = unlocked(run, run.undo.enter_context(opened(run)))
    found = repository.snapshots()
    chosen = owned.choose(run, found, str(repository), "snapshot", "RESTIC_REPOSITORY")
    others = [each.name for each in owned.own(run, found) if each != chosen]
    choice = f" (--backup DATE chooses another: {' '.join(others)})" if others else ""
    run.report.say(f"Backup: {chosen.name}, snapshot {chosen.id[:8]} of {chosen.host}{choice}")
    check_newest(run, chosen.name, str(repository))
    external.prove(run, external.recorded(run), dict.fromkeys(chosen.paths, chosen.name))
    assert isinstance(run.backup, external.Found)
    total = restore_size(repository, chosen.id)
    check_room(run, needed(run, total))
    _check_data(run, repository)
    run.backup = snapshot.Chosen(
        chosen.name, run.backup.file_systems, chosen.moment, chosen.id, total, repository.address,
        repository.environment,
    )  # fmt: skip


def restore_size(repository: Repository, id: str) -> int:
    """How many bytes all files of a snapshot have; restic reads all its folders for that."""
    text = repository.ask("stats", "--json", "--mode", "restore-size", *READ_ONLY, id, timeout=LONG)
    with understood("restic stats"):
        return int(json.loads(text)["total_size"])


def needed(run: Run, total: int) -> int:
    """How much room these bytes take: a restic that knows no holes fills them, and needs more than there was."""
    used = sum(system.bytes for system in external.recorded(run))
    return min(total, used) if used and knows_holes(run) else total


def knows_holes(run: Run) -> bool:
    """Whether this restic restores sparse files as such."""
    return version(run) >= (0, 15)


def _check_data(run: Run, repository: Repository) -> None:
    """Have restic check the repository, and read all its data where that is what the run is for, or BACKUP_CHECK says
    so; damage is asked about or refused."""
    whole = run.settings["BACKUP_CHECK"] == "all" or not {"restore", "fetch"} & {*run.phases}
    what = "complete, all its data was read" if whole else "complete: folders, index and size of all data"
    try:
        repository.ask("check", *READ_ONLY, *(["--read-data"] if whole else []), timeout=LONG)
    except Interrupted:
        raise
    except RearError as error:
        agree(
            run,
            f"restic finds {repository} damaged: {error.message}; this or another machine's files may be lost",
            "choose another repository, or see `restic check`; on a terminal rear asks whether to restore it anyway",
            "Restore from it anyway",
        )
        return
    run.report.say(f"The repository is {what}")


def restore(run: Run) -> None:
    """Restore the chosen snapshot below the target; files that fail are a lack."""
    chosen, repository = _chosen(run)
    with (
        external.restoring(run, chosen.bytes) as (client, _),
        ticking(client, run.settings["BACKUP_STALL_MINUTES"]) as shown,
    ):
        restore_snapshot(run, repository, shown, chosen.id)


def fetch(run: Run) -> None:
    """Restore the files and folders of `run.options.paths`; those that did not come are a lack."""
    chosen, repository = _chosen(run)
    # A path is not meant as a pattern.
    wanted = [f"--include={literal(path)}" for path in run.options.paths]
    with (
        external.fetching(run) as (client, _),
        ticking(client, run.settings["BACKUP_STALL_MINUTES"]) as shown,
    ):
        restore_snapshot(run, repository, shown, chosen.id, wanted)


def _chosen(run: Run) -> tuple[snapshot.Chosen, Repository]:
    """The snapshot that was checked, and where it is."""
    chosen = run.backup
    if not isinstance(chosen, snapshot.Chosen):
        raise RearError("no backup was checked, so rear restores none", "the plugin must prove it in the phase verify")
    return chosen, Repository(run, chosen.address, chosen.address, chosen.environment)


def restore_snapshot(run: Run, repository: Repository, client: Client, id: str, wanted: Sequence[str] = ()) -> None:
    """Have the client restore; with a lock where it gets one, as another machine could prune meanwhile."""
    holes = ["--sparse"] if knows_holes(run) else []
    argv = repository.argv("restore", *wanted, "--no-cache", *holes, "--target", os.fspath(run.target), id)
    # A folder is mounted so that nothing can be written there.
    lock = ["--no-lock"] if repository.address.startswith("/") else []
    ended = client(*argv, *lock, ok=UNDERSTOOD, notable=NOTABLE, env=repository.environment)
    error = _error(repository, ended)
    if isinstance(error, Locked):
        run.report.warn(f"restoring without a lock: see that nobody prunes the repository now; {error.message}")
        ended = client(*argv, "--no-lock", ok=UNDERSTOOD, notable=NOTABLE, env=repository.environment)
        error = _error(repository, ended)
    # Of one file it may say more than one thing.
    said = [line[len(FAILED) :] for line in ended.notable if line.startswith(FAILED)]
    failed = list({line.partition(": ")[0]: line for line in reversed(said)}.values())[::-1]
    if any(FULL in line for line in ended.notable):
        raise RearError(
            f"cannot restore the files to {run.target}: {FULL}",
            "choose larger disks with DISK_MAPPING, or an older backup with --backup DATE",
        )
    if failed:
        run.lack(
            f"{len(failed)} files were not restored as they were, the first is {failed[0][:LONGEST]}; the log has all"
        )
    elif error:
        raise error


def _error(repository: Repository, ended: Ended) -> RearError | None:
    """What ended restic, None where nothing did."""
    said = "\n".join(line for line in ended.notable if re.search(ENDED, line))
    return failure(repository, ProgramFailed(["restic"], ended.status, said)) if ended.status else None
