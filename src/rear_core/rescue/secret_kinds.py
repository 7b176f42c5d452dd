# SPDX-License-Identifier: GPL-3.0-or-later
"""What a secret is known by: text anywhere in a file, the name of a setting, how the file begins, or its own name."""

from __future__ import annotations

import mmap
import re
from typing import Union

# A file that is mapped is searched as it is, without a copy.
Data = Union[bytes, mmap.mmap]

# Nothing is above the first line of a file: it is looked at again behind an empty one.
FIRST_LINES = 4096
LONGEST_NAME = 200
IN_JSON = re.compile(rb"\"[\w.-]*\Z")


class Format:
    """What a kind of secret looks like, in the middle of a file.

    Each of the `patterns` begins with a plain letter or word: so it is found ten times as quickly. One for the start
    of a line begins with the end of the line above. What is `anywhere` also counts in the libraries that a
    distribution and Python brought. Only a file with the word `among` is searched.
    """

    def __init__(self, what: str, *patterns: bytes, anywhere: bool = False, among: bytes = b"") -> None:
        self.what = what
        self.anywhere = anywhere
        # By an expression: to look for a plain word in a mapped file takes ten times as long.
        self._among = re.compile(re.escape(among))
        # One by one: alternatives are looked for at each letter.
        self._patterns = [re.compile(pattern, re.MULTILINE) for pattern in patterns]
        self._lines = [pattern for pattern in self._patterns if pattern.pattern.startswith(b"\\n")]

    def is_in(self, data: Data) -> bool:
        """Whether a file has such a secret."""
        if not self._among.search(data):
            return False
        if any(pattern.search(data) for pattern in self._patterns):
            return True
        head = b"\n" + data[:FIRST_LINES] if self._lines else b""
        return any(pattern.match(head) for pattern in self._lines)


class Setting:
    """A secret by the name of its setting, of which only the last part counts, in capitals or not.

    Each of the `patterns` begins with plain letters, as with `Format`; what stands before them on their line must end
    in `begin`, or for the group `json` in a name in quotes.
    """

    def __init__(self, what: str, *patterns: bytes, begin: bytes) -> None:
        self.what = what
        self._patterns = [re.compile(pattern, re.MULTILINE) for pattern in patterns]
        self._begin = re.compile(begin)

    def is_in(self, data: Data) -> bool:
        """Whether a file has such a setting."""
        return any(self._begins(data, found) for pattern in self._patterns for found in pattern.finditer(data))

    def _begins(self, data: Data, found: re.Match[bytes]) -> bool:
        start = max(0, found.start() - LONGEST_NAME)
        before = (b"" if start else b"\n") + data[start : found.start()]
        begin = IN_JSON if found.lastgroup == "json" else self._begin
        return bool(begin.search(before))


class Beginning:
    """A kind of secret that is a file of its own, known by how it begins."""

    def __init__(self, what: str, *patterns: bytes, anywhere: bool = True) -> None:
        self.what = what
        self.anywhere = anywhere
        self._pattern = re.compile(b"|".join(patterns), re.DOTALL)

    def is_in(self, data: Data) -> bool:
        """Whether a file begins so."""
        return bool(self._pattern.match(data))


class Placed:
    """A secret that only the name of its file tells from other text: `path` is how that ends."""

    def __init__(self, what: str, path: str, *patterns: bytes) -> None:
        self.what = what
        self._path = re.compile(path + r"\Z")
        self._format = Format(what, *patterns)

    def is_at(self, path: str, data: Data) -> bool:
        """Whether a file of this name has it."""
        return bool(self._path.search(path)) and self._format.is_in(data)
