# SPDX-License-Identifier: GPL-3.0-or-later
"""Patterns that leave files out of a backup, read as GNU tar reads them.

That is --anchored --wildcards --wildcards-match-slash: fnmatch(3) with FNM_LEADING_DIR, where * matches slashes and
leading dots, a backslash takes away the meaning of what follows, and all that is in a folder that matches is left out.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Iterator
from functools import cache

# Names as files have them: a pattern that leaves out all of these leaves nothing of a folder that anybody would miss.
USUAL_NAMES = tuple(f"{letter}x.1" for letter in string.ascii_letters + string.digits)
EQUIVALENT = re.compile(r"\[=(.)=\]", re.DOTALL)
# What never matches.
NOTHING = r"(?!)"
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
    return re.compile("".join(words(pattern)) + r"(?:/.*)?\Z", re.DOTALL)


def words(pattern: str) -> Iterator[str]:
    """A regular expression for each character, wildcard and bracket of a pattern, with `re.DOTALL`."""
    # A pattern that ends with a slash would match nothing, so tar is given it without.
    rest = pattern.rstrip("/")
    while rest:
        word, rest = _word(rest)
        yield word


def _word(pattern: str) -> tuple[str, str]:
    """A regular expression for what a pattern begins with, and the rest of it."""
    sign, rest = pattern[0], pattern[1:]
    if sign in "*?":
        return {"*": ".*", "?": "."}[sign], rest
    if sign == "\\" and rest:
        return re.escape(rest[0]), rest[1:]
    if sign != "[":
        return re.escape(sign), rest
    return _bracket(rest) or (re.escape(sign), rest)


def _bracket(pattern: str) -> tuple[str, str] | None:
    """A regular expression for what stands in brackets, and the rest behind them; None where they do not end, so that
    the bracket means itself.

    As fnmatch(3) of the GNU C library reads it: from the left, until something matches. The bracket that ends it does
    not when it comes first. A class or symbol that nobody knows matches nothing, nor does what comes after it.
    """
    negated, rest = pattern[:1] in ("!", "^"), pattern[1:] if pattern[:1] in ("!", "^") else pattern
    found: list[str] = []
    known, is_first = True, True
    while is_first or not rest.startswith("]"):
        is_first = False
        if not rest:
            return None
        if named := re.match(r"\[:([a-z]*):\]", rest):
            known, rest = known and named[1] in CLASSES, rest[named.end() :]
            if known:
                found.append(CLASSES[named[1]])
            continue
        if rest.startswith("[=") and not EQUIVALENT.match(rest) and not negated:
            # Whatever has matched by then is dropped again.
            found.clear()
        first, rest = _member(rest)
        last = first
        if rest[:1] == "-" and rest[1:2] not in ("", "]"):
            last, rest = _member(rest[1:])
        if first is None or last is None:
            return NOTHING, ""
        known = known and len(first) == len(last) == 1
        # A range that runs backwards has nothing in it.
        found += [f"{re.escape(first)}-{re.escape(last)}"] * (known and first <= last)
    if not found or (negated and not known):
        return "." if negated and known else NOTHING, rest[1:]
    return f"[{'^' * negated}{''.join(found)}]", rest[1:]


def _member(pattern: str) -> tuple[str | None, str]:
    """The character that a pattern begins with in brackets, or the name of a symbol, and the rest; None for one that
    does not end."""
    if pattern[0] == "\\":
        return pattern[1:2] or None, pattern[2:]
    if equivalent := EQUIVALENT.match(pattern):
        return equivalent[1], pattern[equivalent.end() :]
    if pattern.startswith("[."):
        name, end, rest = pattern[2:].partition(".]")
        return name if end else None, rest
    return pattern[0], pattern[1:]
