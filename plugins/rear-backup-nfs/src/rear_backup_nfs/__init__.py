# SPDX-License-Identifier: GPL-3.0-or-later
"""BACKUP=NFS: backups on a server (NFS, CIFS or ssh), on a disk that is plugged in for them, or in a folder."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from rear_core import Ask, BackupAccess, ConfigurationError, Contents, Refused, Run, Setting, Step, hookimpl
from rear_core.places.url import examples
from rear_core.settings.shared import BACKUP_OPTIONS, BACKUP_URL, LUKS_HEADER_BACKUP

# Seconds to wait for the server when recovering: switches may take this long to forward to a new port.
PATIENCE = 60


@hookimpl
def rear_settings() -> Iterable[Setting]:
    yield BACKUP_URL
    yield BACKUP_OPTIONS
    yield LUKS_HEADER_BACKUP


@hookimpl
def rear_setup() -> Iterable[Ask]:
    from rear_core.archive.encryption import ASK as ASK_KEY
    from rear_core.settings.shared import ASK_BACKUP_URL

    yield ASK_BACKUP_URL
    yield ASK_KEY


@hookimpl
def rear_rescue_contents(run: Run) -> Contents:
    from rear_core.archive import rescue_contents
    from rear_core.contents import merge
    from rear_core.places.opening import kind_of

    url = run.settings["BACKUP_URL"]
    return merge([rescue_contents(run.settings), kind_of(run, url).contents]) if url else Contents()


@hookimpl
def rear_backup_access() -> BackupAccess:
    return BackupAccess(archive=True)


@hookimpl
def rear_prep() -> Iterable[Step]:
    yield Step(1, "Check that the settings of the backup agree", check_settings, by_settings=True)
    yield Step(40, "Check that the place of the backup is writable", check_place)


@hookimpl
def rear_backup() -> Iterable[Step]:
    yield Step(50, "Save the files", save_files)


@hookimpl
def rear_verify() -> Iterable[Step]:
    yield Step(40, "Check that the backup is there, complete and authentic", check_backup)


@hookimpl
def rear_restore() -> Iterable[Step]:
    yield Step(50, "Restore the files", restore_files)


@hookimpl
def rear_list() -> Iterable[Step]:
    yield Step(50, "Look for the backups of this machine", list_backups)


@hookimpl
def rear_fetch() -> Iterable[Step]:
    yield Step(50, "Restore the chosen files", restore_files)


@hookimpl
def rear_forget() -> Iterable[Step]:
    yield Step(50, "Remove the backup", forget_backup)


def save_files(run: Run) -> None:
    """Save the files of this machine to BACKUP_URL."""
    from rear_core import archive

    with place(run) as directory:
        archive.save(run, directory)


def check_backup(run: Run) -> None:
    """Read the backup at BACKUP_URL from its beginning to its end; its place stays in use, so that nothing takes it."""
    from rear_core import archive

    with ExitStack() as undo:
        directory = undo.enter_context(place(run))
        archive.check(run, directory)
        undo.enter_context(archive.in_use(run, directory))
        run.undo.push(undo.pop_all())


def restore_files(run: Run) -> None:
    """Restore the files from BACKUP_URL."""
    from rear_core import archive

    with place(run) as directory:
        archive.restore(run, directory)


def list_backups(run: Run) -> None:
    """List the backups at BACKUP_URL."""
    from rear_core.archive import kept

    with place(run) as directory:
        kept.look(run, directory)


def forget_backup(run: Run) -> None:
    """Remove one backup at BACKUP_URL."""
    from rear_core.archive import kept

    with place(run) as directory:
        kept.forget(run, directory)


def place(run: Run) -> AbstractContextManager[Path]:
    """The folder that BACKUP_URL means, mounted for as long as it is needed."""
    from rear_core.places.opening import opened

    url = run.settings["BACKUP_URL"]
    if url is None:
        raise ConfigurationError("BACKUP_URL is not set", examples())
    options = run.settings["BACKUP_OPTIONS"]
    if run.only_reads:
        # They only read. The last one of contradicting options counts.
        return opened(run, url, ",".join(filter(None, (options, "ro"))), patience=PATIENCE)
    return opened(run, url, options)


def check_settings(run: Run) -> None:
    """Raise `ConfigurationError` where headers of LUKS volumes are wanted in a backup that is not encrypted."""
    from rear_core.archive import headers

    headers.check(run, bool(run.settings["BACKUP_KEY"] or run.settings["BACKUP_KEY_FILE"]))


def check_place(run: Run) -> None:
    """Mount BACKUP_URL, make a file there and remove it; raise `Refused` with the reason when that fails."""
    from rear_core.archive import check_tools
    from rear_core.archive.repository import FolderRepository, prefix
    from rear_core.places.room import check_mounted, check_writable

    url = run.settings["BACKUP_URL"]
    if url is None and "backup" not in run.phases:
        run.report.detail("BACKUP_URL is not set: preparing only the rescue system")
        return
    if url and url.scheme == "file":
        check_mounted(run, url, "BACKUP_URL", prefix(run))
        if not os.path.isdir(url.path):
            raise Refused(f"BACKUP_URL={url}: there is no such folder", f"mount its disk, or create {url.path}")
    with place(run) as directory:
        check_writable(directory, str(url))
        if "backup" in run.phases:
            FolderRepository(run, directory).check_owner()
    if "backup" in run.phases:
        check_tools(run)
