# SPDX-License-Identifier: GPL-3.0-or-later
"""An archive in volumes: written until a medium is full, then on to the next, each with a checksum of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from ..errors import RearError

# Bytes that have a checksum of their own where a place can be read from any byte on.
CHUNK = 16 << 20
HEX = 64
# So many chunks fill 8 MiB of a manifest. An archive may become larger than its files looked, as where file systems
# compress them or let them share blocks.
MANY = 1 << 17

Block = Callable[[], AbstractContextManager[None]]


def chunk_size(size: int) -> int:
    """The bytes of each chunk of an archive of about this size.

    >>> chunk_size(2 << 40) >> 20, chunk_size(1 << 50) >> 20
    (16, 8192)
    """
    chunk = CHUNK
    while chunk * MANY < size:
        chunk *= 2
    return chunk


@dataclass(frozen=True)
class Volume:
    """What one medium holds of an archive.

    `sha256` is the SHA-256 of it all; or, when there are `chunks`, of those: the SHA-256 of each `chunk_size` bytes,
    in 64 hexadecimal digits, one after the other.
    """

    size: int
    sha256: str
    chunk_size: int = 0
    chunks: str = ""

    @property
    def count(self) -> int:
        """How many chunks there are."""
        return -(-self.size // self.chunk_size) if self.chunk_size else 0

    def chunk(self, number: int) -> Volume:
        """A chunk as if it were a volume; the first has number 0."""
        size = min(self.chunk_size, self.size - number * self.chunk_size)
        return Volume(size, self.chunks[number * HEX : (number + 1) * HEX])


class Damaged(RearError):
    """A volume that cannot be read, or is not what was written."""


class Checksum:
    """The checksum of a volume while its bytes come, and those of its chunks, if it has such."""

    def __init__(self, chunk_size: int = 0) -> None:
        self.chunk_size = chunk_size
        self.size = 0
        self.chunks: list[str] = []
        self._digest = hashlib.sha256()

    def update(self, data: memoryview) -> None:
        """Go on with these bytes."""
        while self.chunk_size and self.size % self.chunk_size + len(data) >= self.chunk_size:
            rest = self.chunk_size - self.size % self.chunk_size
            self._update(data[:rest])
            self.chunks.append(self._digest.hexdigest())
            self._digest = hashlib.sha256()
            data = data[rest:]
        self._update(data)

    def volume(self) -> Volume:
        """All that came so far."""
        if not self.chunk_size:
            return Volume(self.size, self._digest.hexdigest())
        rest = [self._digest.hexdigest()] if self.size % self.chunk_size else []
        chunks = "".join(self.chunks + rest)
        return Volume(self.size, hashlib.sha256(chunks.encode()).hexdigest(), self.chunk_size, chunks)

    def _update(self, data: memoryview) -> None:
        self._digest.update(data)
        self.size += len(data)


class Target(Protocol):
    """A backup while it is written: its archive in one volume or several, and after it a few small files.

    `name` is the time it is called by, `number` counts the backups there, 0 where nobody does. Blocks have
    `block_size` bytes, the last one fewer; 0 means of any size. Each `chunk_size` bytes have a checksum of their own;
    0 is for media that are only read from their beginning to their end.
    """

    name: str
    number: int
    block_size: int
    chunk_size: int

    def write(self, block: memoryview) -> int:
        """Write the beginning of a block, and say how many bytes that is: fewer than it has when the volume is full."""

    def end_volume(self, volume: Volume, *, last: bool) -> None:
        """The volume is complete and has this checksum; what is written now belongs to the next, unless it was the
        last."""

    def add(self, name: str, text: str) -> None:
        """Write a small file, after the archive."""


class Writer:
    """Writes an archive to a target and keeps the checksums of the whole and of its volumes.

    Each write is in a block of `writing`, each end of a volume in one of `ending`.
    """

    def __init__(self, target: Target, writing: Block = nullcontext, ending: Block = nullcontext) -> None:
        self.target = target
        self._writing = writing
        self._ending = ending
        self.size = 0
        self.volumes: list[Volume] = []
        # One and the same until there is a second volume: most archives have none.
        self._whole = self._volume = Checksum(target.chunk_size)
        self._block = memoryview(bytearray(target.block_size))
        self._waiting = 0

    def __call__(self, data: memoryview) -> None:
        if not self._block:
            self._write(data)
        while self._block and data:
            part = data[: len(self._block) - self._waiting]
            self._block[self._waiting : self._waiting + len(part)] = part
            self._waiting += len(part)
            data = data[len(part) :]
            if self._waiting == len(self._block):
                self._flush()

    def end(self) -> None:
        """The archive is complete."""
        self._flush()
        self._end_volume(last=True)

    @property
    def sha256(self) -> str:
        """The checksum of all that was written."""
        return self._whole.volume().sha256

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, 0
        self._write(self._block[:waiting])

    def _write(self, block: memoryview) -> None:
        while block:
            with self._writing():
                count = self.target.write(block)
            written, block = block[:count], block[count:]
            self._whole.update(written)
            if self._volume is not self._whole:
                self._volume.update(written)
            self.size += count
            if block:
                self._end_volume(last=False)

    def _end_volume(self, *, last: bool) -> None:
        volume = self._volume.volume()
        if not volume.size and not last:
            raise RearError("the medium is full before anything was written to it", "use an empty one, or a larger one")
        self.volumes.append(volume)
        with self._ending():
            self.target.end_volume(volume, last=last)
        self._volume = Checksum(self.target.chunk_size)


def checked(blocks: Iterable[memoryview], name: str, volume: Volume) -> Iterator[memoryview]:
    """The blocks of a volume; raises `RearError` when they are not what they should be: at the end of the first chunk
    that is not, if it has chunks."""
    found = Checksum(volume.chunk_size)
    proven = 0
    try:
        for block in blocks:
            found.update(block)
            for chunk in found.chunks[proven:]:
                if chunk != volume.chunk(proven).sha256:
                    raise _damaged(name)
                proven += 1
            yield block
    except OSError as error:
        hint = "check its medium, disk or server, and run it again"
        raise Damaged(f"cannot read {name}: {error.strerror}", hint) from error
    if found.size < volume.size:
        raise Damaged(f"{name} is truncated: it has {found.size} of {volume.size} bytes", "choose another backup")
    if found.volume() != volume:
        raise _damaged(name)


def _damaged(name: str) -> Damaged:
    return Damaged(f"{name} is damaged: its checksum is wrong", "choose another backup with --backup DATE")
