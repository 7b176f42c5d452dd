# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts finished files into their place: beside it first, read back, then renamed; with their checksum."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..durable import flush
from ..errors import RearError

CHUNK = 4 * 1024 * 1024
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


def beside(path: Path) -> Path:
    """Where a file is written before it takes its place; always the same, as a killed run may leave it."""
    return path.with_name(f".{path.name}.part")


@dataclass(frozen=True)
class Extent:
    """A part of a file or image, in bytes."""

    start: int
    size: int


def checksum(path: Path) -> str:
    """The SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def checksum_within(path: Path, extents: Sequence[Extent]) -> str:
    """The SHA-256 of what some extents of a file hold, one after the other."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for extent in extents:
            file.seek(extent.start)
            for at in range(0, extent.size, CHUNK):
                digest.update(file.read(min(CHUNK, extent.size - at)))
    return digest.hexdigest()


def is_same(path: Path, extents: Sequence[Extent], source: Path) -> bool:
    """Whether some extents of a file, one after the other, are another file byte by byte."""
    if sum(extent.size for extent in extents) != source.stat().st_size:
        return False
    with path.open("rb") as file, source.open("rb") as original:
        for extent in extents:
            file.seek(extent.start)
            for at in range(0, extent.size, CHUNK):
                size = min(CHUNK, extent.size - at)
                if file.read(size) != original.read(size):
                    return False
    return True


def put_in_place(part: Path, path: Path, sha256: str) -> None:
    """Give a file that was written beside its place its name, and write NAME.sha256 as sha256sum(1) reads it.

    At no moment does a checksum lie beside a file it does not belong to.
    """
    flush(part)
    sums = path.with_name(path.name + ".sha256")
    sums.unlink(missing_ok=True)
    part.replace(path)
    sums_part = beside(sums)
    sums_part.write_text(f"{sha256}  {path.name}\n")
    flush(sums_part)
    sums_part.replace(sums)
    flush(path.parent)


def store(source: Path, path: Path, sha256: str, mode: int = 0o600) -> None:
    """Copy a finished file beside its place, read the copy back, and give it its name."""
    with _proven_copy(source, path, sha256) as part:
        part.chmod(mode)
        part.replace(path)
    flush(path.parent)


@contextmanager
def _proven_copy(source: Path, path: Path, sha256: str) -> Iterator[Path]:
    """A copy beside its place that was read back; what the block leaves there is removed."""
    part = beside(path)
    try:
        _copy(source, part)
        if checksum(part) != sha256:
            raise RearError(f"the copy {path} differs from {source}", "check that storage")
        yield part
    finally:
        part.unlink(missing_ok=True)


def _copy(source: Path, part: Path) -> None:
    """Copy a file so that reading the copy reads the disk or server, not the memory of this machine."""
    part.unlink(missing_ok=True)
    with source.open("rb") as old, os.fdopen(os.open(part, NEW_FILE, 0o600), "wb") as new:
        shutil.copyfileobj(old, new, CHUNK)
        new.flush()
        _settle(new.fileno())


def forget(path: Path) -> None:
    """Wait until a file is on its disk or server, and have the next reader read it from there."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _settle(descriptor)
    finally:
        os.close(descriptor)


def _settle(descriptor: int) -> None:
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
