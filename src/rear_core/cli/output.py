# SPDX-License-Identifier: GPL-3.0-or-later
"""Standard output and error that may be closed, full, or read by nobody: writing to them never fails."""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO


class Output:
    """A standard stream; `problem` is why something could not be written to it, "" when all could."""

    def __init__(self, stream: TextIO) -> None:
        self.problem = ""
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text, if anything takes it."""
        try:
            return self._stream.write(text)
        except (OSError, ValueError) as error:
            self._note(error)
            return len(text)

    def flush(self) -> None:
        """Have it written now."""
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._note(error)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def _note(self, error: OSError | ValueError) -> None:
        self.problem = self.problem or getattr(error, "strerror", None) or str(error)


def take_over() -> list[Output]:
    """Put them in the place of Python's own.

    Where a standard stream was closed something else is opened: the next file would get its number. A byte that is
    typed and no letter in the locale is no error, nor is a letter that is shown and cannot be written there.
    """
    found = []
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # What is written there fails, as it should: nobody reads it.
            os.set_inheritable(os.open(os.devnull, os.O_RDONLY), True)
            if number:
                setattr(sys, name, os.fdopen(number, "w", closefd=False))
        _take_any(getattr(sys, name), "backslashreplace" if number else "surrogateescape")
        if number:
            found.append(Output(getattr(sys, name)))
            setattr(sys, name, found[-1])
    return found


def leave(outputs: list[Output]) -> str:
    """Write what is left, and forget the streams that take nothing: Python would try once more and end with a status
    of its own. Returns why something was not written."""
    for name, output in zip(("stdout", "stderr"), outputs):
        output.flush()
        if output.problem:
            setattr(sys, name, None)
    return next((output.problem for output in outputs if output.problem), "")


def _take_any(stream: TextIO | None, errors: str) -> None:
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors=errors)
