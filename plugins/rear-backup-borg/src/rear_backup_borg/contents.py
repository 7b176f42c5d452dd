# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in an archive: all its items in their order, read from the repository."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from rear_core import ProgramFailed, RearError
from rear_core.errors import understood

from .repository import LONG, NO_LOCK, Repository

# A type as in the mode of `ls --long`, the size, and the path, whatever letters it has.
FORMAT = "{type}{size} {bpath}{NUL}"
FOLDER, FILE = "d", "-"
# Files to read as a sample, and bytes that they may have together.
SAMPLE, SAMPLE_BYTES = 100, 256 << 20


@dataclass
class Contents:
    """The sum of an archive: what of the wanted paths is there, files, bytes, and some files chosen by chance."""

    wanted: frozenset[str]
    found: set[str] = field(default_factory=set)
    items: int = 0
    files: int = 0
    bytes: int = 0
    _sample: list[tuple[str, int]] = field(default_factory=list)

    def add(self, kind: str, size: int, path: str) -> None:
        """Count an item."""
        self.items += 1
        if path in self.wanted:
            self.found.add(path)
        if kind != FILE:
            return
        self.files += 1
        self.bytes += size
        # Each file has the same chance, however many will come.
        place = self.files - 1 if self.files <= SAMPLE else random.randrange(self.files)
        if place < SAMPLE and is_plain(path):
            self._sample[place : place + 1] = [(path, size)]

    def sample(self) -> list[str]:
        """Files to be read, as many as are no more than a sample has to have; at least one where there is one."""
        left = SAMPLE_BYTES
        chosen: list[str] = []
        for path, size in self._sample:
            if size and (size <= left or not chosen):
                chosen.append(path)
                left -= size
        return chosen


def inside(path: str) -> str:
    """A path of this machine as archives have it."""
    return path.strip("/") or "."


def is_plain(path: str) -> bool:
    """Whether a path can be in a file with one on each line, and is what it seems: for bytes that are no text borg
    lists a question mark."""
    return path.isprintable() and "?" not in path and path == path.strip()


def read(repository: Repository, title: str, paths: Iterable[str]) -> Contents:
    """Read all folders of an archive, which proves that they can be; `RearError` where they cannot."""
    found = Contents(frozenset(map(inside, paths)))
    each(repository, title, found.add)
    return found


def each(repository: Repository, title: str, take: Callable[[str, int, str], None]) -> None:
    """Hand over type, size and path of each item of an archive, in its order; raises `RearError` when borg fails."""
    rest = b""

    def block(data: memoryview) -> None:
        nonlocal rest
        *items, rest = (rest + bytes(data)).split(b"\0")
        for item in items:
            facts, _, path = item.partition(b" ")
            take(chr(facts[0]), int(facts[1:]), os.fsdecode(path))

    argv = repository.argv("list", *NO_LOCK, "--format", FORMAT, repository.at(title))
    try:
        with understood("borg list"):
            repository.run.sh.pipe(argv, take=block, env=repository.environment, timeout=LONG)
    except ProgramFailed as error:
        raise repository.failed(error) from error
    if rest:
        raise RearError(f"borg's list of {title} ends in the middle", "see the log, and run it again")
