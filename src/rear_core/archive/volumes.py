# SPDX-License-Identifier: GPL-3.0-or-later
"""An archive in volumes: written until a medium is full, then on to the next, each with a checksum of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from ..errors import RearError


@dataclass(frozen=True)
class Volume:
    """What one medium holds of an archive."""

    size: int
    sha256: str


class Target(Protocol):
    """A backup while it is written: its archive in one volume or several, and after it a few small files.

    `name` is the time it is called by, `number` counts the backups there, 0 where nobody does. Blocks have
    `block_size` bytes, the last one fewer; 0 means of any size.
    """

    name: str
    number: int
    block_size: int

    def write(self, block: memoryview) -> int:
        """Write the beginning of a block, and say how many bytes that is: fewer than it has when the volume is full."""

    def end_volume(self, volume: Volume, *, last: bool) -> None:
        """The volume is complete and has this checksum; what is written now belongs to the next, unless it was the
        last."""

    def add(self, name: str, text: str) -> None:
        """Write a small file, after the archive."""


class Writer:
    """Writes an archive to a target and keeps the checksums of the whole and of its volumes."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.size = 0
        self.volumes: list[Volume] = []
        # One and the same until there is a second volume: most archives have none.
        self._whole = self._volume = hashlib.sha256()
        self._begin = 0
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
        return self._whole.hexdigest()

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, 0
        self._write(self._block[:waiting])

    def _write(self, block: memoryview) -> None:
        while block:
            count = self.target.write(block)
            written, block = block[:count], block[count:]
            self._whole.update(written)
            if self._volume is not self._whole:
                self._volume.update(written)
            self.size += count
            if block:
                self._end_volume(last=False)

    def _end_volume(self, *, last: bool) -> None:
        volume = Volume(self.size - self._begin, self._volume.hexdigest())
        if not volume.size and not last:
            raise RearError("the medium is full before anything was written to it", "use an empty one, or a larger one")
        self.volumes.append(volume)
        self.target.end_volume(volume, last=last)
        self._begin, self._volume = self.size, hashlib.sha256()


def checked(blocks: Iterable[memoryview], name: str, volume: Volume) -> Iterator[memoryview]:
    """The blocks of a volume; raises `RearError` when in the end they were not what they should be."""
    digest = hashlib.sha256()
    done = 0
    try:
        for block in blocks:
            digest.update(block)
            yield block
            done += len(block)
    except OSError as error:
        hint = "check its medium, disk or server, and run it again"
        raise RearError(f"cannot read {name}: {error.strerror}", hint) from error
    if done < volume.size:
        raise RearError(f"{name} is truncated: {done} of {volume.size} bytes are there", "choose another backup")
    if done > volume.size or digest.hexdigest() != volume.sha256:
        raise RearError(f"{name} is damaged: its checksum is wrong", "choose another backup")
