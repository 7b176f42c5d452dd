# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens the place a URL names as a folder of this machine, for as long as it is needed."""

from __future__ import annotations

import os
import re
import shlex
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ProgramFailed, Refused
from ..mounts import unescaped
from ..url import Url

if TYPE_CHECKING:
    from ..run import Run
    from ..shell import Shell

MOUNT_SECONDS = 60
# What is still in memory is written first, and sticks are slow.
UNMOUNT_SECONDS = 600
DEVICE_SECONDS = 10
DISK_FOLDER = "rear"
MIB = 1024 * 1024

# nodev, nosuid: nothing that lies on a share may gain rights here. retry=0: a server that refuses is an error at once.
# soft: one that is gone later is an error, too, instead of a wait for ever. Whoever writes must flush to see it.
NFS_OPTIONS = "nodev,nosuid,soft,retry=0"
DISK_OPTIONS = "nodev,nosuid"


# What may pass when the network of a machine that has just started is not complete yet.
PASSING = ("Connection refused", "timed out", "No route to host", "Network is unreachable", "resolve", "resolution")
RETRY_SECONDS = 5


@contextmanager
def opened(run: Run, url: Url, options: str = "", *, patience: float = 0) -> Iterator[Path]:
    """The folder behind a URL; an NFS export or a disk is mounted in a private folder and unmounted at the end.

    On a disk that is the folder `rear`, which may have to be made. For `patience` seconds a server that does not answer
    is tried again. To keep it until the run ends, `run.undo.enter_context(opened(...))`.
    """
    if url.scheme == "file":
        yield Path(url.path)
        return
    with mounted(run, url, options, patience=patience) as directory:
        yield directory / DISK_FOLDER if url.scheme == "usb" else directory


@contextmanager
def mounted(run: Run, url: Url, options: str = "", *, patience: float = 0) -> Iterator[Path]:
    """The root of an NFS export or disk, mounted in a private folder and unmounted at the end."""
    command = _mount_command(run, url, options)
    directory = run.build_dir / f"mount.{uuid.uuid4().hex[:8]}"
    directory.mkdir(mode=0o700)
    try:
        _mount(run, url, [*command, os.fspath(directory)], patience)
        try:
            yield directory
        finally:
            _unmount(run, url, directory)
    finally:
        # What is still mounted is told by the error that says why; it goes with the work area.
        with suppress(OSError):
            directory.rmdir()


def _mount(run: Run, url: Url, command: list[str], patience: float) -> None:
    deadline = time.monotonic() + patience
    while True:
        try:
            run.sh.run(*command, timeout=MOUNT_SECONDS)
            return
        except ProgramFailed as error:
            left = deadline - time.monotonic()
            if left <= 0 or not any(word in error.message for word in PASSING):
                hint = f"try it by hand: {shlex.join(command[:-1])} /mnt"
                raise Refused(f"cannot mount {url}: {error.message}", hint) from error
            run.report.say(f"{url} does not answer, trying again for {left:.0f} s: {error.message}")
            time.sleep(RETRY_SECONDS)


def _mount_command(run: Run, url: Url, options: str) -> list[str]:
    """What mounts a URL, without the mount point."""
    defaults = NFS_OPTIONS if url.scheme == "nfs" else DISK_OPTIONS
    words = ",".join(word for word in (defaults, options) if word)
    if url.scheme == "usb":
        return ["mount", "--options", words, find_device(run.sh, url.path)]
    if not run.sh.which("mount.nfs"):
        raise Refused(f"{url} cannot be mounted without mount.nfs", run.plugins.install_advice(["mount.nfs"]))
    return ["mount", "--types", "nfs", "--options", words, url.nfs_source]


def _unmount(run: Run, url: Url, directory: Path) -> None:
    try:
        run.sh.run("umount", directory, timeout=UNMOUNT_SECONDS)
    except ProgramFailed as error:
        run.report.warn(
            f"cannot unmount {url} yet; the kernel unmounts it when it is no longer in use: {error.message}"
        )
        run.sh.run("umount", "--lazy", directory, timeout=UNMOUNT_SECONDS)


def find_device(sh: Shell, name: str, *, seconds: float = DEVICE_SECONDS) -> str:
    """The device that a path means, waited for: drivers of USB find a disk some seconds after the machine has started.

    Raises `Refused` when there is none, or when several carry the label or identifier of the path.
    """
    deadline = time.monotonic() + seconds
    while not (found := devices_named(sh, name)) and time.monotonic() < deadline:
        time.sleep(0.5)
    if not found:
        raise Refused(f"there is no {name}", "plug the disk in; `lsblk --output NAME,LABEL,UUID` lists what is there")
    if len(found) > 1:
        raise Refused(
            f"{name} could be {' or '.join(found)}", "unplug the others, or name one by /dev/disk/by-uuid/UUID"
        )
    return found[0]


def devices_named(sh: Shell, name: str) -> list[str]:
    """All devices that a path means; where a label or identifier is not unique, udev links to any one of them.

    >>> devices_named(sh, "/dev/disk/by-label/REAR-000")
    ['/dev/sdb3']
    """
    # blkid(8), TOKENS: LABEL, UUID, PARTLABEL, PARTUUID; udev writes special characters as \x20 in its links.
    if match := re.fullmatch(r"/dev/disk/by-(label|uuid|partlabel|partuuid)/(.+)", name):
        token = f"{match[1].upper()}={unescaped(match[2])}"
        # The cache of blkid may tell of a disk that is gone. 2: there is none.
        options = ("--cache-file", "/dev/null", "--match-token", token, "--output", "device")
        return sh.query("blkid", *options, ok=(0, 2)).splitlines()
    path = os.path.realpath(name)
    return [path] if Path(path).is_block_device() else []


def check_room(directory: Path, needed: int, setting: str) -> None:
    """Raise `Refused` unless a folder, or the one it will be made in, can be written and has room."""
    existing = next(path for path in (directory, *directory.parents) if path.exists())
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
    """Raise `Refused` unless a file can be made in a folder, or where that will be; mode bits alone do not tell."""
    existing = next(path for path in (directory, *directory.parents) if path.exists())
    probe = existing / f".rear-{uuid.uuid4().hex}"
    try:
        probe.touch(mode=0o600, exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise Refused(
            f"{place} cannot be written: {error.strerror}",
            "check that it is read-write, and that the server lets root write (no_root_squash)",
        ) from error
