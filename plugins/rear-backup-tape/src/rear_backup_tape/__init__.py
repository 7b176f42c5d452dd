# SPDX-License-Identifier: GPL-3.0-or-later
"""BACKUP=TAPE: backups on magnetic tape, on one or several."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rear_core import Ask, Contents, Run, Setting, Step, hookimpl

if TYPE_CHECKING:
    from rear_core.media.format import Format

    from .place import Tapes


@hookimpl
def rear_settings() -> Iterable[Setting]:
    from rear_core.media.tape import DEVICE

    yield DEVICE
    yield Setting(
        "TAPE_BLOCK_SIZE",
        int,
        default=256 << 10,
        aliases=("TAPE_BLOCKSIZE",),
        check=_block_size,
        help="Bytes in each record of a backup on tape. The drive and its host adapter must accept records of that"
        " size; small records keep a fast drive from streaming.",
    )
    yield Setting(
        "TAPE_VERIFY", bool, default=True,
        help="Whether rear reads each tape back after writing it, and compares it with the checksum of what it sent.",
    )  # fmt: skip


@hookimpl
def rear_formats() -> Iterable[Format]:
    from rear_core.media.tape import FORMAT

    yield FORMAT


@hookimpl
def rear_setup() -> Iterable[Ask]:
    from rear_core.archive.encryption import ASK as ASK_KEY
    from rear_core.media.tape import ASK

    yield ASK
    yield ASK_KEY


@hookimpl
def rear_rescue_contents(run: Run) -> Contents:
    from rear_core.archive import rescue_contents
    from rear_core.contents import merge

    return merge([rescue_contents(run.settings), Contents(modules=["st"])])


@hookimpl
def rear_prep(run: Run) -> Iterable[Step]:
    if "backup" in run.phases:
        yield Step(40, "Check the tape", check_tape)


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


def check_tape(run: Run) -> None:
    """Raise `Refused` unless there is a tape in the drive that a backup of this machine may be written to."""
    from rear_core.archive import check_tools

    place = tapes(run)
    with place.drive(place.device, write=True) as tape:
        place.check_writable(tape)
    check_tools(run)


def save_files(run: Run) -> None:
    """Save the files of this machine to tape."""
    from rear_core import archive

    archive.save(run, tapes(run))


def check_backup(run: Run) -> None:
    """Read the backup on tape from its beginning to its end."""
    from rear_core import archive

    archive.check(run, tapes(run))


def restore_files(run: Run) -> None:
    """Restore the files from tape."""
    from rear_core import archive

    archive.restore(run, tapes(run))


def list_backups(run: Run) -> None:
    """List the backup on the tape in the drive."""
    from rear_core.archive import kept

    kept.look(run, tapes(run))


def tapes(run: Run) -> Tapes:
    """The tapes of this machine."""
    from .place import Tapes

    return Tapes(run)


def _block_size(value: int) -> str:
    from .volume import LARGEST_BLOCK

    return "" if 512 <= value <= LARGEST_BLOCK else f"must be 512 to {LARGEST_BLOCK} (bytes)"
