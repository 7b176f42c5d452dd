# SPDX-License-Identifier: GPL-3.0-or-later
"""What all backup methods share: the settings of selection and archives, and where files may be restored to."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ..errors import ProgramFailed, RearError, Refused
from ..hookspecs import hookimpl
from ..mounts import mounted_below
from ..settings.model import Setting, normal_paths
from ..step import Step

if TYPE_CHECKING:
    from ..run import Run

# Seconds: so much can be waiting in memory for a slow disk.
LONGEST = 4 * 3600.0


def _absolute(values: Sequence[str]) -> str:
    wrong = [value for value in values if not value.startswith("/")]
    return f"must be absolute paths, {wrong[0]!r} is not" if wrong else ""


def _patterns(values: Sequence[str]) -> str:
    """What is wrong with patterns of tar: the C library takes letters beyond ASCII in brackets for their bytes."""
    for value in values:
        brackets = re.findall(r"(?<!\\)\[[^\]]*\]?", value)
        if any(not found.endswith("]") for found in brackets) or re.search(r"(?<!\\)\\$", value):
            return f"must be patterns, but {value!r} has an unfinished part"
        if not "".join(brackets).isascii():
            return f"must have only ASCII in brackets, but {value!r} has other characters"
    return _absolute(values)


def _relative(value: str) -> str:
    path = PurePosixPath(value)
    return "must be the name of a folder below BACKUP_URL" if path.is_absolute() or ".." in path.parts else ""


def _positive(value: int) -> str:
    return "" if value > 0 else "must be 1 or more: the new backup is always kept"


def _not_negative(value: int) -> str:
    return "" if value >= 0 else "must be 0 or more"


def _long_enough(value: str) -> str:
    from ..archive.encryption import passphrase_problem

    return passphrase_problem(value)


@hookimpl
def rear_settings() -> Iterable[Setting]:
    """Which files are saved, and how archives are kept."""
    yield Setting(
        "BACKUP_PROG_INCLUDE", list, existing=True, check=normal_paths,
        help="More folders and mount points to save, which the description of the storage leaves out.",
    )  # fmt: skip
    yield Setting(
        "BACKUP_PROG_EXCLUDE", list, default=("/tmp/*", "/var/tmp/rear.*"), check=_patterns,
        aliases=("EXCLUDE_BACKUP",),
        help="Files and folders not to save, as patterns of their paths, in which * also matches a slash;"
        " '/tmp/*' leaves out what is in /tmp and keeps the folder.",
    )  # fmt: skip
    yield Setting(
        "BACKUP_COMPRESSION", str, default="zstd", choices=("zstd", "gzip", "xz", "none"),
        help="How archives are compressed; zstd and xz use all cores.",
    )  # fmt: skip
    yield Setting(
        "BACKUP_KEEP", int, default=2, check=_positive,
        help="How many backups of this machine to keep. rear removes the oldest after a new one is complete, so"
        " there must be room for one more.",
    )  # fmt: skip
    yield Setting(
        "BACKUP_READ_BACK", bool, default=True,
        help="Whether rear reads a new backup back from its disk or server and compares all of it, before it counts"
        " and an older one is removed. With no, rear compares only its size.",
    )  # fmt: skip
    yield Setting(
        "BACKUP_STALL_MINUTES", int, default=15, check=_not_negative,
        help="Minutes after which rear stops a backup, its check or a restore that waits for a silent server, disk"
        " or program; the error names the file, or the place of the backups. 0 waits forever.",
    )  # fmt: skip
    yield Setting(
        "BACKUP_CHECK", str, default="sample", choices=("sample", "all"),
        help="What a recovery reads of a backup before it writes to a disk: all of it, or a sample if it has more"
        " than 512 MiB (32 random parts of 16 MiB; parts are larger in archives of terabytes). Either way rear"
        " compares each part while restoring it.",
    )  # fmt: skip
    yield Setting(
        "BACKUP_PREFIX", str, aliases=("NETFS_PREFIX",), check=_relative,
        help="Folder of this machine's backups below BACKUP_URL. If empty: the host name.",
    )  # fmt: skip
    yield Setting(
        "BACKUP_ALLOW_SYSTEM_DISK", bool, default=False,
        help="Whether BACKUP_URL may be on a disk of this system, which a recovery erases, because another program"
        " copies the backups to another machine.",
    )  # fmt: skip
    yield Setting(
        "BACKUP_KEY", str, secret=True, aliases=("BACKUP_PROG_CRYPT_KEY",), check=_long_enough,
        help="Passphrase. If set, archives are encrypted (AES-256) and authenticated (HMAC-SHA256). rear never puts"
        " it on the rescue media: recover asks for it.",
    )  # fmt: skip
    yield Setting(
        "BACKUP_KEY_FILE", str, existing=True,
        help="File whose first line is the passphrase, instead of BACKUP_KEY. Only root may be able to read it.",
    )  # fmt: skip


@hookimpl
def rear_prep(run: Run) -> Iterable[Step]:
    if "backup" in run.phases:
        yield Step(10, "Check the paths to save", check_included)


@hookimpl
def rear_analyse_dr(run: Run) -> Iterable[Step]:
    """As soon as all checks of prep have passed, and as soon as the storage is known."""
    if {"build", "backup"} & {*run.phases}:
        yield Step(10, "Create the key that signs backups, if missing", make_key)
        yield Step(30, "Check that a recovery does not erase the backup", check_place_survives)


@hookimpl
def rear_verify(run: Run) -> Iterable[Step]:
    """Where nothing is recreated, files are restored to what is there."""
    if {"restore", "fetch"} & {*run.phases} and "recreate" not in run.phases:
        yield Step(5, "Check the target of the restore", check_target)


@hookimpl
def rear_restore(run: Run) -> Iterable[Step]:
    """Whatever brought the files."""
    yield Step(95, "Check that all files are written to disk", check_written)
    if run.demo:
        yield Step(97, "Keep the restored files for root alone", close_folder)
    if "finalize" not in run.phases:
        yield Step(99, "Check that all files are restored", check_all_back)


@hookimpl
def rear_list() -> Iterable[Step]:
    yield Step(10, "Check that the place of the backups is there", check_there)


@hookimpl
def rear_fetch() -> Iterable[Step]:
    yield Step(95, "Check that all files are written to disk", check_written)
    yield Step(99, "Check that all files are restored", check_all_back)


@hookimpl
def rear_mount() -> Iterable[Step]:
    yield Step(5, "Check the folder for the backups", check_folder)


def check_there(run: Run) -> None:
    """Refuse to say of a folder on a disk that is not mounted that it has no backups."""
    url = run.settings["BACKUP_URL"] if "BACKUP_URL" in run.settings.declared else None
    if url and url.scheme == "file" and not os.path.isdir(url.path):
        raise Refused(f"BACKUP_URL={url}: there is no such folder", f"mount its disk, or create {url.path}")


def check_folder(run: Run) -> None:
    """Refuse to show backups where something is."""
    _check_empty(run, Path(os.path.realpath(run.target)))


def check_included(run: Run) -> None:
    """Refuse an include that is not there, or that an exclude leaves out."""
    from ..archive.backup import check_included

    check_included(run)


def make_key(run: Run) -> None:
    """Make what backups are signed with, once."""
    from ..archive.signature import make_key

    make_key(run)


def check_place_survives(run: Run) -> None:
    """Refuse to make a backup on a disk that every recovery erases."""
    from ..archive.repository import prefix
    from ..storage.spared import check_backup_survives

    check_backup_survives(run, prefix(run))


def check_target(run: Run) -> None:
    """Refuse to restore over a running system; a demonstration goes into a new or empty folder alone."""
    target = Path(os.path.realpath(run.target))
    if target == Path("/"):
        raise Refused("rear never restores files over the running system", "choose a folder of its own")
    if run.demo:
        _check_empty(run, target)
    if not run.demo and not target.is_mount():
        raise Refused(f"nothing is mounted on {target}", "mount the target's file systems there first")


def _check_empty(run: Run, target: Path) -> None:
    """Raise `Refused` unless a folder is empty, or not there."""
    another = "choose an empty folder, or a new one"
    try:
        os.lstat(target)
    except FileNotFoundError:
        if os.path.lexists(run.target):
            raise Refused(f"{run.target} is a link to {target}, which does not exist", another) from None
        return
    except OSError as error:
        raise Refused(f"{target} cannot be a folder for the files: {error.strerror}", another) from error
    if not target.is_dir() or any(target.iterdir()):
        raise Refused(f"{target} is not an empty folder", another)


def check_all_back(run: Run) -> None:
    """Where nothing is made to start, what is missing fails the run at once."""
    if run.recovery.missing:
        raise RearError("; ".join(run.recovery.missing), f"everything else is in {run.target}; the log names them")


def close_folder(run: Run) -> None:
    """A folder got the mode of the old root directory, which everybody may enter."""
    run.target.chmod(0o700)


def check_written(run: Run) -> None:
    """Wait until everything below the target is on its disks; `RearError` when a disk did not take it."""
    for problem in unwritten(run):
        raise RearError(problem, "the disk is failing, or is smaller than it claims: see `dmesg`, and choose another")


def unwritten(run: Run) -> Iterator[str]:
    """What could not be written: programs that write are long gone when the kernel finds out (syncfs(2), Linux 5.8)."""
    for place in mounted_below(run.target) or [os.fspath(run.target)]:
        try:
            run.sh.run("sync", "--file-system", place, timeout=LONGEST)
        except ProgramFailed as error:
            yield f"not everything could be written to {place}: {error.message}"
