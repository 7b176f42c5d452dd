# SPDX-License-Identifier: GPL-3.0-or-later
"""The folders and files of a backup, as the director shows them by its virtual file system (bvfs).

rear goes down from the root by the numbers that folders have there, and compares names on its own side: no name of a
file becomes part of a command.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rear_core import Run

from . import console

if TYPE_CHECKING:
    from .catalog import Chain

# Names in one answer.
PAGE = 20_000
STAT = r"(?:[A-Za-z0-9+/-]+ ){12,17}[A-Za-z0-9+/-]+"
# Where an entry begins; what follows up to the next one is its name, in which a line may end.
BEGINNING = re.compile(rf"(?m)^(\d+)\t\d+\t(\d+)\t(\d+)\t({STAT})\t")
DIGITS = {
    letter: value for value, letter in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
}
# Places in the attributes: what kind of file, its bytes, and for another name of a file the number of the first one.
MODE, SIZE, LINKED = 2, 7, 13
REGULAR = 0o100000


@dataclass(frozen=True)
class Entry:
    """A file or folder: the numbers of its folder and its own, and of the job that saved it."""

    path: int
    file: int
    job: int
    attributes: tuple[int, ...]
    name: str

    @property
    def is_regular(self) -> bool:
        """Whether it is a file with contents of its own."""
        return self.attributes[MODE] & 0o170000 == REGULAR and not self.linked

    @property
    def size(self) -> int:
        """Its bytes."""
        return self.attributes[SIZE]

    @property
    def linked(self) -> int:
        """The number in the job of the file that it is another name of, 0 for none."""
        return self.attributes[LINKED] if len(self.attributes) > LINKED else 0


@dataclass(frozen=True)
class Folder:
    """What is in a folder, by name."""

    own: Entry | None
    folders: Mapping[str, Entry]
    files: Mapping[str, Entry]

    @property
    def names(self) -> set[str]:
        """Of all that is in it."""
        return {*self.folders, *self.files}


def entries(text: str) -> Iterator[Entry]:
    """The entries of an answer::

    2	0	9	2	P4A Jamo EHt C A A A BAA BAA I BrDVsm BrDVsn BrDVsn A A G	one/
    """
    found = list(BEGINNING.finditer(text))
    for this, following in zip(found, [*found[1:], None]):
        name = text[this.end() : following.start() if following else len(text)]
        yield Entry(
            int(this[1]), int(this[2]), int(this[3]), _decoded(this[4]), name[:-1] if name[-1:] == "\n" else name
        )


def _decoded(text: str) -> tuple[int, ...]:
    values = []
    for word in text.split():
        value = 0
        for letter in word.lstrip("-"):
            value = value * 64 + DIGITS[letter]
        values.append(value)
    return tuple(values)


class Tree:
    """The files of some jobs that belong together."""

    def __init__(self, run: Run, chain: Chain) -> None:
        self._run = run
        self.chain = chain
        self._known: dict[int, Folder] = {}
        console.ask(run, f".bvfs_update jobid={chain.words}", timeout=console.LONG)

    def folder(self, number: int = 0) -> Folder:
        """What is in a folder, by the number of its path; 0 is the root."""
        if number not in self._known:
            where = f"pathid={number}" if number else "path=/"
            folders = self._listed("dirs", where)
            own = next((one for one in folders if one.name == "."), None)
            below = {one.name.rstrip("/"): one for one in folders if one.name not in (".", "..")}
            files = {one.name: one for one in self._listed("files", where)}
            self._known[number] = Folder(own, below, files)
        return self._known[number]

    def _listed(self, kind: str, where: str) -> list[Entry]:
        found: list[Entry] = []
        while True:
            command = f".bvfs_ls{kind} jobid={self.chain.words} {where} limit={PAGE} offset={len(found)}"
            (answer,) = console.ask(self._run, command, timeout=console.LONG)
            page = list(entries(answer))
            # The folder itself and the one above come with each page of folders.
            new = [one for one in page if one not in found] if kind == "dirs" and found else page
            found += new
            if len(page) < PAGE or not new:
                return found

    def find(self, path: str) -> tuple[Entry | None, Entry | None]:
        """The entry of a folder, or of a file, with this path; both None where it was not saved."""
        number, entry = 0, self.folder().own
        words = [word for word in path.split("/") if word]
        for depth, word in enumerate(words):
            inside = self.folder(number)
            if word not in inside.folders:
                return None, inside.files.get(word) if depth == len(words) - 1 else None
            entry = inside.folders[word]
            number = entry.path
        return entry, None

    def covers(self, path: str, names: tuple[str, ...]) -> bool:
        """Whether a file system was saved: its folder, and any of the names that were at its top.

        A job that does not cross mount points has the folder where one is mounted, but nothing in it.
        """
        folder, _ = self.find(path)
        if folder is None:
            return False
        inside = self.folder(folder.path)
        return not names or bool(inside.names & {*names})

    def samples(self, most: int) -> dict[int, Entry]:
        """For each of its jobs a small file that it saved, if one is found in the first so many folders."""
        found: dict[int, Entry] = {}
        waiting, looked = [0], 0
        while waiting and looked < most and len(found) < len(self.chain.ids):
            inside = self.folder(waiting.pop(0))
            looked += 1
            for one in inside.files.values():
                if one.is_regular and one.size and (one.job not in found or one.size < found[one.job].size):
                    found[one.job] = one
            waiting += [one.path for one in inside.folders.values()]
        return found
