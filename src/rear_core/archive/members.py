# SPDX-License-Identifier: GPL-3.0-or-later
"""The members of an archive: counted while tar names them, and named once more by a tar that reads the archive."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from ..pipes import BLOCK, widen
from ..shell import Argument, Shell
from .diagnostics import FIRST, unescaped

# Extended attributes carry everything: ACLs and capabilities in the kernel's binary form, with numbers, and SELinux
# contexts. --acls would store the names of users instead, which the rescue system does not know.
ATTRIBUTES = ("--xattrs", "--xattrs-include=*", "--numeric-owner")
# A path of so many bytes can be saved, but not opened again (PATH_MAX, limits.h).
LONGEST_PATH = 4095
# In units of 512 bytes: with the 20 that are usual a pipe costs tar as much as all else that it does with large files.
RECORDS = ("--blocking-factor=256", "--read-full-records")
# With these tar lists members by long lines, the same ones when it makes an archive, by two --verbose, and when it
# reads it; in the time zone of this machine it would look that up for each.
LONG = ("--verbose", "--full-time", "--utc")
LINK = b" link to "


class Members:
    """The members of an archive, counted while tar lists them: the list of millions would not fit into memory.

    `too_long` are the first of those whose paths cannot be restored, `too_many` how many there are besides, `last` is
    the last one, `names` a checksum of all lines. Where these are long ones, and there is a `root` to look for files,
    `exchanged` are the first of those that became links to a file that they are none of.
    """

    def __init__(self, starts: Iterable[str] = (), *, long: bool = False, root: Path | None = None) -> None:
        self._long = long
        self._root = root
        self.exchanged: list[str] = []
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
            names = {unescaped(line) if b"\\" in line else line for line in map(self._name, lines)}
            self._seen.update(self._starts[name] for name in self._starts.keys() & names)

    def _name(self, line: bytes) -> bytes:
        """The name in a line; of a link the one of the link.

        >>> b"hrw-r--r--  0/0           0 2026-11-29 19:26:48.330649888 ./1/u link to ./1/v"
        b'./1/u'
        """
        if not self._long:
            return line
        name = _named(line)
        return name.split(b" -> " if line[:1] == b"l" else LINK)[0] if line[:1] in b"lh" else name

    def _look_at_links(self, links: Iterable[bytes]) -> None:
        """tar knows files with several names by the numbers of their inodes. A file that is removed meanwhile gives its
        number to another one, and that becomes a link to what was saved of the first."""
        assert self._root is not None
        for line in links:
            words = _named(line).split(LINK)
            # The words may be part of a name as well.
            splits = [(LINK.join(words[:n]), LINK.join(words[n:])) for n in range(1, len(words))]
            if splits and not any(_is_one_file(self._root, *map(unescaped, names)) for names in splits):
                self.exchanged += [words[0].decode(errors="replace")] if len(self.exchanged) < FIRST else []

    def _count(self, descriptor: int) -> None:
        rest = b""
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            widen(file)
            while names := file.read(BLOCK):
                self.names.update(names)
                # tar writes odd bytes of a name as escapes: each line is a member.
                *lines, rest = (rest + names).split(b"\n")
                if lines:
                    self.last = self._name(lines[-1]).decode(errors="replace")
                self.count += len(lines)
                self._look_for_starts(lines)
                if self._root:
                    self._look_at_links(line for line in lines if line.startswith(b"h"))
                some = [self._name(line) for line in lines if len(line) > LONGEST_PATH]
                long = [name for name in some if len(unescaped(name)) > LONGEST_PATH]
                room = FIRST - len(self.too_long)
                self.too_long += [line.decode(errors="replace") for line in long[:room]]
                self.too_many += len(long[room:])
                # It writes each by itself. To wake up for each would cost as much as to save a small file.
                time.sleep(0.02)


def _named(line: bytes) -> bytes:
    """What comes behind mode, owner, size and time in a long line; all names begin in the folder that tar works in."""
    _, slash, name = line.partition(b" ./")
    return slash[1:] + name if slash else line


def _is_one_file(root: Path, name: bytes, target: bytes) -> bool:
    """Whether two names are those of one file; also where the first one is no longer there to be looked at."""
    try:
        one = os.lstat(os.path.join(os.fsencode(root), name))
    except OSError:
        return True
    try:
        return os.path.samestat(one, os.lstat(os.path.join(os.fsencode(root), target)))
    except OSError:
        return False


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
        self.members = Members(long=True)

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
                    tar = with_index(["tar", "--list", "--file=-", *RECORDS, *LONG, *ATTRIBUTES], index)
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
