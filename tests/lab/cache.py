# SPDX-License-Identifier: GPL-3.0-or-later
"""Costly things are made once and kept outside the checkout, named by a hash of all they are made of."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rear_core.mounts import mount_points
from rear_core.removal import discard, remove_tree

KEY = "[0-9a-f]{16}"
KEPT_OF_A_KIND = 2
KEPT_SECONDS = 2 * 60 * 60
# Nobody holds a folder in the moment after it was made.
NEW_SECONDS = 60


def directory() -> Path:
    """Where everything is kept; REAR_TEST_CACHE moves it."""
    path = Path(os.environ.get("REAR_TEST_CACHE", "/var/cache/rear-tests"))
    path.mkdir(parents=True, exist_ok=True)
    return path


def transcript(name: str) -> Path:
    """Where the transcript of a machine goes, which is new each time."""
    path = directory() / "transcripts" / f"{name}.log"
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    return path


def digest(*parts: str | bytes) -> str:
    """A short name for the parts, each of which counts."""
    found = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        found.update(b"%d:" % len(data) + data)
    return found.hexdigest()[:16]


def cached(kind: str, key: str, make: Callable[[Path], None]) -> Path:
    """The file or directory `<kind>-<key>`; `make` writes it, at a path beside, when it is not there yet.

    Whoever comes second waits for the first. Things of the same kind not used for a while are removed, and
    what killed runs have left of them.
    """
    path = directory() / f"{kind}-{key}"
    with locked(path.with_name(path.name + ".lock")):
        if not path.exists():
            unfinished = path.with_name(path.name + ".new")
            _remove(unfinished)
            make(unfinished)
            unfinished.rename(path)
        os.utime(path)
    for used, old in sorted((_last_used(other), other) for other in _finished(kind) if other != path)[:-KEPT_OF_A_KIND]:
        if time.time() - used > KEPT_SECONDS:
            with locked(old.with_name(old.name + ".lock")):
                _remove(old)
    for unfinished in directory().glob(f"{kind}-*.new"):
        # Of a run that was killed; where one is still at work, it holds the lock. What it has mounted there, as long as
        # a program of it lives on, is no fault of whoever comes now.
        if re.fullmatch(KEY, unfinished.stem[len(kind) + 1 :]):
            with suppress(OSError, RuntimeError), _held(unfinished.with_suffix(".lock")):
                _remove(unfinished)
    return path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """A block that only one process is in at a time, by this path."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def scratch(kind: str, parent: str | None = None) -> Iterator[Path]:
    """A block with a new folder, in that for temporary ones or another; what killed runs have left there goes first."""
    prefix, parent = f"rear-held-{kind}.", parent or tempfile.gettempdir()
    for left in Path(parent).glob(f"{prefix}*"):
        # Somebody else may remove it just now.
        with suppress(OSError), _held(left):
            if left.stat().st_uid == os.geteuid() and time.time() - left.stat().st_mtime > NEW_SECONDS:
                discard(left)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=parent) as path, _held(Path(path)):
        yield Path(path)


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """A block in which a folder or lock of ours is used; fails where another process uses it."""
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(file)


def _finished(kind: str) -> list[Path]:
    """Things of a kind, without what somebody is just making: a tree in the making has /proc and /dev mounted."""
    return [path for path in directory().glob(f"{kind}-*") if re.fullmatch(KEY, path.name[len(kind) + 1 :])]


def _last_used(path: Path) -> float:
    """When somebody used a thing last; what another builder has just renamed or removed is in use."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return time.time()


def _remove(path: Path) -> None:
    if path.is_dir():
        # Whatever is mounted in there, by mistake or on purpose, is not ours to empty.
        if any(point.target.startswith(f"{path}/") for point in mount_points()):
            raise RuntimeError(f"{path} is in use: something is mounted in it")
        remove_tree(path)
    else:
        path.unlink(missing_ok=True)
