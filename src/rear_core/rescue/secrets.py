# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks for what must not be on rescue media: private keys, password hashes, the machine id, secret settings."""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .elf import MAGIC as ELF_MAGIC
from .tree import matcher

# A key is its first line and data: programs that read keys carry the bare line, and are not keys.
PRIVATE_KEY = re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----\s+(?:[\w-]+: [^\n]*\n)*\s*[A-Za-z0-9+/=]{32}")
# crypt(5): method, options, salt, hash. Lengths keep examples in program texts out.
PASSWORD_HASH = re.compile(
    rb"\$1\$[./0-9A-Za-z]{1,8}\$[./0-9A-Za-z]{22}(?![./0-9A-Za-z])"
    rb"|\$5\$(?:rounds=\d+\$)?[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{43}(?![./0-9A-Za-z])"
    rb"|\$6\$(?:rounds=\d+\$)?[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{86}(?![./0-9A-Za-z])"
    rb"|\$2[abxy]\$\d\d\$[./0-9A-Za-z]{53}(?![./0-9A-Za-z])"
    rb"|\$(?:y|gy|7)\$[./0-9A-Za-z]+\$[./0-9A-Za-z]{1,86}\$[./0-9A-Za-z]{43}(?![./0-9A-Za-z])"
)


@dataclass(frozen=True)
class Secret:
    """A secret in a file of the rescue system."""

    path: str
    what: str


def find_secrets(
    tree: Path, values: Mapping[str, str], allowed: Iterable[str] = (), files: Iterable[str] = ()
) -> list[Secret]:
    """All secrets in the files of a tree, except in paths that match an allowed pattern.

    `values` are further secrets by what they are, such as {"the machine id": "0123..."}; `files` are patterns of
    files that are secret whatever they contain.
    """
    is_allowed, is_secret = matcher(allowed), matcher(files)
    words = {what: value.encode() for what, value in values.items() if len(value) >= 4}
    found = []
    for path in _regular_files(os.fspath(tree)):
        inside = path[len(os.fspath(tree)) :]
        if is_allowed(inside):
            continue
        if is_secret(inside):
            found.append(Secret(inside, "a password or key of a program"))
        else:
            found += [Secret(inside, what) for what in _secrets_in(path, words)]
    return found


def _secrets_in(path: str, words: Mapping[str, bytes]) -> Iterator[str]:
    with open(path, "rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            # Cryptographic libraries have keys inside, to test themselves with.
            program = data[:4] == ELF_MAGIC
            if not program and PRIVATE_KEY.search(data):
                yield "a private key"
            if not program and PASSWORD_HASH.search(data):
                yield "a password hash"
            for what, value in words.items():
                if data.find(value) >= 0:
                    yield what


def _regular_files(folder: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_dir(follow_symlinks=False):
                yield from _regular_files(entry.path)
            elif entry.is_file(follow_symlinks=False):
                yield entry.path
