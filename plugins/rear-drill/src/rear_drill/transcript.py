# SPDX-License-Identifier: GPL-3.0-or-later
"""What a console printed, as text with times."""

from __future__ import annotations

import re
import time
from pathlib import Path


def plain(text: str) -> str:
    """The text without carriage returns and escape sequences of a terminal."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][0-9A-B]|\r", "", text)


class Transcript:
    """Writes what it is given line by line, each with the seconds since the start."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        self._file = path.open("a", encoding="utf-8")
        self._started = time.monotonic()
        self._partial = ""

    def write(self, text: str) -> None:
        *lines, self._partial = (self._partial + text).split("\n")
        for line in lines:
            self._file.write(f"{time.monotonic() - self._started:7.1f} {plain(line)}\n")

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self.write("\n")
        self._file.close()
