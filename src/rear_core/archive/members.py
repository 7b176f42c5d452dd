# SPDX-License-Identifier: GPL-3.0-or-later
"""The members of an archive: counted while tar names them, and named once more by a tar that reads the archive."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Thread

from ..pipes import BLOCK, widen
from ..shell import Argument, Shell
from .diagnostics import FIRST, unescaped

# A path of so many bytes can be saved, but not opened again (PATH_MAX, limits.h).
LONGEST_PATH = 4095
# In units of 512 bytes: with the 20 that are usual a pipe costs tar as much as all else that it does with large files.
RECORDS = ("--blocking-factor=256", "--read-full-records")


class Members:
    """The members of an archive, counted while tar lists them: the list of millions would not fit into memory.

    `too_long` are the first of those whose paths cannot be restored, `too_many` how many there are besides, `last` is
    the last one, `names` a checksum of them all.
    """

    def __init__(self, starts: Iterable[str] = ()) -> None:
        # Of a folder tar writes a slash at the end.
        self._starts = {os.fsencode(start) + end: start for start in starts for end in (b"", b"/")}
        self._seen: set[str] = set()
        self.count = 0
        self.last = ""
        self.names = hashlib.sha256()
        self.too_long: list[str] = []
        self.too_many = 0

    @contextmanager
    def counted(self) -> Iterator[int]:
        """A block in which tar writes its list to a descriptor; at its end all of it was counted."""
        with _read_by(self._count) as writing:
            yield writing

    @property
    def unseen(self) -> tuple[str, ...]:
        """The `starts` that are not among them."""
        return tuple(dict.fromkeys(start for start in self._starts.values() if start not in self._seen))

    def _look_for_starts(self, lines: Sequence[bytes]) -> None:
        if self.unseen:
            names = {unescaped(line) if b"\\" in line else line for line in lines}
            self._seen.update(self._starts[name] for name in self._starts.keys() & names)

    def _count(self, descriptor: int) -> None:
        rest = b""
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            widen(file)
            while names := file.read(BLOCK):
                self.names.update(names)
                # tar writes odd bytes of a name as escapes: each line is a member.
                *lines, rest = (rest + names).split(b"\n")
                if lines:
                    self.last = lines[-1].decode(errors="replace")
                self.count += len(lines)
                self._look_for_starts(lines)
                long = [line for line in lines if len(line) > LONGEST_PATH and len(unescaped(line)) > LONGEST_PATH]
                room = FIRST - len(self.too_long)
                self.too_long += [line.decode(errors="replace") for line in long[:room]]
                self.too_many += len(long[room:])
                # It writes each by itself. To wake up for each would cost as much as to save a small file.
                time.sleep(0.02)


class Listing:
    """What a second tar finds in an archive while the first one makes it.

    A checksum proves that an archive is what tar wrote, and not that it can be read: where a sparse file is truncated
    inside of its data while it is read, GNU tar 1.34 writes a block too many, and whatever comes later is lost.
    """

    def __init__(self, sh: Shell, env: Mapping[str, str]) -> None:
        self._sh = sh
        self._env = env
        self._error: Exception | None = None
        self._status = 0
        self.members = Members()

    @contextmanager
    def reading(self) -> Iterator[int]:
        """A block in which the archive is written to a descriptor; at its end all of it was listed."""
        with _read_by(self._list) as writing:
            yield writing
        if self._error:
            raise self._error

    def finds(self, members: Members) -> bool:
        """Whether these members, and no others, came out of the archive."""
        return self._status == 0 and self.members.names.digest() == members.names.digest()

    def _list(self, descriptor: int) -> None:
        with os.fdopen(descriptor, "rb", buffering=0) as stream:
            widen(stream)
            try:
                with self.members.counted() as index:
                    tar = with_index(["tar", "--list", "--file=-", *RECORDS], index)
                    [ended] = self._sh.pipe(tar, stdin=stream, pass_fds=[index], ok={"tar": (0, 2)}, env=self._env)
                self._status = ended.status
            except Exception as error:  # raised where it is waited for
                self._error = error
            # It ends where the archive seems to. The other one is still writing, and must not be killed for it.
            while stream.read(BLOCK):
                pass


def with_index(tar: Sequence[Argument], descriptor: int) -> list[Argument]:
    """A command of tar that writes its list of members to a descriptor."""
    return [tar[0], f"--index-file=/proc/self/fd/{descriptor}", *tar[1:]]


@contextmanager
def _read_by(work: Callable[[int], None]) -> Iterator[int]:
    """A block in which a thread reads what is written to a descriptor; at its end it has read all."""
    reading, writing = os.pipe()
    thread = Thread(target=work, args=[reading], daemon=True)
    thread.start()
    try:
        yield writing
    finally:
        os.close(writing)
        thread.join()
