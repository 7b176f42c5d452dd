# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what an ELF file says about how it is loaded: interpreter, needed libraries, search paths, and libraries that
it opens while it runs."""

from __future__ import annotations

import json
import mmap
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

MAGIC = b"\x7fELF"
PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_NOTE = 1, 2, 3, 4
DT_NULL, DT_NEEDED, DT_STRTAB, DT_RPATH, DT_RUNPATH = 0, 1, 5, 15, 29
ET_REL = 1
# The owner and type of a note about dlopen (UAPI group, "ELF dlopen metadata"), and what a program can do without.
DLOPEN, SUGGESTED = (b"FDO\0", 0x407C0C0A), "suggested"

Segment = tuple[int, int, int, int]


@dataclass(frozen=True)
class Elf:
    """`interpreter` is the dynamic loader (empty for libraries and static programs); `family` is class and machine.

    `opened` are libraries that it opens while it runs, if they are there, each by the names that will do.
    """

    family: tuple[int, int]
    interpreter: str = ""
    needed: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    dynamic: bool = False
    opened: tuple[tuple[str, ...], ...] = ()


def read_elf(path: Path) -> Elf | None:
    """What the file says, or None when it is no program or library (a script, data, an object file)."""
    with path.open("rb") as file:
        if file.read(4) != MAGIC:
            return None
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                return _parse(data)
            except (struct.error, IndexError, OverflowError, UnicodeDecodeError):
                return None


def _parse(data: mmap.mmap) -> Elf | None:
    wide, order = data[4] == 2, "<" if data[5] == 1 else ">"
    kind, machine = struct.unpack_from(order + "HH", data, 16)
    if kind == ET_REL:
        return None
    family = (data[4], machine)
    start = struct.unpack_from(order + ("Q" if wide else "I"), data, 32 if wide else 28)[0]
    size, count = struct.unpack_from(order + "HH", data, 54 if wide else 42)
    segments = [_segment(data, order, wide, start + number * size) for number in range(count)]
    interpreter = ""
    for kind, offset, _, length in segments:
        if kind == PT_INTERP:
            interpreter = data[offset : offset + length].rstrip(b"\0").decode()
    for kind, offset, _, length in segments:
        if kind == PT_DYNAMIC:
            needed, search = _dynamic(data, order, wide, offset, length, segments)
            return Elf(family, interpreter, needed, search, True, tuple(_opened(data, order, segments)))
    return Elf(family, interpreter)


def _opened(data: mmap.mmap, order: str, segments: Sequence[Segment]) -> Iterator[tuple[str, ...]]:
    """The libraries that notes name, without those that are merely suggested.

    ::

        [{"feature":"kmod","description":"...","priority":"recommended","soname":["libkmod.so.2"]}]
    """
    for kind, offset, _, length in segments:
        at, end = offset, min(offset + length, len(data)) if kind == PT_NOTE else 0
        while at + 12 <= end:
            owner_size, size, number = struct.unpack_from(order + "III", data, at)
            begin = at + 12 + _padded(owner_size)
            if (data[at + 12 : at + 12 + owner_size], number) == DLOPEN:
                yield from _names(data[begin : begin + size].rstrip(b"\0"))
            at = begin + _padded(size)


def _padded(size: int) -> int:
    return -(-size // 4) * 4


def _names(note: bytes) -> Iterator[tuple[str, ...]]:
    try:
        for entry in json.loads(note):
            if entry.get("priority", SUGGESTED) != SUGGESTED:
                yield tuple(map(str, entry["soname"]))
    except (ValueError, TypeError, AttributeError, KeyError):
        # Only its author can say what was meant.
        return


def _segment(data: mmap.mmap, order: str, wide: bool, at: int) -> Segment:
    """Type, offset in the file, address and length of a program header."""
    if wide:
        kind, _, offset, address, _, length = struct.unpack_from(order + "IIQQQQ", data, at)
    else:
        kind, offset, address, _, length = struct.unpack_from(order + "IIIII", data, at)
    return kind, offset, address, length


def _dynamic(
    data: mmap.mmap, order: str, wide: bool, offset: int, length: int, segments: Sequence[Segment]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The needed libraries and the search path of a dynamic section."""
    entry = struct.Struct(order + ("qQ" if wide else "iI"))
    tags = []
    for at in range(offset, offset + length - entry.size + 1, entry.size):
        tag, value = entry.unpack_from(data, at)
        if tag == DT_NULL:
            break
        tags.append((tag, value))
    table = next((value for tag, value in tags if tag == DT_STRTAB), 0)
    # The string table is given by its address in memory: find the segment that is loaded there.
    for kind, start, address, size in segments:
        if kind == PT_LOAD and address <= table < address + size:
            table += start - address
            break

    def text(value: int) -> str:
        begin = table + value
        return data[begin : data.find(b"\0", begin)].decode()

    needed = tuple(text(value) for tag, value in tags if tag == DT_NEEDED)
    # The loader ignores RPATH where there is a RUNPATH (ld.so(8)).
    for wanted in (DT_RUNPATH, DT_RPATH):
        paths = [part for tag, value in tags if tag == wanted for part in text(value).split(":") if part]
        if paths:
            return needed, tuple(paths)
    return needed, ()
