# SPDX-License-Identifier: GPL-3.0-or-later
"""BACKUP=RSYNC: a folder with all files for each backup, on a server by ssh or on a disk; what did not change is a hard
link to the backup before."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from rear_core import Ask, BackupAccess, Contents, RearError, Refused, Run, Setting, Step, hookimpl
from rear_core.settings.shared import BACKUP_OPTIONS, BACKUP_URL

REAR_API = 1

KNOWN_HOSTS = ("/root/.ssh/known_hosts", "/root/.ssh/config", "/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_config")
# A server that is gone ends a command within a minute, and nobody is asked for a password.
RSH = "ssh -o BatchMode=yes -o ConnectTimeout=30 -o ServerAliveInterval=15 -o ServerAliveCountMax=4"
# They change how files travel, and not which.
OPTIONS = re.compile(
    r"-z|--(?:compress|(?:compress-level|compress-choice|skip-compress|bwlimit|sockopts|contimeout|address)=.+"
    r"|modify-window=0|whole-file|no-whole-file|checksum|fsync|open-noatime|ipv4|ipv6)"
)


def _address(value: str) -> str:
    from .address import problem

    return problem(value)


def _options(values: Sequence[str]) -> str:
    wrong = [value for value in values if not OPTIONS.fullmatch(value)]
    return f"has {wrong[0]!r}; only options such as --compress and --bwlimit=2000 are taken" if wrong else ""


def _keep(values: Sequence[str]) -> str:
    from rear_core.archive import retention

    return retention.problem(values)


@hookimpl
def rear_settings() -> Iterable[Setting]:
    yield BACKUP_URL
    yield BACKUP_OPTIONS
    yield Setting(
        "RSYNC_REPOSITORY", str, check=_address,
        help="The folder of all backups on a server: user@server:/folder, or ssh://user@server:22/folder; or a folder"
        " below BACKUP_URL. If empty: rsync below BACKUP_URL.",
    )  # fmt: skip
    yield Setting(
        "RSYNC_RSH", str, default=RSH,
        help="The command by which rsync and rear reach a server, such as ssh -o BatchMode=yes -i /run/key/id.",
    )  # fmt: skip
    yield Setting(
        "RSYNC_REMOTE_PATH", str,
        help="The name or path of rsync on the server, if that is not rsync.",
    )  # fmt: skip
    yield Setting(
        "RSYNC_FAKE_SUPER", str, default="auto", choices=("auto", "yes", "no"),
        help="Whether rsync keeps owners, devices, ACLs and the like in extended attributes of users on a server: auto,"
        " where the user there is not root.",
    )  # fmt: skip
    yield Setting(
        "RSYNC_ATTRIBUTES", list, default=("acls", "xattrs"), choices=("acls", "xattrs"),
        help="What to save of files besides owners, rights and times. With RSYNC_ATTRIBUTES=() a place that has none"
        " will do, as most of NFS; capabilities of programs and labels of SELinux are then lost.",
    )  # fmt: skip
    yield Setting(
        "RSYNC_OPTIONS", list, check=_options,
        help="More options for rsync, such as --compress, --bwlimit=2000, or --checksum, by which it compares contents"
        " instead of times and sizes.",
    )  # fmt: skip
    yield Setting(
        "RSYNC_KEEP", list, check=_keep,
        help="Which backups of this machine to keep: RSYNC_KEEP=( daily 7 weekly 4 monthly 6 ). If empty: the last"
        " ones, as many as BACKUP_KEEP says.",
    )  # fmt: skip


@hookimpl
def rear_setup() -> Iterable[Ask]:
    from rear_core.settings.shared import ASK_BACKUP_URL

    from .address import is_remote

    yield Ask(
        "RSYNC_REPOSITORY",
        "A folder on a server that ssh reaches with a key: user@server:/folder. Without it, it is a folder on a share"
        " or disk",
    )
    yield replace(ASK_BACKUP_URL, when=lambda answers: not is_remote(answers["RSYNC_REPOSITORY"]))


@hookimpl
def rear_rescue_contents(run: Run) -> Contents:
    from rear_core.contents import merge
    from rear_core.places.opening import kind_of

    from .address import is_remote

    url = run.settings["BACKUP_URL"]
    own = [Contents(programs=["rsync"])]
    if is_remote(run.settings["RSYNC_REPOSITORY"]):
        own.append(Contents(programs=["ssh"], files=KNOWN_HOSTS))
    else:
        own.append(Contents(programs=["find", "cat"]))
        own += [kind_of(run, url).contents] if url else []
    return merge(own)


@hookimpl
def rear_missing(run: Run) -> Iterable[str]:
    from .address import is_remote

    needed = "setpriv" if is_remote(run.settings["RSYNC_REPOSITORY"]) else "sync"
    if not run.sh.which(needed):
        yield needed


@hookimpl
def rear_backup_access(run: Run) -> BackupAccess:
    from rear_core.archive.repository import prefix

    from .address import is_remote
    from .opening import FOLDER

    address = run.settings["RSYNC_REPOSITORY"]
    return (
        BackupAccess(server=True) if is_remote(address) else BackupAccess(folder=f"{address or FOLDER}/{prefix(run)}")
    )


@hookimpl
def rear_prep() -> Iterable[Step]:
    yield Step(40, "Check that the place of the backups takes files with all that belongs to them", check_place)


@hookimpl
def rear_analyse_dr() -> Iterable[Step]:
    yield Step(50, "Record which file systems must be in the backup", record)


@hookimpl
def rear_analyse_rescue(run: Run) -> Iterable[Step]:
    if "backup" not in run.phases:
        yield Step(50, "Look for a backup of these file systems", look_for_backup)


@hookimpl
def rear_backup() -> Iterable[Step]:
    yield Step(50, "Save the files with rsync", save_files)


@hookimpl
def rear_verify() -> Iterable[Step]:
    yield Step(40, "Check that the backup is there and complete", check_backup)


@hookimpl
def rear_restore() -> Iterable[Step]:
    yield Step(50, "Restore the files with rsync", restore_files)


@hookimpl
def rear_list() -> Iterable[Step]:
    yield Step(50, "Look for the backups of this machine", list_backups)


@hookimpl
def rear_fetch() -> Iterable[Step]:
    yield Step(50, "Restore the chosen files with rsync", restore_some)


@hookimpl
def rear_mount() -> Iterable[Step]:
    yield Step(50, "Show the backups of this machine as folders", show_backups)


@hookimpl
def rear_forget() -> Iterable[Step]:
    yield Step(50, "Remove the backup", forget_backup)


def check_place(run: Run) -> None:
    """Try whether the place can keep backups; `Refused` or `ConfigurationError` with the reason when it cannot."""
    from rear_core import ConfigurationError
    from rear_core.errors import Interrupted

    try:
        _check_place(run)
    except (Refused, ConfigurationError, Interrupted):
        raise
    except RearError as error:
        raise Refused(error.message, error.hint or "see the log; rear changed nothing") from error


def _check_place(run: Run) -> None:
    from rear_core.archive.repository import prefix
    from rear_core.places.room import check_mounted

    from .address import is_remote
    from .client import version
    from .opening import opened
    from .saving import check_owner

    url = run.settings["BACKUP_URL"]
    if url and url.scheme == "file" and not is_remote(run.settings["RSYNC_REPOSITORY"]):
        check_mounted(run, url, "BACKUP_URL", prefix(run))
        if not os.path.isdir(url.path):
            raise Refused(f"BACKUP_URL={url}: there is no such folder", f"mount its disk, or create {url.path}")
    number = version(run)
    with opened(run) as store:
        store.check()
        check_owner(run, store, store.look())
        how = ", owners and the like in extended attributes" if store.keeps_in_attributes() else ""
        run.report.detail(f"rsync {number} saves to {store}{how}")


def record(run: Run) -> None:
    """Note the file systems without what the settings leave out."""
    from rear_core.archive import external
    from rear_core.archive.backup import selected_beside

    from .opening import lasting

    folder = lasting(run)
    external.record(run, selected_beside(run, folder.folder, folder.home) if folder else selected_beside(run, None))


def look_for_backup(run: Run) -> None:
    """Warn when this machine could not be recovered as yet."""
    from rear_core.archive import external
    from rear_core.archive.owned import own

    from .opening import opened

    with opened(run) as store:
        found = own(run, store.look().whole)
    held = dict.fromkeys(found[-1].paths, found[-1].name) if found else {}
    external.remind(run, external.recorded(run), held)


def list_backups(run: Run) -> None:
    """List the backups of this machine."""
    from rear_core.archive.kept import COMPLETE, Kept
    from rear_core.archive.owned import own

    from .opening import opened

    with opened(run) as store:
        there = store.look()
        mine = own(run, there.whole)
        for each in there.whole:
            state = COMPLETE if each in mine else f"of another machine, identity {each.machine:.40}"
            run.kept.append(Kept(each.name, each.bytes, each.files, each.host, state))
        run.kept += [Kept(each.name, state=each.flaw) for each in there.flawed]
        for name in there.unfinished:
            run.report.warn(f"{name} in {store} was never finished and takes up room; the next backup uses it")


def show_backups(run: Run) -> None:
    """Show the folder of this machine's backups, until the user ends it; `Refused` for one on a server of ssh."""
    from rear_core.archive import mounting

    from .folder import Folder
    from .opening import opened

    with opened(run) as store:
        if not isinstance(store, Folder):
            raise Refused(f"{store} cannot be shown here", "the files are on that server as they are; or use sshfs")
        mounting.show(run, store.place)


def forget_backup(run: Run) -> None:
    """Remove the backup of a date, once somebody has agreed."""
    from . import keeping
    from .opening import opened

    with opened(run) as store:
        keeping.forget(run, store, run.options.backup)


def save_files(run: Run) -> None:
    """Make a backup, prove it, and remove old ones."""
    from .opening import opened
    from .saving import save

    with opened(run) as store:
        save(run, store)


def check_backup(run: Run) -> None:
    """Prove that a backup of this machine can be restored; `RearError` with the reason otherwise."""
    from .restoring import check

    check(run)


def restore_files(run: Run) -> None:
    """Restore the files from the checked backup."""
    from .restoring import restore

    restore(run)


def restore_some(run: Run) -> None:
    """Restore single files from the checked backup."""
    from .restoring import fetch

    fetch(run)
