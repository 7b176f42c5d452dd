# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks into the initramfs of a restored system: which kernel modules it carries."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ..errors import RearError
from ..rescue.modules import name_of
from ..shell import Shell

HEADER = 110
FORMATS = (b"070701", b"070702")
TRAILER = "TRAILER!!!"
# The first bytes of what a compressor writes; the kernel's own list is in lib/decompress.c.
DECOMPRESSORS = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ\0": "xz",
    b"BZh": "bzip2",
    b"\x5d\0\0": "lzma",
    b"\x02\x21\x4c\x18": "lz4",
    b"\x89LZO": "lzop",
}
# What was found in each file, by its path and what changes with its content.
_read: dict[tuple[object, ...], frozenset[str]] = {}


def modules_in(sh: Shell, path: Path, target: Path, part: tuple[int, int] | None = None) -> frozenset[str]:
    """The names of the kernel modules in an initramfs of the recovered system, which may be a part of a file: where it
    begins, and its size; the same file is not read again."""
    found = path.stat()
    version = (path, found.st_ino, found.st_size, found.st_ctime_ns)
    if version not in _read:
        modules = (name_of(name) for name in names(sh, path, target, part) if ".ko" in name.rpartition("/")[2])
        _read[version] = frozenset(modules)
    return _read[version]


def names(sh: Shell, path: Path, target: Path, part: tuple[int, int] | None = None) -> list[str]:
    """All file names in an initramfs: archives one after the other, the last one usually compressed.

    Decompresses with the program of the rescue system, else with the recovered system's own, onto its disk:
    memory is scarce.
    """
    found: list[str] = []
    with _opened(path, target, part) as file:
        end = os.fstat(file.fileno()).st_size
        while _skip_zeros(file, end):
            start = file.tell()
            head = file.read(6)
            file.seek(start)
            if head in FORMATS:
                found += archive_names(file)
                continue
            program = next((name for magic, name in DECOMPRESSORS.items() if head.startswith(magic)), None)
            if program is None:
                raise RearError(f"{path.name} is not an initramfs: it begins with {head.hex()} at byte {start}")
            with tempfile.TemporaryFile(dir=target) as unpacked:
                _decompress(sh, program, file, unpacked, target)
                unpacked.seek(0)
                while _skip_zeros(unpacked, os.fstat(unpacked.fileno()).st_size):
                    found += archive_names(unpacked)
            break
    return found


@contextmanager
def _opened(path: Path, target: Path, part: tuple[int, int] | None) -> Iterator[IO[bytes]]:
    """The initramfs as a file of its own: a program that decompresses reads to the end."""
    with path.open("rb") as file:
        if part is None:
            yield file
            return
        file.seek(part[0])
        with tempfile.TemporaryFile(dir=target) as alone:
            left = part[1]
            while block := file.read(min(left, 1 << 20)):
                alone.write(block)
                left -= len(block)
            alone.seek(0)
            yield alone


def _decompress(sh: Shell, program: str, source: IO[bytes], sink: IO[bytes], target: Path) -> None:
    # A program reads on from where the file stands, by the descriptor.
    os.lseek(source.fileno(), source.tell(), os.SEEK_SET)
    place = () if sh.which(program) else ("chroot", target)
    sh.run(*place, program, "--decompress", "--stdout", stdin=source, stdout=sink, timeout=1800)


def archive_names(file: IO[bytes]) -> Iterator[str]:
    """The names in a newc archive; leaves the file behind its trailer."""
    while True:
        head = file.read(HEADER)
        if len(head) < HEADER or head[:6] not in FORMATS:
            raise RearError("the initramfs is damaged: an archive in it ends too early")
        fields = [int(head[6 + 8 * number : 14 + 8 * number], 16) for number in range(13)]
        size, length = fields[6], fields[11]
        name = os.fsdecode(file.read(length)[:-1])
        file.seek(-(HEADER + length) % 4, os.SEEK_CUR)
        file.seek(size + -size % 4, os.SEEK_CUR)
        if name == TRAILER:
            return
        yield name


def _skip_zeros(file: IO[bytes], end: int) -> bool:
    """Go to the next byte that is not zero; False at the end."""
    while file.tell() < end:
        start = file.tell()
        block = file.read(4096)
        rest = block.lstrip(b"\0")
        if rest:
            file.seek(start + len(block) - len(rest))
            return True
    return False
