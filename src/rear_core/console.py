# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions to whoever sits at the terminal."""
from __future__ import annotations

import getpass
import sys

from .errors import Interrupted


def somebody_is_there() -> bool:
    """Whether the standard input is a terminal."""
    return sys.stdin.isatty()


def ask(question: str) -> str:
    """A line that is typed, without the blanks around it; `Interrupted` when the terminal is closed, or by ^D."""
    try:
        print(question, end="", file=sys.stderr, flush=True)
        return input().strip()
    except EOFError:
        raise _nobody() from None


def ask_secret(question: str) -> str:
    """A line that is typed and not shown; `Interrupted` when the terminal is closed, or by ^D."""
    try:
        return getpass.getpass(question)
    except EOFError:
        raise _nobody() from None


def _nobody() -> Interrupted:
    return Interrupted("a question was not answered", "run it again, on a terminal")
