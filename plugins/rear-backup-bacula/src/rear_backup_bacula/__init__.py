# SPDX-License-Identifier: GPL-3.0-or-later
"""BACKUP=BACULA: files that a Bacula or Bareos director saves by this machine's file daemon, and restores to it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rear_core import Ask, Contents, Run, Setting, Step, hookimpl

REAR_API = 1

LEVELS = ("", "Full", "Differential", "Incremental")


def _name(value: str) -> str:
    from .console import name_problem

    return name_problem(value)


def _names(values: Sequence[str]) -> str:
    return next(filter(None, map(_name, values)), "")


@hookimpl
def rear_settings() -> Iterable[Setting]:
    yield Setting(
        "BACULA_CLIENT", str, check=_name, aliases=("BAREOS_CLIENT",),
        help="Name of this machine's Client resource at the director. If empty: the name of the file daemon in its"
        " configuration.",
    )  # fmt: skip
    yield Setting(
        "BACULA_JOBS", list, check=_names,
        help="Backup jobs of the director that save this machine, such as ( 'save web1' ); all of them are restored. If"
        " empty: those that the director has for this client.",
    )  # fmt: skip
    yield Setting(
        "BACULA_LEVEL", str, choices=LEVELS,
        help="Level by which `rear mkbackup` runs these jobs. If empty: that of the job.",
    )  # fmt: skip
    yield Setting(
        "BACULA_RESTORE_JOB", str, check=_name, aliases=("BAREOS_RESTORE_JOB",),
        help="The job with Type = Restore by which the director restores. If empty: the only one that it has.",
    )  # fmt: skip
    yield Setting(
        "BACULA_TIME", str,
        help="Restore files as of this time: 2026-11-22 18:30:00, or a date alone. If empty: the newest backup. The"
        " option --backup of `rear recover` takes precedence.",
    )  # fmt: skip
    yield Setting(
        "BACULA_DIRECTOR", str, check=_name,
        help="The director to use, if the configuration of bconsole has several.",
    )  # fmt: skip
    yield Setting(
        "BACULA_CONSOLE", str,
        help="Configuration of bconsole, with its password; it may be on a stick. If empty: /etc/bacula/bconsole.conf,"
        " or that of Bareos.",
    )  # fmt: skip
    yield Setting(
        "BACULA_FD", str,
        help="Configuration of the file daemon, with its password; it may be on a stick. If empty:"
        " /etc/bacula/bacula-fd.conf, or that of Bareos.",
    )  # fmt: skip


@hookimpl
def rear_setup() -> Iterable[Ask]:
    yield Ask("BACULA_CLIENT", "Name of this machine at the director, if the file daemon has another one")


@hookimpl
def rear_rescue_contents(run: Run) -> Contents:
    from . import client

    return client.contents(run)


@hookimpl
def rear_prep() -> Iterable[Step]:
    yield Step(40, "Check that the Bacula director knows this client", check_client)


@hookimpl
def rear_analyse_dr() -> Iterable[Step]:
    yield Step(50, "Record which file systems must be in the backup", record)


@hookimpl
def rear_analyse_rescue(run: Run) -> Iterable[Step]:
    if "backup" not in run.phases:
        yield Step(50, "Look for backups of these file systems", look_for_backups)


@hookimpl
def rear_backup() -> Iterable[Step]:
    yield Step(50, "Have the Bacula director save the files", save_files)


@hookimpl
def rear_verify() -> Iterable[Step]:
    yield Step(38, "Log in to the Bacula director", log_in)
    yield Step(40, "Check that the Bacula director can restore all file systems", check_backup)


@hookimpl
def rear_restore() -> Iterable[Step]:
    yield Step(50, "Have the Bacula director restore the files", restore_files)


@hookimpl
def rear_list() -> Iterable[Step]:
    yield Step(50, "Ask the Bacula director for backups", list_backups)


@hookimpl
def rear_fetch() -> Iterable[Step]:
    yield Step(50, "Have the Bacula director restore the chosen files", restore_some)


def check_client(run: Run) -> None:
    """`Refused` unless the director knows this client and its jobs, and reaches the file daemon."""
    from . import catalog, client

    client.check_keys(run)
    catalog.check_registered(run)
    names = catalog.names(run)
    run.report.detail(
        f"The Bacula director saves this machine by {', '.join(names)}, restores by {catalog.restore_job(run)}"
    )


def record(run: Run) -> None:
    """Note the file systems, and how this machine and the director reach each other."""
    from rear_core.archive import external

    from . import login

    external.record(run)
    login.record(run)


def look_for_backups(run: Run) -> None:
    """Warn when this machine could not be recovered as yet."""
    from rear_core.archive import external

    from . import catalog, saving
    from .tree import Tree

    trees = [Tree(run, chain) for chain in catalog.chains(run, None)]
    external.remind(run, external.recorded(run), saving.covered(run, trees))


def save_files(run: Run) -> None:
    """Run the jobs of this machine."""
    from .saving import save

    save(run)


def log_in(run: Run) -> None:
    """Prove that the director answers, and start the file daemon where none runs; asks for their passwords."""
    from . import client, console

    console.director(run)
    client.start(run)


def check_backup(run: Run) -> None:
    """Prove that the files can be restored; `RearError` with the reason otherwise."""
    from .restoring import check

    check(run)


def restore_files(run: Run) -> None:
    """Restore all file systems."""
    from .restoring import restore

    restore(run)


def restore_some(run: Run) -> None:
    """Restore single files."""
    from .restoring import fetch

    fetch(run)


def list_backups(run: Run) -> None:
    """List the backups of this machine by the time at which they ended."""
    from datetime import timezone

    from rear_core.archive.dates import FORMAT
    from rear_core.archive.kept import Kept

    from . import catalog

    found: dict[str, Kept] = {}
    for job in catalog.jobs(run):
        name = job.moment.astimezone(timezone.utc).strftime(FORMAT)
        state = f"{catalog.LEVELS.get(job.level, job.level)}, job {job.id} ({job.name})"
        # Jobs that end in one second have one date.
        other = found.get(name)
        before = f"{other.state}; " if other else ""
        size, files = (other.size, other.files) if other else (0, 0)
        found[name] = Kept(name, size + job.bytes, files + job.files, state=f"{before}{state}")
    run.kept += found.values()
