# SPDX-License-Identifier: GPL-3.0-or-later
"""All names of a backup, read from its place, and their sum, which is compared when the backup is to be restored."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from rear_core import ProgramFailed, RearError, Run

from .client import PARTIAL, unescaped
from .repository import Store

# Mode, size, date and time, and the name with what a link leads to: as rsync lists them, and as FIND does.
LINE = re.compile(rb"^(.\S+) +(\d+) (\S+ \S+) (.*)$", re.MULTILINE)
RECORD = re.compile(rb"([^\0 ]+) (\d+) (\S+ [\d:]+)\.\d+ ([^\0]*)\0")
FORMS = {b"\n": LINE, b"\0": RECORD}
FOLDER = b"d"
# What rsync's statistics call each kind.
KINDS = {b"-": "reg", b"l": "link", b"c": "dev", b"b": "dev", b"p": "special", b"s": "special"}
SIZE = 1 << 256
# What find and rsync end with where a folder cannot be read.
SOME_UNREAD = (1, PARTIAL)


@dataclass
class Listing:
    """How many there are of each kind but folders, the total of bytes, and a sum over mode, size, time and name of all.

    In whatever order they come the sum is the same. The size of a folder is a matter of its file system. `found` are
    those of the `wanted` names that are there. Each entry `ends` with this.
    """

    wanted: frozenset[bytes] = frozenset()
    ends: bytes = b"\n"
    found: set[bytes] = field(default_factory=set)
    kinds: Counter[str] = field(default_factory=Counter)
    total: int = 0
    _sum: int = 0
    _rest: bytes = b""

    @property
    def files(self) -> int:
        """The number of regular files."""
        return self.kinds["reg"]

    @property
    def digest(self) -> str:
        """The sum in hexadecimal digits."""
        return f"{self._sum:064x}"

    def take(self, block: memoryview) -> None:
        """Read a block of the list.

        >>> bytes(block)
        b'-rw-r--r--            1494 2026/11/22 18:30:00 etc/passwd\\n'
        >>> bytes(block)
        b'-rw-r--r-- 1494 2026/11/22 18:30:00.1234567890 etc/passwd\\0'
        """
        data = self._rest + bytes(block)
        end = data.rfind(self.ends) + 1
        entries, self._rest = data[:end], data[end:]
        found = FORMS[self.ends].findall(entries)
        if len(found) != entries.count(self.ends):
            raise RearError("rear does not understand the list of files", "see `rsync --version`, and the log")
        self._sum = (self._sum + sum(self._count(*facts) for facts in found)) % SIZE

    def _count(self, mode: bytes, size: bytes, time: bytes, name: bytes) -> int:
        """Count a file; its share of the sum."""
        if self.ends == b"\n" and b"\\#" in name:
            name = unescaped(name)
        if name in (b"", b"."):
            self.found.add(b".")
            return 0
        if name in self.wanted:
            self.found.add(name)
        kind = mode[:1]
        if kind == FOLDER:
            size = b""
        else:
            self.kinds[KINDS.get(kind, "special")] += 1
            self.total += int(size)
        return int.from_bytes(hashlib.sha256(b" ".join((mode, size, time, name))).digest(), "big")


class Damaged(RearError):
    """What is in the place of a backup is not what was saved."""


def inside(path: str) -> bytes:
    """A path of this machine as the list has it."""
    return os.fsencode(path.strip("/") or ".")


def read(run: Run, store: Store, name: str, paths: Iterable[str] = (), *, fake: bool) -> Listing:
    """The list of a backup, which is to have these paths; `Damaged` where a part of it cannot be read, any other
    `RearError` where nothing can."""
    argv, ends = store.listing(name, fake=fake)
    found = Listing(frozenset(map(inside, paths)), ends)
    try:
        # Times are those of the zone.
        run.sh.pipe(argv, take=found.take, env={"TZ": "UTC0"})
    except ProgramFailed as error:
        problem = store.failed(error)
        raise (Damaged(problem.message) if error.status in SOME_UNREAD else problem) from error
    return found
