# SPDX-License-Identifier: GPL-3.0-or-later
"""Tries whether what belongs to files is there again: owners, rights, times, hard links, ACLs, extended attributes."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rear_core.errors import OF_THE_MACHINE

UID, GID, MODE = 23451, 34512, 0o4750
NOTE = "trusted.rear"
ACL = "system.posix_acl_access"
# What the kernel keeps of `setfacl --modify user:45123:r`: a version, and kind, rights and id of each entry.
_NOBODY = 0xFFFFFFFF
_WHO = ((0x01, 7, _NOBODY), (0x02, 4, 45123), (0x04, 5, _NOBODY), (0x10, 5, _NOBODY), (0x20, 0, _NOBODY))
ENTRIES = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in _WHO)
# By the words of RSYNC_ATTRIBUTES, what the kernel and the user call them; and what they are tried with.
NAMED = {"acls": (ACL, "ACLs"), "xattrs": (NOTE, "extended attributes")}
ATTRIBUTES = {"acls": ENTRIES, "xattrs": b"rear"}
FILE, LINK = "file", "link"
TIME = 1_234_567_890_123_456_700
TIMES = "exact times"


def make(folder: Path) -> None:
    """Make a file with as much of that as a folder takes, and a hard link; raises `OSError` where its disk fails."""
    path = folder / FILE
    path.write_bytes(b"rear\n")
    with _without():
        os.link(path, folder / LINK)
    with _without():
        os.chown(path, UID, GID)
    with _without():
        path.chmod(MODE)
    for word, (name, _) in NAMED.items():
        with _without():
            os.setxattr(path, name, ATTRIBUTES[word])
    with _without():
        os.utime(path, ns=(TIME, TIME))


@contextmanager
def _without() -> Iterator[None]:
    """A block that a file system need not know or allow."""
    try:
        yield
    except OSError as error:
        if error.errno in OF_THE_MACHINE:
            raise


def lost(folder: Path, like: Path | None = None, *, coarse: bool = False, wanted: Sequence[str] = tuple(NAMED)) -> str:
    """What of it is not there, "" when all is; what is not there `like` in another folder is not missed, nor parts of
    seconds of a `coarse` time, nor attributes that are not `wanted`."""
    path, other = folder / FILE, (like or folder) / FILE
    try:
        status = path.stat()
        if (status.st_uid, status.st_gid) != (UID, GID):
            return "owners"
        if status.st_mode & 0o7777 != (other.stat().st_mode & 0o7777 if like else MODE):
            return "rights"
        if not coarse and status.st_mtime_ns != (other.stat().st_mtime_ns if like else TIME):
            return TIMES
        if not os.path.samefile(path, folder / LINK):
            return "hard links"
    except OSError as error:
        return f"a file ({error.strerror})"
    # What nobody could give to the other one is not missed.
    given = {word: _attribute(other, NAMED[word][0]) if like else ATTRIBUTES[word] for word in wanted}
    gone = [NAMED[word][1] for word, value in given.items() if _attribute(path, NAMED[word][0]) != value]
    return " and no ".join(gone)


def _attribute(path: Path, name: str) -> bytes:
    try:
        return os.getxattr(path, name)
    except OSError:
        return b""


def advice(lost: str, other: str) -> str:
    """What to do where something of files is not kept."""
    if lost == TIMES:
        return (
            "set RSYNC_OPTIONS=( --modify-window=0 ): rsync then compares seconds, and misses what changes twice in one"
        )
    if any(what in lost for _, what in NAMED.values()):
        return f"{other}; or set RSYNC_ATTRIBUTES=(), and nothing that is recovered has ACLs, capabilities or labels"
    return other
