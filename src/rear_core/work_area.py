# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock of a run and its work area; both are left behind by nobody but a killed run, and cleared by the next."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import mkdtemp

from . import own_files
from .errors import NotBegun, ProgramFailed, RearError, Refused
from .mounts import mount_points
from .removal import remove_tree
from .report import Report
from .shell import Shell

MARK = ".rear-work-area"
NOT_WRITABLE = (errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EACCES)
# Seconds between two looks at a lock that is waited for.
PAUSE = 1.0
# With the number of its process, and where that name was taken with what mkdtemp(3) adds.
NAME = re.compile(r"rear\.(\d+)(?:\.\w+)?", re.ASCII)


def lock(var_dir: Path, undo: ExitStack, command: str, wait: int = 0) -> None:
    """Hold the lock of this machine until `undo` is unwound; raise `Refused`, saying who holds it, when it is still
    taken after so many minutes."""
    path = var_dir / "lock"
    try:
        var_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        hint = "check that file system: rear writes there" if error.errno in NOT_WRITABLE else own_files.REMOVE_IT
        raise Refused(f"cannot open the lock {path}: {error.strerror}", hint) from error
    undo.callback(os.close, descriptor)
    own_files.check(path, os.fstat(descriptor))
    deadline = time.monotonic() + wait * 60
    while not (taken := _taken(descriptor)) and time.monotonic() < deadline:
        time.sleep(PAUSE)
    if not taken:
        holder = os.read(descriptor, 200).decode(errors="replace").strip() or "unknown process"
        raise NotBegun(f"rear is already running: {holder}", "wait until it ends, or have --wait MINUTES do that")
    # It holds on a full disk as well, where nobody can say who has it.
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()}, rear {command}\n".encode())


def is_free(var_dir: Path) -> bool:
    """Whether no run holds the lock of this machine."""
    try:
        descriptor = os.open(var_dir / "lock", os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        return _taken(descriptor)
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    """Take the lock, if nobody has it: the kernel gives it back when its holder dies, however it dies."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def make(parent: Path, undo: ExitStack, *, keep: bool, sh: Shell, report: Report) -> Path:
    """A fresh `rear.<pid>` below `parent` for this user alone; removed when `undo` is unwound, unless `keep`.

    Where everyone can write, anybody can have taken all such names: then it is `rear.<pid>.<random>`.
    """
    remove_stale(parent, sh, report)
    path = parent / f"rear.{os.getpid()}"
    try:
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            path = Path(mkdtemp(prefix=f"{path.name}.", dir=parent))
            report.log(f"the work area is {path}: another program's file has its usual name")
    except OSError as error:
        raise Refused(f"cannot create the work area {path}: {error.strerror}", "set TMPDIR to another place") from error
    undo.callback(os.close, _claimed(path / MARK, os.O_CREAT))
    if keep:
        undo.callback(_keep, path, report)
    else:
        undo.callback(remove, path, sh)
    return path


def _claimed(mark: Path, flags: int = 0) -> int:
    """The mark of a work area, locked as long as its run lives; `BlockingIOError` when that of another run is."""
    descriptor = os.open(mark, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _keep(path: Path, report: Report) -> None:
    # Without the mark a later run does not take it for the remains of a killed one.
    (path / MARK).unlink()
    report.say(f"The work area {path} is kept")


def remove_stale(parent: Path, sh: Shell, report: Report) -> None:
    """Remove the work areas that killed runs of this user left; call it with the lock held."""
    mounted = {mount.target for mount in mount_points()}
    for path in Path(os.path.realpath(parent)).glob("rear.[0-9]*"):
        name = NAME.fullmatch(path.name)
        # What a user has mounted there may never answer.
        if name and os.fspath(path) not in mounted and not Path("/proc", name[1]).exists() and _is_ours(path):
            try:
                # A container has its own numbers of processes.
                claimed = _claimed(path / MARK)
            except BlockingIOError:
                continue
            report.detail(f"Removing {path}, left by a run that was killed")
            try:
                remove(path, sh)
            finally:
                os.close(claimed)


def remove(path: Path, sh: Shell) -> None:
    """Unmount everything below a work area, then delete it; nothing is deleted while something is mounted."""
    try:
        # The last one first, as it may cover others; and not where else the kernel shows the same (mount(8), shared).
        for mount in reversed(mounts_below(path)):
            sh.run("mount", "--make-rprivate", mount)
            sh.run("umount", "--lazy", mount)
    except ProgramFailed as error:
        raise RearError(f"cannot unmount what is below {path}: {error.message}", f"umount {mount}") from error
    if mounts_below(path):
        raise RearError(f"cannot unmount what is below {path}", f"unmount them, then remove {path}")
    try:
        remove_tree(path)
    except OSError as error:
        raise RearError(
            f"cannot remove the work area: {error.strerror}: {error.filename}", f"check it, then remove {path}"
        ) from error


def mounts_below(path: Path) -> list[str]:
    """Mount points at or below a directory, in the order of mounting; links are resolved, as the kernel does."""
    place = os.path.realpath(path)
    return [m.target for m in mount_points() if m.target == place or m.target.startswith(f"{place}/")]


def _is_ours(path: Path) -> bool:
    """Whether this user has made and marked a work area; others may change and remove what is not."""
    try:
        found, mark = path.lstat(), (path / MARK).lstat()
    except OSError:
        return False
    owners = {found.st_uid, mark.st_uid}
    return stat.S_ISDIR(found.st_mode) and stat.S_ISREG(mark.st_mode) and owners == {os.geteuid()}
