# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of block devices in configuration: how they are written, and where in a text they stand.

Files are read in their own syntax; whoever replaces a name leaves comments, order and spaces as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

TAGS = ("UUID", "LABEL", "PARTUUID", "PARTLABEL")
NAME = re.compile(
    rf"(?:(?P<tag>{'|'.join(TAGS)})=|/dev/disk/by-(?P<link>uuid|label|partuuid|partlabel)/|(?=/dev/))(?P<value>.+)"
)
ON_DEMAND = {"noauto", "nofail"}


@dataclass(frozen=True)
class Reference:
    """A name at its place in a text; `tag` is one of TAGS, "" for a path below /dev, or a word that a technology has
    for its identifiers. The system boots without an `optional` one."""

    start: int
    end: int
    tag: str
    value: str
    optional: bool = False


Reader = Callable[[str], Iterable[Reference]]


@dataclass(frozen=True)
class Table:
    """How lines of a table are: each with its options in the field of that number, and `filler` for a field that is
    empty."""

    options: int
    filler: str


@dataclass(frozen=True)
class NamingFile:
    """Files of the recovered system that name devices: a pattern of their paths, and what finds the names in a text.

    The lines of a `table` can be given `nofail`, so that the system starts without their devices. `makes` finds the
    names of devices that the system makes by them as it starts, each with what it makes them of. `whole` makes a text
    that was changed what its reader takes.
    """

    pattern: str
    read: Reader
    table: Table | None = None
    makes: Callable[[str], Iterable[tuple[str, Sequence[Reference]]]] | None = None
    whole: Callable[[str], str] = str


def table_lines(needed: int, *names: str) -> re.Pattern[str]:
    """The lines of a table with these fields; a field that begins with `#` is a comment, and the end of its line."""
    fields = [rf"(?P<{name}>[^#\s]\S*)" for name in names]
    more = "".join(rf"(?:[ \t]+{field})?" for field in fields[needed:])
    return re.compile(r"^[ \t]*" + r"[ \t]+".join(fields[:needed]) + more, re.MULTILINE)


def mapped(text: str, lines: re.Pattern[str]) -> Iterator[tuple[str, Sequence[Reference]]]:
    """The devices below /dev/mapper that systemd makes by the lines of a table, `name device`."""
    for line in lines.finditer(text):
        yield f"/dev/mapper/{line['name']}", [*at(line, "device", False)]


def on_demand(line: re.Match[str]) -> bool:
    """Whether the options of a table's line say that the system starts without its device."""
    return bool(ON_DEMAND.intersection((line["options"] or "").split(",")))


def kernel_words(*names: str) -> re.Pattern[str]:
    """Words for the kernel of these names whose value is a device: `root=UUID=1-2`."""
    return re.compile(
        rf"(?<![\w.])(?P<word>{'|'.join(names)})=[\"']?"
        rf"(?P<device>(?:{'|'.join(TAGS)})=[^\s\"':]+|/dev/[^\s\"':]+)"
    )


def at(match: re.Match[str], group: int | str, optional: bool) -> Iterator[Reference]:
    """The reference in a group of a match, none when it does not name a block device."""
    quoted = match[group]
    word = quoted.strip("\"'")
    before = len(quoted) - len(quoted.lstrip("\"'"))
    found = NAME.fullmatch(word)
    if not found:
        return
    inner = found["value"].lstrip("\"'") if found["tag"] else found["value"]
    start = match.start(group) + before + found.start("value") + len(found["value"]) - len(inner)
    tag = found["tag"] or (found["link"] or "").upper()
    yield Reference(start, start + len(inner), tag, inner, optional)
