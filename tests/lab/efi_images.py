# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes EFI programs that have sections and no code, as unified kernel images."""

from __future__ import annotations

import struct
from collections.abc import Iterable

PLACE = 0x80
BLOCK = 512
OPTIONAL = 240


def program(sections: Iterable[tuple[str, bytes]] = (), signed: bool = False) -> bytes:
    """A program for x86_64 with these sections, one after the other, each filled up to a block."""
    sections = list(sections)
    stub = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", PLACE)
    coff = struct.pack("<4sHHIIIHH", b"PE\0\0", 0x8664, len(sections), 0, 0, 0, OPTIONAL, 0x22E)
    # Of the 16 directories the fifth leads to the signatures.
    directories = b"".join(struct.pack("<II", *((4096, 8) if signed and n == 4 else (0, 0))) for n in range(16))
    optional = struct.pack("<H", 0x20B).ljust(108, b"\0") + struct.pack("<I", 16) + directories
    table, contents, end = b"", b"", 4096
    for name, content in sections:
        filled = -(-len(content) // BLOCK) * BLOCK
        table += struct.pack("<8sIIIIIIHHI", name.encode(), len(content), end, filled, end, 0, 0, 0, 0, 0x40000040)
        contents += content.ljust(filled, b"\0")
        end += filled
    head = stub.ljust(PLACE, b"\0") + coff + optional + table
    return head.ljust(4096, b"\0") + contents


def unified(
    parameters: str = "root=UUID=1 ro", initramfs: bytes = b"archive", version: str = "6.1", **more: bytes
) -> bytes:
    """A unified kernel image of Debian 12."""
    system = b'PRETTY_NAME="Debian 12"\nID=debian\nVERSION_ID="12"\nVERSION="12 (bookworm)"\n'
    sections = {".osrel": system, ".cmdline": parameters.encode(), ".uname": version.encode(), ".linux": b"kernel"}
    sections.update({f".{name}": content for name, content in more.items()})
    return program([*sections.items(), *([(".initrd", initramfs)] if initramfs else [])])
