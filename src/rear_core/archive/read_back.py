# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a file back from its disk or server while it is written, so that damage is found before an older one goes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Condition, Thread

from ..pipes import BLOCK
from .volumes import CHUNK, Checksum, Volume

# Bytes: what was written a while ago, so that it is not read from the memory of a disk or server alone.
BEHIND = 256 << 20
# Bytes that are flushed and read at once.
STRIDE = 4 * CHUNK


class ReadBack:
    """The checksums of a file as it is read back, some way behind the one who writes it."""

    def __init__(self, path: Path, chunk_size: int = CHUNK) -> None:
        self._path = path
        self._checksum = Checksum(chunk_size)
        self._changed = Condition()
        self._until = 0
        self._ended = False
        self._error: OSError | None = None

    def written(self, size: int) -> None:
        """So many bytes of it were written."""
        if size - self._until >= BEHIND + STRIDE:
            self._tell(size - BEHIND)

    def end(self, size: int) -> Volume:
        """What was read of all that was written, when it was read; raises `OSError`."""
        self._tell(size, ended=True)
        self._thread.join()
        if self._error:
            raise self._error
        return self._checksum.volume()

    @contextmanager
    def running(self) -> Iterator[ReadBack]:
        """A block in which it reads."""
        self._thread = Thread(target=self._work, daemon=True)
        self._thread.start()
        try:
            yield self
        finally:
            self._tell(0, ended=True)
            self._thread.join()

    def _tell(self, until: int, *, ended: bool = False) -> None:
        with self._changed:
            self._until, self._ended = until, ended
            self._changed.notify()

    def _work(self) -> None:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                while size := self._more():
                    self._read(descriptor, min(STRIDE, size))
            finally:
                os.close(descriptor)
        except OSError as error:
            self._error = error

    def _more(self) -> int:
        """Wait until there is something to read: so many bytes, 0 at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._until > self._checksum.size)
            return max(0, self._until - self._checksum.size)

    def _read(self, descriptor: int, size: int) -> None:
        begin = self._checksum.size
        # All of it: the kernel keeps what it holds in one piece with bytes beyond the range that it is told.
        forget(descriptor)
        buffer = memoryview(bytearray(BLOCK))
        while (done := self._checksum.size - begin) < size:
            count = os.preadv(descriptor, [buffer[: size - done]], begin + done)
            if not count:
                raise OSError(0, f"it has only {begin + done} bytes")
            self._checksum.update(buffer[:count])
        # Nobody else wants it in memory.
        os.posix_fadvise(descriptor, begin, size, os.POSIX_FADV_DONTNEED)


def forget(descriptor: int) -> None:
    """Have all of a file on its disk or server and not in memory (posix_fadvise(2)), so that it is read from there. A
    file system in memory has no other place."""
    os.fdatasync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
