# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a file back from its disk or server while it is written, so that damage is found before an older one goes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Condition, Thread

from ..pipes import BLOCK
from .volumes import CHUNK, Checksum, Volume

# Bytes: what was written a while ago, so that it is not read from the memory of a disk or server alone.
BEHIND = 256 << 20
# Bytes that are read at once.
STRIDE = 4 * CHUNK
# Bytes that may wait in memory for a slow disk or server: what comes later would be read back later, when all is
# written, and a machine that has much memory lets it wait there by the gigabyte.
WAITING = 4 * CHUNK


class ReadBack:
    """The checksums of a file as it is read back, some way behind the one who writes it.

    One thread has it written out, another one reads what that has done.
    """

    def __init__(self, path: Path, chunk_size: int = CHUNK) -> None:
        self._path = path
        self._checksum = Checksum(chunk_size)
        self._changed = Condition()
        self._size = 0
        self._on_disk = 0
        self._ended = False
        self._error: OSError | None = None

    def written(self, size: int) -> None:
        """So many bytes of it were written; returns when few of them are in memory alone. Raises `OSError`."""
        if size - self._size < WAITING // 4:
            return
        self._tell(size)
        with self._changed:
            self._changed.wait_for(lambda: self._error or size - self._on_disk <= WAITING)
        self._check()

    def end(self, size: int) -> Volume:
        """What was read of all that was written, when it was read; raises `OSError`."""
        self._tell(size, ended=True)
        self._join()
        self._check()
        return self._checksum.volume()

    @contextmanager
    def running(self) -> Iterator[ReadBack]:
        """A block in which it reads."""
        self._threads = [Thread(target=self._work, args=[work], daemon=True) for work in (self._write_out, self._read)]
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._tell(0, ended=True)
            self._join()

    def _check(self) -> None:
        if self._error:
            raise self._error

    def _join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _tell(self, size: int, *, ended: bool = False) -> None:
        with self._changed:
            self._size, self._ended = size, ended
            self._changed.notify_all()

    def _work(self, work: Callable[[int], None]) -> None:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                work(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _write_out(self, descriptor: int) -> None:
        ended = False
        while not ended:
            with self._changed:
                self._changed.wait_for(lambda: self._ended or self._error or self._size > self._on_disk)
                size, ended = self._size, self._ended or bool(self._error)
            os.fdatasync(descriptor)
            with self._changed:
                self._on_disk = size
                self._changed.notify_all()

    def _read(self, descriptor: int) -> None:
        while size := self._more():
            self._take(descriptor, min(STRIDE, size))

    def _more(self) -> int:
        """Wait until there is something to read: so many bytes, 0 at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._error or self._is_complete() or self._readable() >= STRIDE)
            return 0 if self._error else max(0, self._readable())

    def _is_complete(self) -> bool:
        return self._ended and self._on_disk >= self._size

    def _readable(self) -> int:
        until = self._on_disk if self._ended else min(self._on_disk, self._size - BEHIND)
        return min(until, self._size) - self._checksum.size

    def _take(self, descriptor: int, size: int) -> None:
        begin = self._checksum.size
        # All of it: the kernel keeps what it holds in one piece with bytes beyond the range that it is told.
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
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
