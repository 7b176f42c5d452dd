# SPDX-License-Identifier: GPL-3.0-or-later
"""Proves that the director can restore this machine, and has it restore all of it or some files."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rear_core import RearError, Refused, Run
from rear_core.archive import external
from rear_core.archive.restore import check_room
from rear_core.removal import discard

from . import catalog, console, jobs, login, saving
from .catalog import Chain, Job
from .console import quoted
from .tree import Entry, Tree

# Files or folders in one restore.
MOST = 200
# Folders in which a sample of each job is looked for.
FOLDERS = 300
SELECTED = re.compile(r"(?m)^([\d,]+) files? selected to be restored")


@dataclass(frozen=True)
class Chosen(external.Found):
    """What verify has proven: the backups to restore, and the job that restores them."""

    chains: tuple[Chain, ...] = ()
    by: str = ""


def check(run: Run) -> None:
    """Set `run.backup` to backups that the director can restore here; `Refused` otherwise."""
    catalog.check_registered(run)
    by = catalog.restore_job(run)
    quoted(f"{run.target}")
    # A job is restored as a whole: of what can be chosen, only the time is asked for.
    _, when = external.chosen(run, (), external.moment(run, str(run.settings["BACULA_TIME"])))
    found = catalog.chains(run, when)
    trees = [Tree(run, chain) for chain in found]
    external.prove(run, external.recorded(run), saving.covered(run, trees), when)
    assert isinstance(run.backup, external.Found)
    for name in {*run.settings["BACULA_JOBS"]} - {chain.job.name for chain in found}:
        run.report.warn(f"the Bacula director has no files of the job {name} at that time: rear restores none")
    for chain in found:
        run.report.say(f"Backup: {saving.told(chain)}")
    volumes = catalog.check_volumes(run, found)
    run.report.say(f"The restore needs the volumes {', '.join(volumes)}")
    check_room(run, sum(system.bytes for system in external.recorded(run)))
    for tree in trees:
        _try(run, tree, by)
    run.backup = Chosen(run.backup.name, run.backup.file_systems, run.backup.moment, tuple(found), by)


def _try(run: Run, tree: Tree, by: str) -> None:
    """Have the director restore a small file of each job into the work area: that proves the whole way."""
    samples = tree.samples(FOLDERS)
    if not samples:
        run.report.warn(f"no file was found to try the restore of {saving.told(tree.chain)} with")
        return
    place = run.build_dir / "bacula-sample"
    place.mkdir(mode=0o700, exist_ok=True)
    try:
        job = _some(run, tree.chain, (list(samples.values()), []), place, by)
        came = sorted(path.stat().st_size for path in place.rglob("*") if path.is_file())
    except RearError as error:
        raise Refused(f"cannot restore a sample: {error.message}", error.hint) from error
    finally:
        discard(place)
    told = jobs.problems(run, job.id) if job.status != "T" or job.errors else []
    if job.status not in catalog.GOOD or job.errors or came != sorted(one.size for one in samples.values()):
        raise Refused(
            f"the Bacula director cannot restore a sample here: job {job.id} {job.state}: {jobs.reason(told)}",
            "look at that job in bconsole; rear changed nothing",
        )
    of = f"{len(samples)} of {len(tree.chain.ids)} jobs"
    run.report.say(f"The director restored a sample of {len(samples)} files, from {of}, to prove that it can")


def restore(run: Run) -> None:
    """Restore all below the target; files that fail are a lack, and so is what an aborted job did not bring."""
    chosen = _chosen(run)
    with external.restoring(run) as (client, _):

        def done() -> object:
            client.progress.at(client.done())
            return client.done()

        for chain in chosen.chains:
            command = f"restore jobid={chain.words} {_options(run, run.target, chosen.by)} all done yes"
            id, said = jobs.start(run, command, timeout=console.LONG)
            _judge(run, jobs.watch(run, id, done), _selected(said))


def fetch(run: Run) -> None:
    """Restore the files and folders of `run.options.paths`; those that did not come are a lack."""
    chosen = _chosen(run)
    with external.fetching(run) as (client, _):
        for chain in chosen.chains:
            tree = Tree(run, chain)
            found = [tree.find(path) for path in run.options.paths]
            files = [file for _, file in found if file]
            folders = [folder for folder, _ in found if folder]
            for start in range(0, max(len(files), len(folders)), MOST):
                some = files[start : start + MOST], folders[start : start + MOST]
                _judge(run, _some(run, chain, some, run.target, chosen.by, client.done), 0)


def _some(
    run: Run, chain: Chain, some: tuple[Sequence[Entry], Sequence[Entry]], place: Path, by: str,
    done: Callable[[], object] = lambda: None,
) -> Job:  # fmt: skip
    """The job, when it is over, that restores some files, and folders with all below them."""
    files, folders = some
    table = f"b2{secrets.randbelow(10**9)}"
    # The first name of a file with several has its contents.
    links = ",".join(f"{one.job},{one.linked}" for one in files if one.linked)
    wanted = [
        *(["fileid=" + ",".join(str(one.file) for one in files)] if files else []),
        *(["dirid=" + ",".join(str(one.path) for one in folders)] if folders else []),
        *([f"hardlink={links}"] if links else []),
    ]
    command = f".bvfs_restore path={table} {' '.join(wanted)} jobid={chain.words}"
    (answer,) = console.ask(run, command, timeout=console.LONG)
    if not re.search(r"(?m)^OK$", answer):
        raise RearError(f"the Bacula director does not find the files: {console.last(answer)}", "see the log")
    try:
        id, _ = jobs.start(run, f"restore file=?{table} {_options(run, place, by)} yes", timeout=console.LONG)
        return jobs.watch(run, id, done)
    finally:
        with suppress(RearError):
            console.ask(run, f".bvfs_cleanup path={table}")


def _options(run: Run, place: Path, by: str) -> str:
    client = quoted(login.client(run))
    return f"client={client} restoreclient={client} restorejob={quoted(by)} where={quoted(str(place))} replace=always"


def _selected(said: str) -> int:
    """How many files the director means to restore, 0 where it does not say so."""
    found = SELECTED.search(said)
    return int(found[1].replace(",", "")) if found else 0


def _judge(run: Run, job: Job, wanted: int) -> None:
    """Report what did not come; `RearError` where nothing did, or the target is full."""
    told = jobs.problems(run, job.id) if job.errors or job.status != "T" else []
    if any(map(jobs.FULL.search, told)):
        raise RearError(
            f"cannot restore the files to {run.target}: no space left on device",
            "choose larger disks with DISK_MAPPING, or an older backup with --backup DATE",
        )
    # Of a job that ended with errors the files may be there, but for some; of any other the director does not know.
    if job.status not in (*catalog.GOOD, "E", "e") or not job.files:
        raise RearError(
            f"the restore, job {job.id}, {job.state}: {jobs.reason(told)}",
            "look at that job in bconsole, and run it again",
        )
    if job.files < wanted:
        run.lack(f"job {job.id} restored {job.files} of {wanted} files: {jobs.reason(told)}")
    elif job.errors or job.status != "T":
        run.lack(f"job {job.id} had {job.errors} errors: {jobs.reason(told)}; the log has all")


def _chosen(run: Run) -> Chosen:
    """What was checked."""
    if not isinstance(run.backup, Chosen):
        raise RearError("no backup was checked, so rear restores none", "the plugin must prove it in the phase verify")
    return run.backup
