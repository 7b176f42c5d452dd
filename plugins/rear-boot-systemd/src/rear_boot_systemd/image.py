# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads EFI programs: the parts of unified kernel images, and whether a program is signed.

The format is that of Microsoft's "PE Format": a stub for MS-DOS, the COFF header, the optional header with the place of
signatures, and a table of sections. Which sections a unified kernel image has, and which of them count, is told by
https://uapi-group.org/specifications/specs/unified_kernel_image.

Anybody can have written such a file, so that every number in it is checked and nothing is read without a limit.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rear_core.errors import RearError

HEADER = 0x3C  # where a program for MS-DOS has the place of the PE header
PE32, PE32_PLUS = 0x10B, 0x20B
# By kind: where the optional header has the number of its directories, which follow.
DIRECTORIES = {PE32: 92, PE32_PLUS: 108}
SIGNATURES = 4  # which of them leads to the signatures
# No loader takes more sections, and none of the texts has a use for more bytes.
MOST_SECTIONS = 96
MOST_HEADER = 4096
MOST_TEXT = 1 << 16


class NotAnImage(RearError):
    """A file that is not what an EFI program is."""


@dataclass(frozen=True)
class Image:
    """An EFI program: where its sections begin and how many bytes they have, by name; whether it has a signature."""

    path: Path
    sections: Mapping[str, tuple[int, int]]
    signed: bool

    @property
    def is_unified(self) -> bool:
        """Whether it is a unified kernel image."""
        return ".linux" in self.sections

    def text(self, name: str) -> str:
        """The text in a section, "" without that one."""
        offset, size = self.sections.get(name, (0, 0))
        if size > MOST_TEXT:
            raise NotAnImage(f"{self.path.name} has {size} bytes in {name}, which are too many")
        with self.path.open("rb") as file:
            file.seek(offset)
            return file.read(size).decode(errors="replace").strip("\0 \t\n")


def read_image(path: Path) -> Image:
    """The sections of an EFI program; raises `NotAnImage` for any other file."""
    try:
        with path.open("rb") as file:
            return _read(path, file, path.stat().st_size)
    except struct.error:
        raise NotAnImage(f"{path.name} is no EFI program: it ends too early") from None


def _read(path: Path, file: IO[bytes], end: int) -> Image:
    if file.read(2) != b"MZ":
        raise NotAnImage(f"{path.name} is no EFI program")
    file.seek(HEADER)
    (place,) = struct.unpack("<I", file.read(4))
    file.seek(place)
    # Signature, machine, number of sections, 12 bytes for debuggers, size of the optional header, characteristics.
    signature, count, size = struct.unpack("<4s2xH12xH2x", file.read(24))
    if signature != b"PE\0\0" or count > MOST_SECTIONS or size > MOST_HEADER:
        raise NotAnImage(f"{path.name} is no EFI program")
    optional = file.read(size)
    signed = _is_signed(optional)
    return Image(path, _sections(path, file.read(40 * count), end), signed)


def _is_signed(optional: bytes) -> bool:
    """Whether the optional header leads to signatures."""
    (kind,) = struct.unpack_from("<H", optional)
    start = DIRECTORIES.get(kind)
    if start is None:
        return False
    (count,) = struct.unpack_from("<I", optional, start)
    place = start + 4 + 8 * SIGNATURES
    if count <= SIGNATURES or len(optional) < place + 8:
        return False
    return bool(struct.unpack_from("<II", optional, place)[1])


def _sections(path: Path, table: bytes, end: int) -> dict[str, tuple[int, int]]:
    """The sections of the profile that a stub starts by default: those before the first `.profile`, and behind it."""
    found: dict[str, tuple[int, int]] = {}
    profiles = 0
    # Name, size in memory, address, size in the file (filled up to a whole block), place in the file.
    for raw, used, filled, offset in struct.iter_unpack("<8sI4xII16x", table):
        name = raw.rstrip(b"\0").decode("latin-1")
        profiles += name == ".profile"
        if profiles > 1:
            break
        size = min(used or filled, filled)
        if offset + size > end:
            raise NotAnImage(f"{path.name} is damaged: its section {name} ends behind the file")
        found[name] = offset, size
    return found
