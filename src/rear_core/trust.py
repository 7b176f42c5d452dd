# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether what root reads and runs is root's: nobody else may be able to change it, or to put another in its place."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from shlex import quote

from . import own_files
from .errors import ConfigurationError

# As many links as the kernel follows, see path_resolution(7).
MOST_LINKS = 40


def changeable(path: Path) -> str:
    """The first place on the way to a path that users other than root can change, and by what; "" when there is none.

    The way is the kernel's: every folder from the root on, and where there is a link, itself and then what it leads to.
    In a folder with the sticky bit, as /tmp, nobody can replace what is root's, but what is not there anybody can make.
    """
    here, waiting, links = Path("/"), [*reversed(path.absolute().parts)], 0
    while waiting:
        name = waiting.pop()
        place = here / name
        if name == "..":
            # All links are behind, so that it is what the kernel takes it for.
            here = here.parent
        elif not os.path.lexists(place):
            return f"users other than root can create {place}" if here.stat().st_mode & stat.S_ISVTX else ""
        elif problem := _problem(place, place.lstat()):
            return problem
        elif not place.is_symlink():
            here = place
        elif (links := links + 1) > MOST_LINKS:
            return ""
        else:
            waiting += reversed(Path(os.readlink(place)).parts)
    return ""


def check_secret(path: Path, setting: str) -> None:
    """Raise `ConfigurationError` unless a file of passwords is there, and nobody but root can read or change it."""
    try:
        check_private(path, path.stat(), setting)
    except OSError as error:
        raise ConfigurationError(f"cannot read {setting} {path}: {error.strerror}", "create it") from error
    if problem := changeable(path):
        raise ConfigurationError(
            f"{setting} {path} is not controlled by root alone: {problem}", "chown root and chmod go-w the named path"
        )


def check_private(path: Path, found: os.stat_result, setting: str) -> None:
    """Raise `ConfigurationError` for what is no file of root alone; no advice is to change /dev/null or /etc/passwd."""
    own_files.check(path, found)
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        name = quote(os.fspath(path))
        raise ConfigurationError(
            f"{setting} {path} can be read by others", f"if it is only for that: chown root {name}; chmod 600 {name}"
        )


def changeable_in(folder: Path) -> str:
    """The same of a folder with all that is in it."""
    return changeable(folder) or next(filter(None, _problems_in(folder)), "")


def _problems_in(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        # What is gone meanwhile nobody reads.
        with suppress(FileNotFoundError):
            yield _problem(path, path.lstat())


def _problem(place: Path, found: os.stat_result) -> str:
    if found.st_uid not in (0, os.geteuid()):
        return f"{place} belongs to another user than root"
    if stat.S_ISLNK(found.st_mode):
        return ""
    by_group = found.st_mode & stat.S_IWGRP and (found.st_gid != 0 or _has_list(place))
    is_sticky = stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX
    if (by_group or found.st_mode & stat.S_IWOTH) and not is_sticky:
        return f"users other than root can write {place}"
    return ""


def _has_list(place: Path) -> bool:
    """Whether the group's rights are the most that an access control list gives to anybody, see acl(5)."""
    try:
        return bool(os.getxattr(place, "system.posix_acl_access"))
    except OSError as error:
        return error.errno not in (errno.ENODATA, errno.ENOTSUP)
