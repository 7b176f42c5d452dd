# SPDX-License-Identifier: GPL-3.0-or-later
"""Patterns that leave files out of a backup, read as GNU tar reads them.

That is --anchored --wildcards --wildcards-match-slash: fnmatch(3) with FNM_LEADING_DIR, where * matches slashes and
leading dots, a backslash takes away the meaning of what follows, and all that is in a folder that matches is left out.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable
from functools import cache

# Names as files have them: a pattern that leaves out all of these leaves nothing of a folder that anybody would miss.
USUAL_NAMES = tuple(f"{letter}x.1" for letter in string.ascii_letters + string.digits)
# A bracket that comes first is meant itself.
BRACKETS = re.compile(r"\[([!^]?)(\](?:\[:\w+:\]|\\.|[^\]\\])*|(?:\[:\w+:\]|\\.|[^\]\\])+)\]", re.DOTALL)
LETTERS = "a-zA-Z\u00aa-\U0010ffff"
CLASSES = {
    "alpha": LETTERS, "digit": "0-9", "alnum": f"0-9{LETTERS}", "upper": "A-Z", "lower": "a-z", "space": r"\s",
    "blank": r" \t", "punct": r"!-/:-@\[-`{-~", "xdigit": "0-9a-fA-F",
}  # fmt: skip


def leaving_out(path: str, patterns: Iterable[str]) -> str:
    """The first of the patterns that leaves out a path, or a folder above it; "" for none."""
    return next((pattern for pattern in patterns if _compiled(pattern).match(path)), "")


def emptying(folder: str, patterns: Iterable[str]) -> str:
    """The first of the patterns by which nothing of a folder is saved, or nothing but itself; "" for none."""
    names = [f"{folder.rstrip('/')}/{name}" for name in USUAL_NAMES]
    return next((pattern for pattern in patterns if all(map(_compiled(pattern).match, names))), "")


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """What matches the beginning of a path that ends where a name does."""
    # A pattern that ends with a slash would match nothing, so tar is given it without.
    rest, words = pattern.rstrip("/"), list[str]()
    while rest:
        word, rest = _word(rest)
        words.append(word)
    return re.compile("".join(words) + r"(?:/.*)?\Z", re.DOTALL)


def _word(pattern: str) -> tuple[str, str]:
    """A regular expression for what a pattern begins with, and the rest of it."""
    sign, rest = pattern[0], pattern[1:]
    if sign in "*?":
        return {"*": ".*", "?": "."}[sign], rest
    if sign == "\\" and rest:
        return re.escape(rest[0]), rest[1:]
    found = BRACKETS.match(pattern)
    if sign != "[" or not found:
        return re.escape(sign), rest
    inside = re.sub(r"\[:(\w+):\]|\\(.)|([\[\]^])", _in_brackets, found[2], flags=re.DOTALL)
    return f"[{'^' * bool(found[1])}{inside}]", pattern[found.end() :]


def _in_brackets(match: re.Match[str]) -> str:
    name, escaped, sign = match.groups()
    return CLASSES.get(name, "") if name else re.escape(escaped or sign)
