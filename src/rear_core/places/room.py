# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a folder can be written, has room, and is the file system that it should be."""

from __future__ import annotations

import errno
import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import Refused
from ..fstab import read_fstab
from ..mounts import mount_of, mount_points
from .delivery import forget
from .url import Url

if TYPE_CHECKING:
    from ..run import Run

MIB = 1024 * 1024
PROBE = b"rear looks whether it can write here, and read it again\n"


def check_room(directory: Path, needed: int, setting: str) -> None:
    """Raise `Refused` unless a folder, or the one it will be made in, can be written and has room."""
    existing = _existing(directory, os.fspath(directory))
    if not existing.is_dir():
        raise Refused(f"{existing} is not a folder", f"set {setting} to another place")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise Refused(f"{existing} cannot be written", f"set {setting} to another place")
    status = os.statvfs(existing)
    free = status.f_bavail * status.f_frsize
    if free < needed:
        raise Refused(
            f"{existing} has {free // MIB} MiB free, but rear needs {-(-needed // MIB)} MiB",
            f"make room, or set {setting} to another place",
        )


def check_writable(directory: Path, place: str) -> None:
    """Raise `Refused` unless a file can be made in a folder, or where that will be, and be read again.

    Mode bits alone do not tell, and some clients and servers of NFS do not understand each other when they read.
    """
    probe = _existing(directory, place) / f".rear-{uuid.uuid4().hex}"
    try:
        with open(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(PROBE)
        try:
            forget(probe)
            came = probe.read_bytes()
        except OSError as error:
            raise _unreadable(place, error.strerror or "") from error
        finally:
            probe.unlink()
    except OSError as error:
        raise Refused(
            f"{place} cannot be written: {error.strerror}",
            "make room there"
            if error.errno in (errno.ENOSPC, errno.EDQUOT)
            else "check that it is read-write, and that the server lets root write (no_root_squash)",
        ) from error
    if came != PROBE:
        raise _unreadable(place, "it is not what was written")


def _unreadable(place: str, reason: str) -> Refused:
    return Refused(
        f"what was written to {place} cannot be read back: {reason}",
        "check its server or disk; with NFS, also try another version of the protocol, as BACKUP_OPTIONS=vers=4.1",
    )


def _existing(directory: Path, place: str) -> Path:
    """A folder, or the one of those above it that is there."""
    try:
        return next(path for path in (directory, *directory.parents) if path.exists())
    except OSError as error:
        raise Refused(f"{place} cannot be read: {error.strerror}", "check its server or disk") from error


def check_mounted(run: Run, url: Url, setting: str, folder: str = "") -> None:
    """Raise `Refused` when fstab has a file system for a folder below a URL, and it is not mounted.

    What it lies on is noted for `check_still_mounted`.
    """
    if url.scheme != "file":
        return
    place = os.path.realpath(f"{url.path}/{folder}")
    # To enter a folder has an automounter mount it.
    os.path.isdir(f"{place}/.")
    mounted = {mount.target for mount in mount_points()}
    for entry in read_fstab(run.sh):
        target = os.path.realpath(entry.target) if entry.target.startswith("/") else ""
        if len(target) > 1 and f"{place}/".startswith(f"{target}/") and target not in mounted:
            raise Refused(
                f"{setting}={url}: {entry.spec} is not mounted on {entry.target}, as fstab says",
                f"mount {entry.target}, and find out why it was not mounted",
            )
    run.place_mounts[str(url), f"{url.path}/{folder}"] = _holder(place)


def check_still_mounted(run: Run, url: Url) -> None:
    """Raise `Refused` when a folder lies on another mount point than when it was checked: on the disk of the system,
    or in memory, nobody looks for what is put there."""
    for (name, path), before in run.place_mounts.items():
        if name != str(url):
            continue
        os.path.isdir(f"{path}/.")
        if (now := _holder(path)) != before:
            raise Refused(
                f"{url} was on what is mounted on {before} when this run began, and is now on {now}",
                f"mount it on {before} again, and find out what unmounted it or mounted something over it",
            )


def _holder(path: str) -> str:
    """Where the file system of a folder is mounted, also of one that is made later."""
    mount = mount_of(path)
    return mount.target if mount else ""
