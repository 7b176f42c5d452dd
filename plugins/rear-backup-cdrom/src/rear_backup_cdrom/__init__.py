# SPDX-License-Identifier: GPL-3.0-or-later
"""BACKUP=CDROM: the backup on the rescue media themselves, on further discs where it is larger than one."""

from __future__ import annotations

from collections.abc import Iterable

from rear_core import Ask, BackupAccess, ConfigurationError, Contents, Run, Step, hookimpl

# A disc that was copied to a stick or disk is found there as well; loop for an image that lies in a folder.
READER = Contents(
    programs=["blkid", "lsblk", "mount", "umount"],
    modules=["isofs", "sr_mod", "cdrom", "loop"],
)


@hookimpl
def rear_setup() -> Iterable[Ask]:
    from rear_core.archive.encryption import ASK as ASK_KEY

    yield ASK_KEY


@hookimpl
def rear_rescue_contents(run: Run) -> Contents:
    from rear_core.archive import rescue_contents
    from rear_core.contents import merge

    return merge([rescue_contents(run.settings), READER])


@hookimpl
def rear_backup_access() -> BackupAccess:
    return BackupAccess()


@hookimpl
def rear_prep() -> Iterable[Step]:
    yield Step(40, "Check that the rescue media can carry the backup", check_media)


@hookimpl
def rear_analyse_dr(run: Run) -> Iterable[Step]:
    if "backup" in run.phases:
        yield Step(90, "Check that there is room for the media", check_room)


@hookimpl
def rear_backup() -> Iterable[Step]:
    yield Step(50, "Save the files for the rescue media", save_files)


@hookimpl
def rear_verify() -> Iterable[Step]:
    # Before the disks are looked at: what is mounted then is no disk to recover to.
    yield Step(10, "Find the discs with the backup", find_discs)
    yield Step(40, "Check that the backup is there, complete and authentic", check_backup)


@hookimpl
def rear_restore() -> Iterable[Step]:
    yield Step(50, "Restore the files", restore_files)


@hookimpl
def rear_list() -> Iterable[Step]:
    yield Step(50, "Look for discs with backups of this machine", list_backups)


@hookimpl
def rear_fetch() -> Iterable[Step]:
    yield Step(50, "Restore the chosen files", restore_files)


def check_media(run: Run) -> None:
    """Raise `Refused` for an output that carries no backup, `ConfigurationError` for a command that makes no media."""
    from rear_core.archive import check_tools
    from rear_core.media.carried import room

    room(run)
    if "backup" not in run.phases:
        return
    if "output" not in run.phases:
        raise ConfigurationError(
            "BACKUP=CDROM keeps the backup on the rescue media, but this command creates none", "run `rear mkbackup`"
        )
    check_tools(run)


def check_room(run: Run) -> None:
    """Raise `Refused` when there is surely too little room for the pieces of the backup and the images made of them."""
    from rear_core import archive
    from rear_core.media.carried import room

    from .discs import Discs
    from .pieces import check_space

    check_space(run, room(run), archive.estimate(run, Discs(run)))


def save_files(run: Run) -> None:
    """Save the files of this machine in pieces that fit the media, and have the output put them there."""
    from rear_core import archive

    from .discs import Discs

    archive.save(run, Discs(run))


def find_discs(run: Run) -> None:
    """Mount every disc with a backup of this machine that is there."""
    from .discs import Discs

    Discs(run).find()


def check_backup(run: Run) -> None:
    """Read the backup from its beginning to its end, asking for discs that are in no drive."""
    from rear_core import archive

    from .discs import Discs

    archive.check(run, Discs(run))


def restore_files(run: Run) -> None:
    """Restore the files, asking for the discs once more."""
    from rear_core import archive

    from .discs import Discs

    archive.restore(run, Discs(run))


def list_backups(run: Run) -> None:
    """List the backups on the discs that are in drives."""
    from rear_core.archive import kept

    from .discs import Discs

    kept.look(run, Discs(run))
