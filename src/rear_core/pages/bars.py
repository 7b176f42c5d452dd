# SPDX-License-Identifier: GPL-3.0-or-later
"""Bars to scale: where each part of a disk is drawn, and the table that says the same in words."""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import repeat

# Percent of the bar. What is narrower than NARROW has a letter in the place of its name; on a phone, what is narrower
# than MIDDLE. Nothing is narrower than LEAST.
MIDDLE, NARROW, LEAST = 25.0, 7.0, 2.5
# So many parts without a size of their own are drawn beside each other, and so many lines does a table have.
BESIDE, LINES = 8, 200
ERASED = "erased"


@dataclass(frozen=True)
class Part:
    """A disk, or something that lies on one, with what lies on it in turn.

    `size` is bytes, 0 for what is as large as what it lies on; `start` is the byte there, -1 for what simply follows.
    `kind` is how it is drawn: "part", "files", "locked", "scratch", "link", or "" for what carries others. `mark` says
    what becomes of it, "" for nothing; `link` is the number of the picture in which it goes on, 0 for none.
    """

    title: str
    words: str = ""
    size: int = 0
    start: int = -1
    kind: str = ""
    mark: str = ""
    parts: tuple[Part, ...] = ()
    link: int = 0


@dataclass(frozen=True)
class Cell:
    """A piece of a bar, in percent of its width; without a part it is free. `key` is its letter in the table."""

    left: float
    width: float
    size: int
    part: Part | None = None
    key: str = ""

    @property
    def space(self) -> str:
        """Whether it is wide enough for its name: "narrow", "middle" for one that is so on large screens, or "wide"."""
        return "narrow" if self.width < NARROW else "middle" if self.width < MIDDLE else "wide"


@dataclass(frozen=True)
class Line:
    """A line of the table: how deep the part lies, its letter, and the `space` of its cell where it has one."""

    depth: int
    part: Part
    key: str = ""
    space: str = ""


@dataclass(frozen=True)
class Picture:
    """A disk, or what lies on several: its bar, one row of cells for each level, and its table.

    `number` is what links lead to. `unseen` is how many lines the table leaves out.
    """

    number: int
    part: Part
    rows: tuple[tuple[Cell, ...], ...]
    lines: tuple[Line, ...]
    unseen: int = 0


def draw(part: Part, number: int = 0) -> Picture:
    """The picture of a disk, or of what lies on several."""
    rows: list[list[Cell]] = []
    _lay(part, part.size, Cell(0.0, 100.0, part.size), 0, rows)
    sized = {id(cell.part): cell.space for row in rows for cell in row if cell.part and cell.part.size}
    lines, letters = list(_lines(part, 0)), _letters()
    keys = {id(below): next(letters) for _, below in lines if sized.get(id(below), "wide") != "wide"}
    return Picture(
        number,
        part,
        tuple(tuple(replace(cell, key=keys.get(id(cell.part), "")) for cell in row) for row in rows),
        tuple(Line(depth, one, keys.get(id(one), ""), sized.get(id(one), "")) for depth, one in lines[:LINES]),
        max(0, len(lines) - LINES),
    )


def _letters() -> Iterator[str]:
    """A, B ... Z, AA, AB ... ZZ; then none."""
    for first in ("", *string.ascii_uppercase):
        yield from (first + letter for letter in string.ascii_uppercase)
    yield from repeat("")


def _lines(part: Part, depth: int) -> Iterator[tuple[int, Part]]:
    for below in part.parts:
        yield depth, below
        yield from _lines(below, depth + 1)


def _lay(part: Part, size: int, place: Cell, level: int, rows: list[list[Cell]]) -> None:
    """Lay out what lies on a part that has so many bytes, below its piece of the bar."""
    if not part.parts and level:
        return
    if len(rows) == level:
        rows.append([])
    found, left = list(segments(part, size)), place.left
    for (below, length), width in zip(found, widths([(length, bool(one)) for one, length in found], place.width)):
        rows[level].append(Cell(left, width, length, below))
        if below is not None:
            _lay(below, below.size or size, rows[level][-1], level + 1, rows)
        left += width


def segments(part: Part, size: int) -> Iterator[tuple[Part | None, int]]:
    """What lies on a part beside each other, with its bytes; None for what is free."""
    parts = sorted(part.parts, key=lambda below: below.start)
    unsized = [below for below in parts if not below.size]
    if len(unsized) > BESIDE and len(unsized) == len(parts):
        yield Part(f"{len(parts)} in the table", kind=parts[0].kind, mark=parts[0].mark), size
        return
    left = size - sum(below.size for below in parts)
    # What nobody knows the size of is seen all the same.
    share = max(left, size // 8, 1) // max(len(unsized), 1)
    end = 0
    for below in parts:
        if below.start > end:
            yield None, below.start - end
        yield below, below.size or share
        end = max(end, below.start) + (below.size or share)
    if size > end:
        yield None, size - end


def widths(lengths: Sequence[tuple[int, bool]], width: float) -> list[float]:
    """How wide each of some lengths is drawn within a width, which is their sum; those that must be seen have a least
    width, and the others give it to them."""
    seen = sum(must for _, must in lengths)
    least = min(LEAST, 0.8 * width / seen) if seen else 0.0
    fixed: set[int] = set()
    while True:
        room = width - least * len(fixed)
        total = sum(length for number, (length, _) in enumerate(lengths) if number not in fixed)
        scale = room / total if total else 0.0
        narrow = {n for n, (length, must) in enumerate(lengths) if must and length * scale < least} - fixed
        if not narrow:
            break
        fixed |= narrow
    found = [least if n in fixed else length * scale for n, (length, _) in enumerate(lengths)]
    # Where all are narrow, they share what is left.
    return [share * width / (sum(found) or 1) for share in found]
