# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens the place a URL names as a folder of this machine, for as long as it is needed."""
from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ProgramFailed, Refused
from .url import Url

if TYPE_CHECKING:
    from ..run import Run

MOUNT_SECONDS = 60
UNMOUNT_SECONDS = 60
MIB = 1024 * 1024

# nodev, nosuid: nothing that lies on a share may gain rights here. retry=0: a server that refuses is an error at once.
# soft: one that is gone later is an error, too, instead of a wait for ever. Whoever writes must flush to see it.
DEFAULT_OPTIONS = "nodev,nosuid,soft,retry=0"


@contextmanager
def opened(run: Run, url: Url, options: str = "") -> Iterator[Path]:
    """The folder behind a URL; an NFS export is mounted in a private folder and unmounted at the end.

    To keep it until the run ends, `run.undo.enter_context(opened(...))`.
    """
    if url.scheme == "file":
        yield Path(url.path)
        return
    directory = run.build_dir / f"mount.{uuid.uuid4().hex[:8]}"
    directory.mkdir(mode=0o700)
    try:
        with _mounted(run, url, options, directory):
            yield directory
    finally:
        directory.rmdir()


@contextmanager
def _mounted(run: Run, url: Url, options: str, directory: Path) -> Iterator[None]:
    if not run.sh.which("mount.nfs"):
        raise Refused(f"{url} cannot be mounted without mount.nfs", run.plugins.install_advice(["mount.nfs"]))
    words = ",".join(word for word in (DEFAULT_OPTIONS, options) if word)
    command = ("mount", "--types", "nfs", "--options", words, url.nfs_source, directory)
    try:
        run.sh.run(*command, timeout=MOUNT_SECONDS)
    except ProgramFailed as error:
        raise Refused(
            f"cannot mount {url}: {error.message}",
            f"check the export by hand: mount -t nfs -o {words} {url.nfs_source} /mnt",
        ) from error
    try:
        yield
    finally:
        try:
            run.sh.run("umount", directory, timeout=UNMOUNT_SECONDS)
        except ProgramFailed as error:
            run.report.warn(f"cannot unmount {url} yet, it goes when no longer in use: {error.message}")
            run.sh.run("umount", "--lazy", directory, timeout=UNMOUNT_SECONDS)


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
            f"{existing} has {free // MIB} MiB free, {-(-needed // MIB)} MiB are needed",
            f"make room, or set {setting} to another place",
        )


def check_writable(directory: Path, place: str) -> None:
    """Raise `Refused` unless a file can be made in a folder: servers forbid what the mode bits allow."""
    probe = directory / f".rear-{uuid.uuid4().hex}"
    try:
        probe.touch(mode=0o600, exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise Refused(
            f"{place} cannot be written: {error.strerror}",
            "check that the export is read-write and maps root to one who may write (no_root_squash)",
        ) from error
