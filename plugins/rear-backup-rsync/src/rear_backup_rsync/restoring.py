# SPDX-License-Identifier: GPL-3.0-or-later
"""Proves that a backup can be restored, and restores it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from rear_core import ProgramFailed, RearError, Refused, Run
from rear_core.archive import external, owned
from rear_core.archive.described import check_newest
from rear_core.archive.external import Client, Found
from rear_core.archive.progress import size
from rear_core.archive.restore import agree, check_room
from rear_core.archive.ticking import ticking

from . import client, listing
from .failures import failure
from .manifest import Generation
from .opening import opened
from .repository import Store

# So much of a path with its reason is told on the terminal.
LONGEST = 200
OTHER = "choose another backup with --backup DATE"


@dataclass(frozen=True)
class Chosen(Found):
    """The backup to restore; `source` is where rsync finds its files, by these `options`."""

    bytes: int = 0
    source: str = ""
    options: Sequence[str] = ()


def check(run: Run) -> None:
    """Set `run.backup` to a backup of which all files are there; `Refused` otherwise."""
    store = run.undo.enter_context(opened(run))
    client.version(run)
    there = store.look()
    for other in there.flawed:
        run.report.warn(f"{other.name} in {store} cannot be restored: {other.flaw}")
    if flawed := [each for each in there.flawed if each.name == run.options.backup]:
        raise Refused(f"{flawed[0].name} in {store} cannot be restored: {flawed[0].flaw}", OTHER)
    chosen = owned.choose(run, there.whole, str(store), "backup", "RSYNC_REPOSITORY and BACKUP_PREFIX")
    others = [each.name for each in owned.own(run, there.whole) if each != chosen]
    choice = f" (--backup DATE chooses another: {' '.join(others)})" if others else ""
    run.report.say(f"Backup: {chosen.name} in {store}{choice}")
    check_newest(run, chosen.name, str(store))
    if left_out := [name for name in client.ATTRIBUTES if name not in chosen.attributes]:
        run.report.warn(f"this backup has no {' and no '.join(left_out)} of files: RSYNC_ATTRIBUTES left them out")
    external.prove(run, external.recorded(run), dict.fromkeys(chosen.paths, chosen.name))
    assert isinstance(run.backup, Found)
    check_room(run, needed(run, chosen.bytes))
    _check_files(run, store, chosen)
    run.backup = Chosen(
        chosen.name, run.backup.file_systems, chosen.moment, chosen.bytes, f"{store.at(chosen.name)}/",
        (*client.copying(chosen.attributes), *store.reading(fake=chosen.fake_super)),
    )  # fmt: skip


def needed(run: Run, total: int) -> int:
    """How much room these bytes take: of sparse files the holes come back as such, and of hard links one counts."""
    used = sum(system.bytes for system in external.recorded(run))
    return min(total, used) if used else total


def _check_files(run: Run, store: Store, chosen: Generation) -> None:
    """Compare the list of all files with the one that was recorded, and read all of them where that is what the run is
    for, or BACKUP_CHECK says so; damage is asked about or refused."""
    try:
        found = listing.read(run, store, chosen.name, fake=chosen.fake_super)
        problem = _difference(chosen, found)
    except listing.Damaged as error:
        problem = error.message
    whole = run.settings["BACKUP_CHECK"] == "all" or not {"restore", "fetch"} & {*run.phases}
    if not problem and whole:
        problem = store.read_data(chosen.name, chosen.bytes)
    if problem:
        agree(
            run,
            f"{chosen.name} in {store} is damaged: {problem}; files of this machine may be lost",
            f"{OTHER}; on a terminal rear asks whether to restore it anyway",
            "Restore from it anyway",
        )
        return
    what = "all of their data can be read" if whole else "their data was not read"
    run.report.say(
        f"The backup is complete: {chosen.files} files, {size(chosen.bytes)}, with the names, sizes, times and modes of"
        f" when they were saved; {what}"
    )


def _difference(chosen: Generation, found: listing.Listing) -> str:
    """How the files that are there differ from those that were saved, "" when they do not."""
    if (found.files, found.total) != (chosen.files, chosen.bytes):
        return f"it has {found.files} files with {found.total} bytes, not {chosen.files} with {chosen.bytes}"
    return "" if found.digest == chosen.digest else "files were renamed, replaced or changed since they were saved"


def restore(run: Run) -> None:
    """Restore the chosen backup below the target; files that fail are a lack."""
    chosen = _chosen(run)
    with (
        external.restoring(run, chosen.bytes) as (counting, _),
        ticking(counting, run.settings["BACKUP_STALL_MINUTES"]) as shown,
    ):
        _copy(run, chosen, shown, [])


def fetch(run: Run) -> None:
    """Restore the files and folders of `run.options.paths`; those that did not come are a lack."""
    chosen = _chosen(run)
    wanted = run.build_dir / "rsync-wanted"
    # A path is not meant as a pattern, nor as a comment.
    names = (b"./" + os.fsencode(path.strip("/")) + b"\0" for path in run.options.paths)
    wanted.write_bytes(b"".join(names))
    some = ["--recursive", "--relative", "--ignore-missing-args", "--from0", f"--files-from={wanted}"]
    with (
        external.fetching(run) as (counting, _),
        ticking(counting, run.settings["BACKUP_STALL_MINUTES"]) as shown,
    ):
        _copy(run, chosen, shown, some)


def _chosen(run: Run) -> Chosen:
    """The backup that was checked."""
    if not isinstance(run.backup, Chosen):
        raise RearError("no backup was checked, so rear restores none", "the plugin must prove it in the phase verify")
    return run.backup


def _copy(run: Run, chosen: Chosen, shown: Client, some: Sequence[str]) -> None:
    """Have rsync copy all, or `some`, to the target."""
    complaints = client.Complaints()
    argv = [
        "rsync", *chosen.options, *some, *client.patience(run), "--", chosen.source, f"{run.target}/",
    ]  # fmt: skip
    try:
        run.sh.pipe(
            argv, keep={"rsync": complaints.keep}, started=shown.started,
            ok={"rsync": (0, client.PARTIAL, client.VANISHED)},
        )  # fmt: skip
    except ProgramFailed as error:
        if not complaints.is_full:
            raise _failed(chosen, error) from error
    if complaints.is_full:
        raise RearError(
            f"cannot restore the files to {run.target}: no space left on device",
            "choose larger disks with DISK_MAPPING, or an older backup with --backup DATE",
        )
    if complaints.count:
        first = [*complaints.unread, *complaints.vanished, *complaints.others][0]
        run.lack(
            f"{complaints.count} files were not restored as they were, the first is {first[:LONGEST]}; the log has all"
        )


def _failed(chosen: Chosen, error: ProgramFailed) -> RearError:
    host = "" if chosen.source.startswith("/") else chosen.source.partition(":")[0]
    found = failure(chosen.source.rstrip("/"), host, error)
    return RearError(found.message, "check the server or disk, then run it again; the log has what rsync said")
