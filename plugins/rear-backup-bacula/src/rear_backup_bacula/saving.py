# SPDX-License-Identifier: GPL-3.0-or-later
"""Has the director save this machine, and proves what came of it."""

from __future__ import annotations

import re
from datetime import datetime

from rear_core import RearError, Run
from rear_core.archive import external
from rear_core.archive.progress import size

from . import catalog, console, jobs, login
from .catalog import Chain, Job
from .console import quoted
from .tree import Tree


def save(run: Run) -> None:
    """Run the jobs of this machine one after the other; `RearError` unless all file systems are then saved."""
    catalog.check_registered(run)
    for name in catalog.names(run):
        _save(run, name)
    wanted = external.recorded(run)
    held = covered(run, [Tree(run, chain) for chain in catalog.chains(run, None)])
    if absent := external.lacking(wanted, held):
        raise RearError(
            f"the jobs of the Bacula director do not save {' '.join(absent)}",
            "add it to the FileSet there (a job with onefs = yes needs each file system), or exclude it here",
        )


def _save(run: Run, name: str) -> None:
    level = f" level={run.settings['BACULA_LEVEL']}" if run.settings["BACULA_LEVEL"] else ""
    client = quoted(login.client(run))
    with external.saving(run) as shown:
        id, _ = jobs.start(run, f"run job={quoted(name)} client={client}{level} yes")
        run.report.detail(f"The Bacula director runs {name} as job {id}")

        def done() -> object:
            (answer,) = console.ask(run, f"status client={client}")
            # JobId 2 Job save_web1.2026-11-30_11.18.18_08 is running.
            #     Files=0 Bytes=0 AveBytes/sec=0 LastBytes/sec=0 Errors=0
            #     Files: Examined=0 Backed up=0
            own = re.search(rf"(?s)\bJobId {id} Job .*?(?=\nJobId |\nDirector connected|\Z)", answer)
            counts = dict(re.findall(r"\b(Files|Bytes|Examined)=([\d,]+)", own[0] if own else ""))
            shown.progress.at(int(counts.get("Bytes", "0").replace(",", "")))
            # Of a job that looks at many unchanged files only the last one grows.
            return counts

        _judge(run, jobs.watch(run, id, done))


def _judge(run: Run, job: Job) -> None:
    """Tell what a job saved; `RearError` where it did not end well, a warning for files that it could not read."""
    told = jobs.problems(run, job.id) if job.errors or job.status != "T" else []
    if job.status not in catalog.GOOD:
        raise RearError(
            f"job {job.id} ({job.name}) {job.state}: {jobs.reason(told)}",
            "the log has what the daemons said; the backups before it stay",
        )
    if job.errors or job.status == "W":
        run.report.warn(f"job {job.id} ({job.name}) ended with warnings: {jobs.reason(told)}; the log has all")
    kind = catalog.LEVELS.get(job.level, job.level)
    run.saved(job.name, f"job {job.id}", files=job.files, bytes=job.bytes)
    run.report.say(f"Saved as job {job.id} ({job.name}, {kind}): {job.files} files, {size(job.bytes)}")


def covered(run: Run, trees: list[Tree]) -> dict[str, str]:
    """The recorded file systems that these backups have, with their dates."""
    held: dict[str, datetime] = {}
    for system in external.recorded(run):
        for tree in trees:
            if tree.covers(system.path, system.names):
                held[system.path] = max(held.get(system.path, tree.chain.job.moment), tree.chain.job.moment)
    return {path: f"{when:%Y-%m-%d %H:%M:%S}" for path, when in held.items()}


def told(chain: Chain) -> str:
    """A backup with what it builds on, for the user."""
    more = [str(id) for id in chain.ids if id != chain.job.id]
    builds = f", builds on {', '.join(more)}" if more else ""
    return f"job {chain.job.id} of {chain.job.moment:%Y-%m-%d %H:%M:%S} ({chain.job.name}{builds})"
