# SPDX-License-Identifier: GPL-3.0-or-later
"""BACKUP=NSR: files kept by Dell NetWorker, saved and restored by its client programs save and recover."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rear_core import Ask, Contents, RearError, Run, Setting, Step, hookimpl

if TYPE_CHECKING:
    from datetime import datetime

    from rear_core.archive.external import Ended

PROGRAMS = ("mminfo", "nsrexecd", "recover", "save")
OPTIONAL = ("nsradmin", "nsrexec", "nsrinfo", "nsrlogin", "nsrports", "nsrwatch", "uasm")
FILES = ("/usr/lib/nsr", "/opt/nsr", "/nsr/res")
# The database of nsrexecd with the private key that this client proves its identity by; old versions have a file.
SECRETS = ("/nsr/res/nsrladb", "/nsr/nsrladb", "/nsr/res/nsrla.res")
WATCHED = ("/nsr/res/servers", "/.nsr")
# What save and recover say of a file that failed. Lines of a name alone are files that did not, whatever these are
# called; so do lines that tell where to.
FAILED = r"(?i)^(?!Received |Recovering |Requesting )(?:(?!\.{0,2}/)|.*: ).*\b(?:error|failed|cannot|unable|denied)\b"
# What else must be seen: the sum at the end.
NOTABLE = FAILED + r"|^(?:Received|Recovering) \d+"


@hookimpl
def rear_settings() -> Iterable[Setting]:
    yield Setting(
        "NSRSERVER", str, help="Host name of the NetWorker server. If empty: the first one in /nsr/res/servers."
    )
    yield Setting(
        "NSR_CLIENT_NAME",
        str,
        help="Name of this machine's client resource on the server. If empty: the host name.",
    )
    yield Setting(
        "NSR_SAVE_SETS",
        list,
        help="Save sets, by path, to save and restore. If empty: the mount points of all file systems that a"
        " recovery recreates.",
    )
    yield Setting(
        "NSR_RECOVER_TIME",
        str,
        help="Restore files as of this time: 2026-11-22 18:30:00, or a date alone. If empty: the newest backup. The"
        " option --backup of `rear recover` takes precedence.",
    )
    yield Setting(
        "NSR_POOL_NAME", str, help="Pool that `rear mkbackup` saves to. If empty, the server chooses by its rules."
    )
    yield Setting(
        "NSR_RETENTION_TIME",
        str,
        help="How long the server keeps what `rear mkbackup` saves, such as '2 weeks'. If empty, the client's policy"
        " decides.",
    )
    yield Setting(
        "NSR_SERVER_RESTORE", bool, default=False,
        help="Whether an administrator restores the files from the server (a directed recovery), because this client"
        " may not. A recovery says what goes where, and waits at the terminal.",
    )  # fmt: skip
    yield Setting("NSR_RESULT_SAVE", bool, default=False, help="Whether `save` also keeps the finished rescue media.")


@hookimpl
def rear_setup() -> Iterable[Ask]:
    yield Ask("NSRSERVER", "Host name of the NetWorker server, if /nsr/res/servers does not have it first")


@hookimpl
def rear_rescue_contents() -> Contents:
    from . import client

    return Contents(
        PROGRAMS, OPTIONAL, files=FILES, library_directories=client.libraries(), secrets=SECRETS, watched=WATCHED
    )


@hookimpl
def rear_prep() -> Iterable[Step]:
    yield Step(40, "Check that the NetWorker server knows this client", check_client)


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
    yield Step(50, "Save the files to the NetWorker server", save_files)


@hookimpl
def rear_output(run: Run) -> Iterable[Step]:
    if run.settings["NSR_RESULT_SAVE"]:
        yield Step(95, "Save the rescue media to the NetWorker server", save_media)


@hookimpl
def rear_config(run: Run) -> Iterable[Step]:
    if not run.demo:
        yield Step(50, "Start the NetWorker client", start_client)


@hookimpl
def rear_verify() -> Iterable[Step]:
    yield Step(40, "Check that the NetWorker server has all file systems", check_backup)


@hookimpl
def rear_restore() -> Iterable[Step]:
    yield Step(50, "Restore the files from the NetWorker server", restore_files)


@hookimpl
def rear_list() -> Iterable[Step]:
    yield Step(50, "Ask the NetWorker server for save sets", list_backups)


def list_backups(run: Run) -> None:
    """List the save sets of this client by their time."""
    from rear_core.archive import external

    from . import client

    external.show(run, client.all_save_sets(run))


def check_client(run: Run) -> None:
    """Ask the server about this client; `Refused` when it does not answer."""
    from . import client

    found = client.save_sets(run, None)
    run.report.detail(f"The NetWorker server {client.server(run)} has {len(found)} save sets of {client.name(run)}")


def look_for_backups(run: Run) -> None:
    """Warn when this machine could not be recovered as yet."""
    from rear_core.archive import external

    external.remind(run, external.recorded(run, run.settings["NSR_SAVE_SETS"]), held(run, None))


def held(run: Run, when: datetime | None) -> dict[str, str]:
    """The save sets that the server has, with their dates."""
    from . import client

    return {path: f"{saved:%Y-%m-%d %H:%M:%S}" for path, saved in client.save_sets(run, when).items()}


def save_files(run: Run) -> None:
    """Save each file system as a save set of its own; save does not cross mount points."""
    from rear_core.archive import external

    from . import client

    with external.saving(run) as save:
        for system in external.recorded(run, run.settings["NSR_SAVE_SETS"]):
            ended = save("save", *save_options(run), system.path, notable=NOTABLE, env=client.environment())
            judge(ended, f"saving {system.path}", run.report.warn)
            run.report.say(f"Saved {system.path}")


def judge(ended: Ended, work: str, tell: Callable[[str], None]) -> None:
    """`tell` what failed in the client's own words: it ends with 0 all the same."""
    from rear_core.archive import external

    if failed := [line.strip() for line in ended.notable if re.search(FAILED, line)]:
        tell(f"{work}: the client failed with {len(failed)} files: {external.few(failed)}; the log has all")


