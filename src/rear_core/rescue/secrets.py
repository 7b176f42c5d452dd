# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks for what must not be on rescue media: private keys, password hashes, the machine id, secret settings."""

from __future__ import annotations

import json
import mmap
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from ..trees import below
from .elf import MAGIC as ELF_MAGIC
from .secret_formats import BEGINNINGS, FORMATS, PLACED, SETTINGS
from .secret_kinds import Data
from .tree import matcher

# Programs know how keys begin, and cryptographic libraries have some to test themselves with.
PROGRAMS = (ELF_MAGIC, b"!<arch>\n")
MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
# Bytes: no settings are as long.
LARGEST_TEXT = 16 << 20
ALL = (*BEGINNINGS, *FORMATS)
ANYWHERE = [format_ for format_ in ALL if format_.anywhere]


@dataclass(frozen=True)
class Secret:
    """A secret in a file of the rescue system."""

    path: str
    what: str


def find_secrets(
    tree: Path,
    values: Mapping[str, str],
    allowed: Iterable[str] = (),
    files: Iterable[str] = (),
    libraries: Iterable[str] = (),
) -> list[Secret]:
    """All secrets in the files of a tree, except in paths that match an allowed pattern.

    `values` are further secrets by what they are, such as {"the machine id": "0123..."}; `files` are patterns of
    files that are secret whatever they contain. In `libraries`, patterns of what a distribution and Python brought, as
    in programs, words and settings mean nothing: only keys and hashes are looked for there.
    """
    is_allowed, is_secret, is_library = matcher(allowed), matcher(files), matcher(libraries)
    values = {what: value for what, value in values.items() if len(value) >= 4}
    words = {what: re.compile(b"|".join(map(re.escape, _written(value)))) for what, value in values.items()}
    found = []
    for path in _regular_files(os.fspath(tree)):
        inside = path[len(os.fspath(tree)) :]
        if is_allowed(inside):
            continue
        if is_secret(inside):
            found.append(Secret(inside, "a password or key of a program"))
        else:
            found += [Secret(inside, what) for what in _secrets_in(path, inside, words, library=is_library(inside))]
    return found


def _written(value: str) -> list[bytes]:
    """A value as it is, and as shells, JSON, URLs and files of other encodings have it."""
    plain = value.encode(errors="surrogateescape")
    in_json = json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]
    other = [text.encode(errors="surrogateescape") for text in (*in_json, shlex.quote(value)[1:-1])]
    found = [
        plain,
        quote(plain, safe="").encode(),
        *other,
        value.encode("latin-1", "ignore"),
        value.encode("utf-16-le", "ignore"),
    ]
    return [each for each in dict.fromkeys(found) if len(each) >= 4]


def _secrets_in(path: str, inside: str, words: Mapping[str, re.Pattern[bytes]], *, library: bool) -> Iterator[str]:
    with open(path, "rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data[:8].startswith(PROGRAMS):
                return
            if library:
                yield from dict.fromkeys(format_.what for format_ in ANYWHERE if format_.is_in(data))
                return
            yield from _known(data, inside) or _known(_narrow(data), inside)
            yield from (what for what, word in words.items() if word.search(data))


def _known(data: Data, inside: str) -> list[str]:
    """What secrets there are; a file may be of several formats of one kind."""
    found = dict.fromkeys(format_.what for format_ in ALL if format_.is_in(data))
    found = found or dict.fromkeys(setting.what for setting in SETTINGS if setting.is_in(data))
    return list(found or dict.fromkeys(placed.what for placed in PLACED if placed.is_at(inside, data)))


def _narrow(data: Data) -> bytes:
    """The text of a file in UTF-16, with or without its mark, in UTF-8; nothing for any other."""
    begin = data[:64]
    encoding = MARKS.get(begin[:2], "")
    # The letters of settings are those of ASCII.
    for zeros, name in ((begin[1::2], "utf-16-le"), (begin[::2], "utf-16-be")):
        if not encoding and len(begin) >= 8 and not any(zeros) and begin.count(0) == len(zeros):
            encoding = name
    return data[:LARGEST_TEXT].decode(encoding, "replace").encode(errors="replace") if encoding else b""


def _regular_files(folder: str) -> Iterator[str]:
    return (entry.path for entry in below(folder) if entry.is_file(follow_symlinks=False))
