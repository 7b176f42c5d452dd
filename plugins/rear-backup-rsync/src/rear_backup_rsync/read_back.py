# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the new files of a backup back where they are kept, and compares them with the checksums of what was sent.

With the files of this machine they cannot be compared: those go on changing. rsync sums up all data of each file that
it sends; the other side sums up what it has, and both sums are made in the same way.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from rear_core import ProgramFailed, Run

from .client import unescaped
from .failures import EARLIER, Unfit
from .repository import Store

SUMMED = re.compile(rb"([0-9a-f]+) (.*)", re.DOTALL)
SIZE = 1 << 256
LONG = 7 * 24 * 3600


class Notes:
    """The names of files that were sent, in a file as rsync takes them, and a sum over their names and checksums."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "sent"
        self.count = 0
        self.sum = 0
        self._sums = folder / "checksums"
        self._names = self.path.open("wb")
        self._checksums = self._sums.open("wb")

    def __enter__(self) -> Notes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._names.close()
        self._checksums.close()

    def add(self, name: bytes, checksum: bytes) -> None:
        """Note a file; one that is sent twice is the last one."""
        name = name.lstrip(b"/")
        self.count += 1
        self.sum = (self.sum + summed(name, checksum)) % SIZE
        # A name that begins with # would be a comment.
        self._names.write(b"./" + name + b"\0")
        self._checksums.write(checksum + b" " + name + b"\0")

    def flush(self) -> None:
        """Have the files complete."""
        self._names.flush()
        self._checksums.flush()

    def names(self) -> Iterator[bytes]:
        """All names."""
        for _, name in self._all():
            yield name

    def checksums(self) -> dict[bytes, bytes]:
        """The checksums by their names."""
        return {name: checksum for checksum, name in self._all()}

    def _all(self) -> Iterator[tuple[bytes, bytes]]:
        rest = b""
        with self._sums.open("rb") as file:
            while block := file.read(1 << 20):
                *entries, rest = (rest + block).split(b"\0")
                for entry in entries:
                    checksum, _, name = entry.partition(b" ")
                    yield checksum, name


def summed(name: bytes, checksum: bytes) -> int:
    """A number for a file with a checksum."""
    return int.from_bytes(hashlib.sha256(checksum + b" " + name).digest(), "big")


class _There:
    """What rsync tells of the files that are there."""

    def __init__(self) -> None:
        self.sum = 0
        self.checksums: dict[bytes, bytes] | None = None
        self._rest = b""

    def take(self, block: memoryview) -> None:
        """Read a block.

        >>> bytes(block)
        b'be573118fb47cf582ef3a1a12238c2e5 etc/passwd\\n'
        """
        *lines, self._rest = (self._rest + bytes(block)).split(b"\n")
        for line in lines:
            if found := SUMMED.fullmatch(line):
                name = unescaped(found[2])
                self.sum = (self.sum + summed(name, found[1])) % SIZE
                if self.checksums is not None:
                    self.checksums[name] = found[1]


def compare(run: Run, store: Store, name: str, notes: Notes) -> None:
    """Raise `Unfit` unless the files of a new backup have the checksums of what was sent."""
    if not notes.count:
        return
    notes.flush()
    store.settle(name, notes.names())
    if _read(run, store, name, notes, _There()).sum == notes.sum:
        return
    found = _There()
    found.checksums = {}
    _read(run, store, name, notes, found)
    wanted = notes.checksums()
    bad = sorted(file for file, checksum in wanted.items() if found.checksums.get(file) != checksum)
    if bad:
        raise Unfit(
            f"{len(bad)} files in {store} differ from what rear sent, the first is {os.fsdecode(bad[0])}",
            f"do not trust its disk or server; {EARLIER}",
        )


def _read(run: Run, store: Store, name: str, notes: Notes, found: _There) -> _There:
    empty = notes.path.with_name("empty")
    empty.mkdir(exist_ok=True)
    # No limit of time: nothing comes while it reads a large file.
    argv = [
        "rsync", "--dry-run", "--checksum", "--from0", f"--files-from={notes.path}", "--out-format=%C %n",
        *store.reading(fake=False), "--", f"{store.at(name)}/", f"{empty}/",
    ]  # fmt: skip
    try:
        run.sh.pipe(argv, take=found.take, ok={"rsync": (0, 23)}, timeout=LONG)
    except ProgramFailed as error:
        raise store.failed(error) from error
    return found
