# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether all data of a repository in a folder is there, as far as its index and the sizes of its files tell.

borg itself looks at its index alone, or reads everything: `borg check --archives-only` and a further save both end well
where a file of the repository is gone. The formats are those of borg 1.x, see its page on internals.
"""

from __future__ import annotations

import configparser
import os
import re
import struct
from pathlib import Path

# Of an index: a mark, entries, buckets, and bytes of a key and a value; a bucket is a key and where its data begins.
HEADER = struct.Struct("<8siibb")
BUCKET = struct.Struct("<32sII")
MARK = b"BORG_IDX"
# A bucket with this or more for its file is empty.
EMPTY = 0xFFFFFFFE
# Of data in a file: checksum, size with this header, and its kind, PUT or its second version.
ENTRY = struct.Struct("<IIB")
KINDS = (0, 3)
BLOCK = BUCKET.size * 20_000
MOST_NAMED = 3


def problem(folder: Path) -> str:
    """What is missing of a repository, in words; "" when nothing is, or when borg has yet to write its index anew.

    Raises `OSError` when something cannot be read, and `ValueError` for formats of another borg.
    """
    indexes = {int(path.name[6:]): path for path in folder.glob("index.*") if path.name[6:].isdigit()}
    if not indexes:
        return ""
    ends = last_offsets(indexes[max(indexes)])
    in_folder = _files_in_folder(folder)
    flaws = {number: _flaw(folder, in_folder, number, offset) for number, offset in sorted(ends.items())}
    bad = [f"{number} is {flaw}" for number, flaw in flaws.items() if flaw]
    more = " ..." if len(bad) > MOST_NAMED else ""
    return f"{len(bad)} of {len(ends)} files of its data: {'; '.join(bad[:MOST_NAMED])}{more}" if bad else ""


def last_offsets(index: Path) -> dict[int, int]:
    """Where in each file of the repository its last piece of data begins; `ValueError` for no index of borg 1."""
    found: dict[int, int] = {}
    with index.open("rb") as file:
        head = file.read(HEADER.size)
        mark, _, _, key, value = HEADER.unpack(head) if len(head) == HEADER.size else (b"", 0, 0, 0, 0)
        if (mark, key, value) != (MARK, 32, 8):
            raise ValueError(f"{index.name} has a format that rear does not know")
        while block := file.read(BLOCK):
            for _, number, offset in BUCKET.iter_unpack(block[: len(block) // BUCKET.size * BUCKET.size]):
                if number < EMPTY and offset >= found.get(number, 0):
                    found[number] = offset
    return found


def _files_in_folder(folder: Path) -> int:
    """How many files of data one folder has: `segments_per_dir` of the repository's own settings."""
    settings = configparser.ConfigParser(interpolation=None)
    settings.read_string((folder / "config").read_text())
    found = settings.get("repository", "segments_per_dir", fallback="")
    if not re.fullmatch(r"[1-9]\d*", found):
        raise ValueError("its settings have no segments_per_dir")
    return int(found)


def _flaw(folder: Path, in_folder: int, number: int, offset: int) -> str:
    """Why the last piece of data in a file is not all there, "" when it is."""
    path = folder / "data" / str(number // in_folder) / str(number)
    try:
        with path.open("rb") as file:
            length = os.fstat(file.fileno()).st_size
            file.seek(offset)
            head = file.read(ENTRY.size)
    except FileNotFoundError:
        return "missing"
    if len(head) < ENTRY.size:
        return f"cut off at {length} bytes"
    _, size, kind = ENTRY.unpack(head)
    if kind not in KINDS:
        return f"damaged at {offset}"
    return f"cut off at {length} bytes" if offset + size > length else ""
