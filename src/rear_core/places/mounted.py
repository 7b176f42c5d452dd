# SPDX-License-Identifier: GPL-3.0-or-later
"""Places that are mounted for as long as they are needed: NFS exports, and disks that are plugged in."""

from __future__ import annotations

import shlex
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..contents import Contents
from ..errors import ProgramFailed, Refused
from .devices import find_device
from .url import Url

if TYPE_CHECKING:
    from ..run import Run

MOUNT_SECONDS = 60
# What is still in memory is written first, and sticks are slow.
UNMOUNT_SECONDS = 600
DISK_FOLDER = "rear"

# nodev, nosuid: nothing that lies on a share may gain rights here. retry=0: a server that refuses is an error at once.
# soft: one that is gone later is an error, too, instead of a wait for ever. Whoever writes must flush to see it.
NFS_OPTIONS = "nodev,nosuid,soft,retry=0"
DISK_OPTIONS = "nodev,nosuid"
NFS_CLIENT = Contents(
    # Version 4 of NFS needs mount.nfs alone, version 3 also rpcbind and rpc.statd.
    programs=["mount", "umount", "mount.nfs"],
    optional_programs=["mount.nfs4", "umount.nfs", "umount.nfs4", "rpcbind", "rpc.statd", "showmount"],
    modules=["nfs", "nfsv3", "nfsv4", "rpcsec_gss_krb5"],
    files=["/etc/netconfig*", "/etc/protocols*", "/etc/rpc*", "/etc/services*", "/etc/nfs.conf*"],
)

# What may pass when the network of a machine that has just started is not complete yet.
PASSING = (
    "Connection refused", "timed out", "No route to host", "Network is unreachable", "resolve", "resolution",
    "could not connect",
)  # fmt: skip
RETRY_SECONDS = 5


@contextmanager
def nfs(run: Run, url: Url, options: str, patience: float) -> Iterator[Path]:
    """An NFS export."""
    if not run.sh.which("mount.nfs"):
        raise Refused(f"{url} cannot be mounted without mount.nfs", run.plugins.install_advice(["mount.nfs"]))
    command = ["mount", "--types", "nfs", "--options", words(NFS_OPTIONS, options), url.nfs_source]
    with mounted(run, url, command, patience) as directory:
        yield directory


@contextmanager
def usb(run: Run, url: Url, options: str, patience: float) -> Iterator[Path]:
    """The folder `rear` of a disk."""
    with disk(run, url, options, patience) as directory:
        yield directory / DISK_FOLDER


@contextmanager
def disk(run: Run, url: Url, options: str, patience: float = 0) -> Iterator[Path]:
    """The root of a disk's file system."""
    command = ["mount", "--options", words(DISK_OPTIONS, options), find_device(run.sh, url.path)]
    with mounted(run, url, command, patience) as directory:
        yield directory


@contextmanager
def mounted(
    run: Run, url: Url, command: list[str], patience: float = 0, env: Mapping[str, str] | None = None
) -> Iterator[Path]:
    """What a command mounts in the folder that is its last word: a private one, unmounted at the end.

    `env` has what no other process may see among its arguments.
    """
    deadline = time.monotonic() + patience
    with private_folder(run) as directory:
        while True:
            try:
                run.sh.run(*command, directory, timeout=MOUNT_SECONDS, env=env)
                break
            except ProgramFailed as error:
                wait_or_refuse(run, url, error.message, command, deadline)
        try:
            yield directory
        finally:
            unmount(run, url, directory)


@contextmanager
def private_folder(run: Run) -> Iterator[Path]:
    """A new folder to mount something in."""
    directory = run.build_dir / f"mount.{uuid.uuid4().hex[:8]}"
    directory.mkdir(mode=0o700)
    try:
        yield directory
    finally:
        # The error says what is still mounted, and why; it goes with the work area.
        with suppress(OSError):
            directory.rmdir()


def wait_or_refuse(run: Run, place: object, problem: str, command: Sequence[str], deadline: float) -> None:
    """Wait for a server that may answer later; `Refused` where that is not so, or at the deadline (time.monotonic)."""
    left = deadline - time.monotonic()
    if left <= 0 or not any(word in problem for word in PASSING):
        raise Refused(f"cannot mount {place}: {problem}", f"try it by hand: {shlex.join(command)} /mnt")
    run.report.say(f"{place} does not answer, trying again for {left:.0f} s: {problem}")
    time.sleep(RETRY_SECONDS)


def words(*options: str) -> str:
    """Words for mount(8); of contradicting ones the last counts."""
    return ",".join(filter(None, options))


def unmount(run: Run, place: object, directory: Path) -> None:
    """Unmount it, or leave that to the kernel where something still uses it."""
    try:
        run.sh.run("umount", directory, timeout=UNMOUNT_SECONDS)
    except ProgramFailed as error:
        run.report.warn(
            f"cannot unmount {place} yet; the kernel unmounts it when it is no longer in use: {error.message}"
        )
        run.sh.run("umount", "--lazy", directory, timeout=UNMOUNT_SECONDS)
