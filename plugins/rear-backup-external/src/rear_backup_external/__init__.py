# SPDX-License-Identifier: GPL-3.0-or-later
"""BACKUP=EXTERNAL: the administrator's own commands save, list, check and restore the files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from rear_core import Ask, BackupAccess, ConfigurationError, Contents, RearError, Refused, Run, Setting, Step, hookimpl

from .commands import (
    CHECK,
    LIST,
    RESTORE,
    SAVE,
    ask,
    check_lines,
    check_programs,
    command,
    problem_of,
    required,
    work,
    write_list,
)

REAR_API = 1

# How the name of a backup begins where none was chosen and none is listed: the command then takes the newest.
NEWEST = "the newest backup"
DATED = "2026-11-22T183000Z"
PATHS = "{paths}"


def _statuses(words: Sequence[str]) -> str:
    wrong = [word for word in words if not (re.fullmatch(r"[0-9]{1,3}", word) and 1 <= int(word) <= 255)]
    return f"must be numbers from 1 to 255, {wrong[0]!r} is not" if wrong else ""


@hookimpl
def rear_settings() -> Iterable[Setting]:
    """One setting for each command, all of them words that no shell sees."""
    yield Setting(
        SAVE, list, check=problem_of(SAVE), aliases=("EXTERNAL_BACKUP",),
        help="Program with its arguments that saves the files. {paths} stands for the path of a file that lists what to"
        " save, one absolute path per line, {excluded} for one that lists what must not be saved, {hostname} for the"
        " name of this machine. If empty: rear saves no files.",
    )  # fmt: skip
    yield Setting(
        LIST, list, check=problem_of(LIST),
        help=f"Program with its arguments that prints one line for each backup: its date in UTC, as {DATED}, and"
        " anything more after a blank. {hostname} stands for the name of this machine. If empty: rear knows no dates,"
        " and passes that of --backup on.",
    )  # fmt: skip
    yield Setting(
        CHECK, list, check=problem_of(CHECK),
        help="Program with its arguments that ends with 0 when the backup can be restored; rear runs it before it"
        " writes to a disk. {date} stands for the chosen backup, empty for the newest one where EXTERNAL_LIST is not"
        " set; {paths} and {hostname} as in EXTERNAL_SAVE.",
    )  # fmt: skip
    yield Setting(
        RESTORE, list, check=problem_of(RESTORE),
        help="Program with its arguments that restores the files below the folder {target}; {date}, {paths} and"
        " {hostname} as in EXTERNAL_CHECK.",
    )  # fmt: skip
    yield Setting(
        "EXTERNAL_WARN_STATUS", list, check=_statuses,
        help="Exit statuses of EXTERNAL_SAVE and EXTERNAL_RESTORE that mean done with warnings, such as 1 of tar and"
        " Borg or 24 of rsync. A recovery goes on, and ends with status 1.",
    )  # fmt: skip


@hookimpl
def rear_setup() -> Iterable[Ask]:
    yield Ask(SAVE, "Command that saves the files named in {paths}; without it, rear saves none")
    yield Ask(CHECK, "Command that ends with 0 when the backup can be restored", needed=True)
    yield Ask(RESTORE, "Command that restores the files below {target}", needed=True)


@hookimpl
def rear_rescue_contents(run: Run) -> Contents:
    return Contents(programs=[word for setting in (SAVE, LIST, CHECK, RESTORE) for word in run.settings[setting][:1]])


@hookimpl
def rear_backup_access() -> BackupAccess:
    return BackupAccess(server=True)


@hookimpl
def rear_prep() -> Iterable[Step]:
    yield Step(30, "Check that your commands are complete", check_commands)


@hookimpl
def rear_analyse_dr() -> Iterable[Step]:
    yield Step(55, "Record what has to be restored", record)


@hookimpl
def rear_backup() -> Iterable[Step]:
    yield Step(50, "Save the files with your command", save_files)


@hookimpl
def rear_verify() -> Iterable[Step]:
    yield Step(40, "Check with your command that the backup can be restored", check_backup)


@hookimpl
def rear_restore() -> Iterable[Step]:
    yield Step(50, "Restore the files with your command", restore_files)


@hookimpl
def rear_list(run: Run) -> Iterable[Step]:
    if run.settings[LIST]:
        yield Step(50, "List the backups with your command", list_backups)


@hookimpl
def rear_fetch(run: Run) -> Iterable[Step]:
    # Others restore all that there is.
    if any(PATHS in word for word in run.settings[RESTORE]):
        yield Step(50, "Restore the chosen files with your command", restore_chosen)


def check_commands(run: Run) -> None:
    """`ConfigurationError` when a recovery would lack a command, or there is nothing to save with."""
    required(run, CHECK, "/usr/local/sbin/acme-check --date {date}")
    required(run, RESTORE, "/usr/local/sbin/acme-restore --date {date} --to {target}")
    if "output" not in run.phases and not run.settings[SAVE]:
        raise ConfigurationError(
            f"BACKUP=EXTERNAL saves no files without {SAVE}", f"set {SAVE}; `rear mkrescue` creates only the media"
        )
    check_programs(run, (SAVE, LIST, CHECK, RESTORE), ConfigurationError, "install it, or write its full path")


def record(run: Run) -> None:
    """Note the file systems, which the commands get as a list, and which are compared after a restore."""
    from rear_core.archive import external

    external.record(run)
    check_lines([system.path for system in external.recorded(run)])


def save_files(run: Run) -> None:
    """Save the recorded file systems; where backups are listed, there must be one more afterwards."""
    from rear_core.archive import external

    paths = [system.path for system in external.recorded(run)]
    if not run.settings[SAVE]:
        run.report.warn(f"{SAVE} is not set, so no files are saved: your own backup must have {' '.join(paths)}")
        return
    lists = {"paths": write_list(run, "paths", paths), "excluded": write_list(run, "excluded", excluded(run, paths))}
    before = dict(listed(run))
    with external.saving(run) as client:
        warning = work(run, client, command(run, SAVE, **lists))
    if warning:
        run.report.warn(warning)
    if run.settings[LIST]:
        new = [date for date, _ in listed(run) if date not in before]
        if not new:
            raise RearError(
                "the save ended without an error, but the list shows no new backup",
                f"see the log; compare what {SAVE} writes with what {LIST} reads",
            )
        run.saved(str(new[-1]), "")
        run.report.say(f"Saved the files as {new[-1]}")


def excluded(run: Run, paths: Sequence[str]) -> list[str]:
    """What lies below these paths and must not be saved: other file systems, files for swap, and the work area.

    Not what has one of these paths in it: a program would leave that out as well.
    """
    from rear_core.storage.survey import read_mounts

    mounted = [mount.target for mount in read_mounts(run.sh)]
    swap = [item.made_file for item in run.layout or () if item.made_file]
    found = sorted({*mounted, *swap, str(run.build_dir)})
    return [
        path
        for path in found
        if any(_lies_in(path, start) for start in paths) and not any(_lies_in(start, path) for start in paths)
    ]


def _lies_in(path: str, folder: str) -> bool:
    return f"{path.rstrip('/')}/".startswith(f"{folder.rstrip('/')}/")


def listed(run: Run) -> list[tuple[str, str]]:
    """The date of each backup, oldest first, with what else EXTERNAL_LIST says of it; [] where that is not set.

    Raises `RearError` when it fails, and for a line that does not begin with a date.
    """
    from rear_core.archive.dates import digits

    found = []
    for line in ask(run, command(run, LIST)) if run.settings[LIST] else ():
        date, _, text = line.strip().partition(" ")
        try:
            if date and len(digits(date)) < 14:
                raise ValueError("it is not a date down to the second")
        except ValueError as error:
            raise RearError(
                f"{LIST} printed {line[:100]!r}, which does not begin with a date",
                f"each line must be like: {DATED} of any kind",
            ) from error
        if date:
            found.append((date, text.strip()))
    return sorted(found, key=lambda backup: digits(backup[0]))


def chosen(run: Run) -> str:
    """The date of the backup to restore; "" for the newest one where backups are not listed."""
    from rear_core.archive import described, external, generations

    if not run.settings[LIST]:
        external.moment(run)  # refuses what is not a date
        return run.options.backup
    dates = [date for date, _ in listed(run)]
    if not dates:
        raise Refused(f"{LIST} shows no backup of this machine", "check its server or disk; rear changed nothing")
    where = f"the list of {LIST}"
    name = generations.choose(dates, run.options.backup, where)
    described.check_newest(run, name, where)
    return name


def check_backup(run: Run) -> None:
    """Set `run.backup`; `Refused` unless the command says that it can be restored."""
    from rear_core.archive import external

    check_programs(run, (LIST, CHECK, RESTORE), Refused, "create the rescue media again")
    wanted = external.recorded(run)
    date, paths = chosen(run), write_list(run, "paths", [system.path for system in wanted])
    said = [line.strip() for line in ask(run, command(run, CHECK, date=date, paths=paths)) if line.strip()]
    told = f": {said[-1]}" if said else ""
    run.report.say(f"{CHECK} accepts {f'the backup {date}' if date else NEWEST}{told}")
    # A recovery goes on with the storage of an earlier one only if the name is the same: what is newest may differ.
    run.backup = external.Found(date or f"{NEWEST}{told}", tuple(wanted))


def restore_files(run: Run) -> None:
    """Restore everything at once; then all is compared with what was recorded."""
    from rear_core.archive import external

    with external.restoring(run) as (client, found):
        paths = write_list(run, "paths", [system.path for system in found.file_systems])
        warning = work(run, client, command(run, RESTORE, target=str(run.target), date=_date(found.name), paths=paths))
        if warning:
            run.lack(warning)


def list_backups(run: Run) -> None:
    """What EXTERNAL_LIST prints."""
    from rear_core.archive.kept import Kept

    run.kept += [Kept(date, state=text or "listed") for date, text in listed(run)]


def restore_chosen(run: Run) -> None:
    """Restore the paths of the command line, in the place of all."""
    from rear_core.archive import external

    with external.fetching(run) as (client, found):
        paths = write_list(run, "paths", run.options.paths)
        warning = work(run, client, command(run, RESTORE, target=str(run.target), date=_date(found.name), paths=paths))
        if warning:
            run.lack(warning)


def _date(name: str) -> str:
    """The date of the backup that verify has found, "" for the newest one of which nobody knows it."""
    return "" if name.startswith(NEWEST) else name
