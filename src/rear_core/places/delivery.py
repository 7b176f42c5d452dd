# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts finished files into their place: beside it first, read back, then renamed; with their checksum."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..durable import flush
from ..errors import RearError
from ..interruption import held

CHUNK = 4 * 1024 * 1024
# What the medium before the newest is called.
OLD = ".old"
# FAT, shares of Windows, some servers behind sshfs.
NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
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


def put_in_place(path: Path, sha256: str, *, keep_old: bool = False) -> None:
    """Give a file that was written beside its place its name, as `put_all_in_place` does."""
    put_all_in_place({path: sha256}, path, keep_old=keep_old)


def put_all_in_place(
    files: Mapping[Path, str], medium: Path, note: str = "", *, keep_old: bool = False, mode: int = 0o644
) -> None:
    """Give files that were written beside their places their names, and write MEDIUM.sha256 as sha256sum(1) reads it.

    `files` are the places and the SHA-256 of each; a `note` is a comment among the checksums, which get this mode. With
    `keep_old` the files of before stay as NAME.old, with MEDIUM.old.sha256. A failure leaves all as it was: the files
    of a medium belong together. At no moment does a checksum lie beside a file it does not belong to.
    """
    for path in files:
        flush(beside(path))
    sums, old_sums = sums_of(medium), sums_of(old(medium))
    before = sums.read_text() if sums.exists() else ""
    with ExitStack() as tidy:
        moves = [(beside(path), path) for path in files]
        if keep_old:
            moves += [(_second(path, beside(old(path)), tidy), old(path)) for path in files if path.exists()]
        changed = [sums, old_sums] if len(moves) > len(files) else [sums]
        # One file alone changes in one moment.
        several = len(moves) > 1
        spares = {
            to: _second(to, to.with_name(f".{to.name}.before"), tidy) for _, to in moves if several and to.exists()
        }
        texts = {sums: sums_text(files, note)}
        if before and old_sums in changed:
            texts[old_sums] = re.sub(r"^([0-9a-f]{64}  .+)$", rf"\1{OLD}", before, flags=re.MULTILINE)
        for path, text in texts.items():
            tidy.callback(beside(path).unlink, missing_ok=True)
            _write_beside(path, text, mode)
        # A signal comes too early or too late: in between a medium would be there without its checksums.
        with held():
            _rename(moves, changed, spares if several else None, mode)
            for path in texts:
                beside(path).replace(path)
    flush(sums.parent)


def _rename(
    moves: Sequence[tuple[Path, Path]], changed: Sequence[Path], spares: Mapping[Path, Path] | None, mode: int
) -> None:
    """Remove the checksums and rename the files; a failure takes all back, with the `spares` of several files."""
    with ExitStack() as undo:
        for text in changed:
            if spares is not None and text.exists():
                undo.callback(_write, text, text.read_text(), mode)
            text.unlink(missing_ok=True)
        for part, path in moves:
            if spares is not None:
                undo.callback(_take_back, path, spares.get(path))
            part.replace(path)
        # All have their names: from here on nothing is taken back.
        undo.pop_all()


def sums_text(files: Mapping[Path, str], note: str = "") -> str:
    """SHA-256 of files as sha256sum(1) reads them, after a comment."""
    lines = [f"# {note}"] if note else []
    return "".join(f"{line}\n" for line in (*lines, *(f"{sha256}  {path.name}" for path, sha256 in files.items())))


def sums_of(medium: Path) -> Path:
    """Where the checksums of a medium lie."""
    return medium.with_name(f"{medium.name}.sha256")


def old(path: Path) -> Path:
    """Where the file before it is kept."""
    return path.with_name(path.name + OLD)


def _second(path: Path, name: Path, undo: ExitStack) -> Path:
    """A second name of a file; a copy where the file system has no links."""
    undo.callback(name.unlink, missing_ok=True)
    name.unlink(missing_ok=True)
    try:
        os.link(path, name)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        _copy(path, name)
        if checksum(name) != checksum(path):
            raise RearError(f"the copy {name} differs from {path}", "check that storage") from error
    return name


def _take_back(path: Path, spare: Path | None) -> None:
    if spare:
        spare.replace(path)
    else:
        path.unlink(missing_ok=True)


def _write(path: Path, text: str, mode: int) -> None:
    _write_beside(path, text, mode)
    beside(path).replace(path)


def _write_beside(path: Path, text: str, mode: int) -> None:
    part = beside(path)
    part.write_text(text)
    part.chmod(mode)
    flush(part)


def store(source: Path, path: Path, sha256: str, mode: int = 0o600) -> None:
    """Copy a finished file beside its place, read the copy back, and give it its name."""
    with proven_copy(source, path, sha256) as part:
        part.chmod(mode)
        part.replace(path)
    flush(path.parent)


@contextmanager
def proven_copy(source: Path, path: Path, sha256: str) -> Iterator[Path]:
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
