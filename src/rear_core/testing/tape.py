# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for a tape drive: cartridges in memory that behave as Linux's st driver shows them; no drive is driven.

What is modelled: records of any size, fixed blocks, file marks, the loss of what lies behind a write, the early warning
near the end of the medium, an error where nothing was written, a buffer that is too small. Real drives have more ways.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import Refused
from ..media.tape import BLOCK_SIZE, EJECT, FORWARD, MARK, REWIND, STAND_INS, Tape

# What fits behind the early warning.
REST = 1 << 20


@dataclass
class Cartridge:
    """A tape with room for so many bytes before the early warning; a file mark is None among its records."""

    room: int = 1 << 40
    records: list[bytes | None] = field(default_factory=list)
    protected: bool = False


class StandInTape(Tape):
    """A cartridge in the stand-in drive."""

    def __init__(self, cartridge: Cartridge, drive: StandInDrive) -> None:
        super().__init__(-1)
        self.cartridge = cartridge
        self.drive = drive
        self.at = 0
        self.block_size = 0
        self._warned = False

    def do(self, operation: int, count: int = 1) -> None:
        if operation == REWIND:
            self.at = 0
        elif operation == FORWARD:
            for _ in range(count):
                self._forward()
        elif operation == MARK:
            self._put(None)
        elif operation == BLOCK_SIZE:
            self.block_size = count
        elif operation == EJECT:
            self.drive.eject()
        else:
            raise OSError(errno.EIO, "this drive cannot do that")

    def _forward(self) -> None:
        try:
            self.at = self.cartridge.records.index(None, self.at) + 1
        except ValueError:
            self.at = len(self.cartridge.records)
            raise OSError(errno.EIO, "no file mark ahead") from None

    def at_end(self) -> bool:
        return self.at >= len(self.cartridge.records)

    def _put(self, record: bytes | None) -> None:
        self.cartridge.records[self.at :] = [record]
        self.at += 1

    def read(self, size: int = 64 << 10) -> bytes:
        found = b""
        while self.at < len(self.cartridge.records):
            record = self.cartridge.records[self.at]
            if record is None and found:
                return found
            self.at += 1
            if record is None:
                return b""
            if len(record) > size or (self.block_size and len(record) != self.block_size):
                raise OSError(errno.ENOMEM, "the record is larger than the buffer")
            found += record
            if not self.block_size or len(found) + self.block_size > size:
                return found
        if not found:
            raise OSError(errno.EIO, "nothing was written here")
        return found

    def records(self, size: int) -> Iterator[memoryview]:
        while record := self.read(size):
            yield memoryview(record)

    def write(self, record: bytes | memoryview) -> int:
        used = sum(len(before or b"") for before in self.cartridge.records[: self.at])
        if used + len(record) > self.cartridge.room:
            self._warned = not self._warned
            if self._warned or used + len(record) > self.cartridge.room + REST:
                return 0
        size = self.block_size or len(record)
        if len(record) % size:
            raise OSError(errno.EINVAL, "not a multiple of the block size")
        for at in range(0, len(record), size):
            self._put(bytes(record[at : at + size]))
        return len(record)


class StandInDrive:
    """A drive with a cartridge in it or none; ejecting takes it out and puts the next of `magazine` in.

    `tape` may be another class, for a cartridge that misbehaves.
    """

    tape: type[StandInTape] = StandInTape

    def __init__(self, cartridge: Cartridge | None = None, magazine: Iterable[Cartridge] = ()) -> None:
        self.cartridge = cartridge
        self.magazine = iter(magazine)

    def eject(self) -> None:
        self.cartridge = next(self.magazine, None)

    @contextmanager
    def __call__(self, device: Path, *, write: bool = False) -> Iterator[Tape]:
        if self.cartridge is None:
            raise Refused(f"there is no tape in {device}", "put one in")
        if self.cartridge.protected and write:
            raise Refused(f"the tape in {device} is write-protected", "move its tab, or put in another")
        yield self.tape(self.cartridge, self)


@contextmanager
def in_drive(device: Path, drive: StandInDrive) -> Iterator[None]:
    """A block in which this drive is what plugins find at a device."""
    STAND_INS[device] = drive
    try:
        yield
    finally:
        del STAND_INS[device]