def save_options(run: Run) -> list[str]:
    """Server, client, pool and retention."""
    from . import client

    pool, retention = run.settings["NSR_POOL_NAME"], run.settings["NSR_RETENTION_TIME"]
    chosen = [*(["-b", pool] if pool else []), *(["-y", retention] if retention else [])]
    return ["-s", client.server(run), "-c", client.name(run), *chosen]


def save_media(run: Run) -> None:
    """Keep the finished media on the server, too; that they are here is what counts."""
    from . import client

    try:
        argv = ["save", *save_options(run), "-N", "rear-media", *map(str, run.results)]
        run.sh.run(*argv, env=client.environment(), timeout=3600)
    except RearError as error:
        run.report.warn(f"the rescue media were not saved on the server: {error.message}")


def start_client(run: Run) -> None:
    """Start nsrexecd, by which the server knows this client; it makes itself a daemon."""
    from . import client

    for place in client.DAEMON_PLACES:
        Path(place).mkdir(mode=0o755, parents=True, exist_ok=True)
    if not client.is_running("nsrexecd"):
        run.sh.run("nsrexecd", "-s", client.server(run), env=client.environment(), timeout=60)


def check_backup(run: Run) -> None:
    """Prove that every file system can be restored."""
    from rear_core.archive import by_hand, external

    when = external.moment(run, run.settings["NSR_RECOVER_TIME"])
    wanted, when = external.chosen(run, external.recorded(run, run.settings["NSR_SAVE_SETS"]), when)
    there = held(run, when)
    external.prove(run, wanted, there, when)
    if run.settings["NSR_SERVER_RESTORE"]:
        by_hand.check(run, "NSR_SERVER_RESTORE waits for an administrator of the server")
    # recover goes by the file index of the client, which is one tree whatever save sets it is made of.
    for path in sorted({path for path in there if path.startswith("/")} - {system.path for system in wanted}):
        run.report.warn(f"the server also has {path}: recover restores it too, into the file system above it")


def restore_files(run: Run) -> None:
    """Recover everything at once: recover puts files below -d by their path from the first folder they have in common.

    With / among the paths, as in every recovery of a machine, that folder is the root. Or the server does all that.
    """
    from rear_core.archive import by_hand, external

    from . import client

    with external.restoring(run) as (recover, found):
        if run.settings["NSR_SERVER_RESTORE"]:
            of = f", as of {found.moment:%Y-%m-%d %H:%M:%S}" if found.moment else ""
            text = f"On {client.server(run)} start a directed recovery from the client {client.name(run)} to it{of}."
            by_hand.wait_for(run, found, text)
            return
        paths = [system.path for system in found.file_systems]
        when = ["-t", f"{found.moment:%m/%d/%Y %H:%M:%S}"] if found.moment else []
        place = f"{run.target}{os.path.commonpath(paths)}".rstrip("/")
        argv = ["recover", "-s", client.server(run), "-c", client.name(run), *when, "-d", place, "-iY"]
        ended = recover(*argv, "-a", *paths, notable=NOTABLE, env=client.environment())
        judge(ended, "restoring", run.lack)
