# SPDX-License-Identifier: GPL-3.0-or-later
"""BACKUP=TSM: files kept by IBM Storage Protect (Tivoli Storage Manager), saved and restored by its client dsmc."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rear_core import (
    Ask,
    BackupAccess,
    ConfigurationError,
    Contents,
    RearError,
    Refused,
    Run,
    Setting,
    Step,
    hookimpl,
    questions,
)

if TYPE_CHECKING:
    from datetime import datetime

    from rear_core.archive.external import Ended, FileSystem

CLIENT_DIR = "/opt/tivoli/tsm/client/ba/bin"
# The command line client with its messages and libraries; the rest of the folder is its graphical one.
CLIENT = ("dsm.opt", "dsm.sys", "dsmc*", "dsmtca", "EN_US", "*.so*", "plugins")
FILES = (
    "/opt/tivoli/tsm/client/lang/EN_US", "/opt/tivoli/tsm/client/api/bin64", "/usr/local/ibm/gsk8*",
    "/usr/local/ibm/icu*",
)  # fmt: skip
# The stored password with its key and index, new and old; the server's certificate beside them is no secret.
SECRETS = ("*/TSM.KDB", "*/TSM.sth", "*/TSM.IDX", "*/TSM.PWD")


@hookimpl
def rear_settings() -> Iterable[Setting]:
    yield Setting(
        "TSM_CLIENT_DIR",
        str,
        default=CLIENT_DIR,
        help="Folder of the Storage Protect client with dsm.sys and dsm.opt; rear passes it to dsmc as DSM_DIR.",
    )
    yield Setting(
        "TSM_ASNODENAME",
        str,
        help="Node whose files to save and restore, if this machine's own node acts for it (grant proxynode).",
    )
    yield Setting(
        "TSM_FILESPACES",
        list,
        help="File spaces to save and restore. If empty: the mount points of all file systems that a recovery"
        " recreates.",
    )
    yield Setting(
        "TSM_RESTORE_PIT_DATE",
        str,
        help="Restore files as of this date, such as 2026-11-22. If empty: the newest backup. The option --backup of"
        " `rear recover` takes precedence.",
    )
    yield Setting("TSM_RESTORE_PIT_TIME", str, help="Time of that day, such as 18:30:00. If empty: the end of the day.")
    yield Setting(
        "TSM_DSMC_BACKUP_OPTIONS", list, help="Further options of `dsmc incremental`, such as -snapshotproviderfs=none."
    )
    yield Setting(
        "TSM_DSMC_RESTORE_OPTIONS", list, help="Further options of `dsmc restore`, such as -resourceutilization=10."
    )
    yield Setting(
        "TSM_RESULT_SAVE", bool, default=False, help="Whether `dsmc archive` also keeps the finished rescue media."
    )
    yield Setting(
        "TSM_ARCHIVE_MGMT_CLASS", str, help="Management class of these archives. If empty: the server's default."
    )


@hookimpl
def rear_setup() -> Iterable[Ask]:
    yield Ask("TSM_CLIENT_DIR", "Folder of the client with dsm.sys and dsm.opt", CLIENT_DIR, needed=True)


@hookimpl
def rear_rescue_contents(run: Run) -> Contents:
    from . import client, options

    folder = run.settings["TSM_CLIENT_DIR"]
    try:
        used = options.read(Path(folder))
    except ConfigurationError:
        used = {}  # the step in prep says so
    return Contents(
        programs=["dsmc"],
        # dsmc does not start without the include-exclude list that dsm.sys names.
        files=[*(f"{folder}/{name}" for name in CLIENT), *FILES, options.password_dir(used), *used.get("inclexcl", [])],
        library_directories=client.libraries(folder),
        secrets=SECRETS,
        watched=[f"{folder}/dsm.opt", f"{folder}/dsm.sys", *used.get("inclexcl", [])],
    )


@hookimpl
def rear_backup_access() -> BackupAccess:
    return BackupAccess(server=True)


@hookimpl
def rear_prep() -> Iterable[Step]:
    yield Step(40, "Check that the Storage Protect server accepts this client", check_client)


@hookimpl
def rear_analyse_dr() -> Iterable[Step]:
    from rear_core.archive import external

    yield Step(50, "Record which file systems must be in the backup", external.record)


@hookimpl
def rear_analyse_rescue(run: Run) -> Iterable[Step]:
    if "backup" not in run.phases:
        yield Step(50, "Look for backups of these file systems", look_for_backups)


@hookimpl
def rear_backup() -> Iterable[Step]:
    yield Step(50, "Save the files to the Storage Protect server", save_files)


@hookimpl
def rear_output(run: Run) -> Iterable[Step]:
    if run.settings["TSM_RESULT_SAVE"]:
        yield Step(95, "Archive the rescue media on the Storage Protect server", archive_media)


@hookimpl
def rear_config(run: Run) -> Iterable[Step]:
    if not run.demo:
        yield Step(50, "Create the folders of the client's logs", make_folders)


@hookimpl
def rear_verify() -> Iterable[Step]:
    yield Step(38, "Log in to the Storage Protect server", log_in)
    yield Step(40, "Check that the Storage Protect server has all file systems", check_backup)


@hookimpl
def rear_restore() -> Iterable[Step]:
    yield Step(50, "Restore the files from the Storage Protect server", restore_files)


@hookimpl
def rear_list() -> Iterable[Step]:
    yield Step(38, "Log in to the Storage Protect server", log_in)
    yield Step(50, "Ask the Storage Protect server for file spaces", list_backups)


def list_backups(run: Run) -> None:
    """List the file spaces of this node by their last whole incremental backup; others have no date."""
    from datetime import datetime

    from rear_core.archive import external

    from . import client

    spaces = client.file_spaces(run).items()
    external.show(run, [(datetime.strptime(date, client.DATE).astimezone(), path) for path, date in spaces if date])


def check_client(run: Run) -> None:
    """Refuse a client that asks for its password each time, and a server that does not let it in."""
    from . import client, options

    used = options.read(Path(run.settings["TSM_CLIENT_DIR"]))
    if used.get("passwordaccess", [""])[-1].lower() != "generate":
        raise ConfigurationError("dsmc asks for its password each time", "set PASSWORDACCESS GENERATE in dsm.sys")
    client.check_session(run)


def look_for_backups(run: Run) -> None:
    """Warn when this machine could not be recovered as yet."""
    from rear_core.archive import external

    wanted = external.recorded(run, run.settings["TSM_FILESPACES"])
    external.remind(run, wanted, held(run, wanted, moment(run)))


def held(run: Run, wanted: Iterable[FileSystem], when: datetime | None) -> dict[str, str]:
    """The file systems that the server has at a time, with what it says of their dates."""
    from . import client

    newest = client.file_spaces(run)
    as_of = f"as of {when:%Y-%m-%d %H:%M:%S}" if when else ""
    return {
        system.path: as_of or newest[system.path] or "without a whole incremental backup"
        for system in wanted
        if system.path in newest and client.has_files(run, system.path, when)
    }


def moment(run: Run) -> datetime | None:
    """The time as of which files are wanted, None for the newest."""
    from rear_core.archive import external

    date, time = run.settings["TSM_RESTORE_PIT_DATE"], run.settings["TSM_RESTORE_PIT_TIME"]
    return external.moment(run, f"{date} {time}" if date and time else date)


def save_files(run: Run) -> None:
    """Start an incremental backup of each file system; files that were skipped are counted."""
    from rear_core.archive import external

    from . import client

    with external.saving(run) as dsmc:
        for system in external.recorded(run, run.settings["TSM_FILESPACES"]):
            more = run.settings["TSM_DSMC_BACKUP_OPTIONS"]
            argv = ["dsmc", "incremental", system.path, *more, *client.common(run)]
            ended = dsmc(*argv, ok=client.USABLE, notable=client.NOTABLE, env=client.environment(run))
            judge(run, ended, f"saving {system.path}", run.report.warn)
            run.report.say(f"Saved {system.path}: {client.total(ended.notable, 'backed up')} new or changed files")


def judge(run: Run, ended: Ended, work: str, tell: Callable[[str], None]) -> None:
    """`tell` what dsmc left out, by its names, and warn when it did; its own log has more."""
    from rear_core.archive import external

    from . import client

    log = run.build_dir / "dsmerror.log"
    errors = log.read_text(errors="replace").splitlines() if log.exists() else []
    for line in errors:
        run.report.log(f"dsmerror.log: {line}")
    log.unlink(missing_ok=True)
    failed = client.total(ended.notable, "failed")
    if failed or ended.status == client.SKIPPED:
        names = client.objects([*ended.notable, *errors])
        named = f": {external.few(names)}; the log has all" if names else ""
        tell(f"{work}: {failed or 'some'} files were not processed (dsmc ended with {ended.status}){named}")
    elif ended.status == client.WARNED:
        run.report.warn(f"{work}: dsmc had warnings; the log has them")


def make_folders(run: Run) -> None:
    """Make the folders that dsm.sys names; the rescue system has none of them."""
    from . import options

    used = options.read(Path(run.settings["TSM_CLIENT_DIR"]))
    for log in (*used.get("errorlogname", []), *used.get("schedlogname", [])):
        Path(log).parent.mkdir(parents=True, exist_ok=True)


def log_in(run: Run) -> None:
    """Have dsmc ask for its password where none is stored; it then keeps it in the memory of the rescue system."""
    from . import client, options

    folder = Path(options.password_dir(options.read(Path(run.settings["TSM_CLIENT_DIR"]))))
    if any((folder / name).exists() for name in ("TSM.KDB", "TSM.PWD")):
        return
    if not questions.is_interactive(run):
        raise Refused(
            "dsmc has no stored password, and this run is unattended",
            f"recover without -n; or allow the password on the media: RESCUE_ALLOW_SECRETS+=( '{folder}/TSM.*' )",
        )
    run.report.say("The password of this node is not on the rescue media. The client asks for it now:")
    if run.sh.attach("dsmc", "query", "session", *client.common(run), env=client.environment(run)):
        raise Refused("the Storage Protect server did not accept this client", "run `rear recover` again")


def check_backup(run: Run) -> None:
    """Prove that every file system can be restored."""
    from rear_core.archive import external

    from . import client

    client.check_session(run)
    wanted, when = external.chosen(run, external.recorded(run, run.settings["TSM_FILESPACES"]), moment(run))
    external.prove(run, wanted, held(run, wanted, when), when)


def restore_files(run: Run) -> None:
    """Restore one file space after the other to its place below the target."""
    from rear_core.archive import external

    from . import client

    more = [*run.settings["TSM_DSMC_RESTORE_OPTIONS"], *client.common(run)]
    with external.restoring(run) as (dsmc, found):
        for system in found.file_systems:
            source = system.path.rstrip("/") + "/"
            when = [*client.FORMATS, *client.point_in_time(found.moment)] if found.moment else []
            argv = ["dsmc", "restore", f"{source}*", f"{run.target}{source}", "-subdir=yes", "-replace=all"]
            argv += ["-tapeprompt=no", *when, *more]
            ended = dsmc(*argv, ok=client.USABLE, notable=client.NOTABLE, env=client.environment(run))
            judge(run, ended, f"restoring {system.path}", run.lack)
            run.report.say(f"Restored {system.path}: {client.total(ended.notable, 'restored')} objects")


def archive_media(run: Run) -> None:
    """Keep the finished media on the server, too; that they are here is what counts."""
    from . import client

    chosen = run.settings["TSM_ARCHIVE_MGMT_CLASS"]
    options = [f"-archmc={chosen}"] if chosen else []
    try:
        argv = ["dsmc", "archive", *map(str, run.results), *options, *client.common(run)]
        run.sh.run(*argv, env=client.environment(run), timeout=3600, ok=client.USABLE)
    except RearError as error:
        run.report.warn(f"the rescue media were not archived on the server: {error.message}")
