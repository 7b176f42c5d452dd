# SPDX-License-Identifier: GPL-3.0-or-later
"""rear's patterns of what is left out, as restic reads them.

In rear's, as in tar's, all wildcards also match slashes. In restic's (filepath.Match of Go) none does but `**`, which
stands for any number of folders.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from rear_core import ConfigurationError, patterns
from rear_core.archive.coverage import Selection, literal
from rear_core.storage.fstypes import VIRTUAL

ASCII = [chr(number) for number in range(1, 128) if chr(number) != "/"]
ANY = ".*"
# A pattern with so many wildcards is not one that anybody wants.
MOST = 1000


def of_selection(selection: Selection, cache: Path) -> list[str]:
    """What restic is to leave out of what rear's settings select, and its own cache."""
    wanted = [*(part.pattern for part in selection.parts), *_in_memory(selection), f"{literal(os.fspath(cache))}/*"]
    return list(dict.fromkeys(given for pattern in wanted for given in translated(pattern)))


def _in_memory(selection: Selection) -> Iterator[str]:
    """The contents of /proc and the like: restic enters them to see that they are other file systems, and what vanishes
    meanwhile is an error to it."""
    for entry in selection.covered:
        inside = f"{entry.name.rstrip('/')}/"
        if entry.type in VIRTUAL and not any(f"{start[1:]}/".startswith(inside) for start in selection.starts):
            yield f"{literal(entry.name)}/*"


def translated(pattern: str) -> list[str]:
    """The patterns of restic that leave out together what one of rear leaves out.

    >>> translated("/home/*/cache")
    ['/home/*/cache', '/home/*/**/*/cache']
    """
    words = list(patterns.words(pattern))
    # What is in a folder that is left out is left out anyway.
    choices = [["*"] if word == ANY and not words[at + 1 :] else _written(word) for at, word in enumerate(words)]
    made = list(itertools.islice(map("".join, itertools.product(*choices)), MOST + 1))
    if len(made) > MOST:
        raise ConfigurationError(f"{pattern!r} of BACKUP_PROG_EXCLUDE has too many wildcards for restic", "split it up")
    # No path has two slashes.
    return [text for text in made if "//" not in text and not text.endswith("/")]


def _written(word: str) -> list[str]:
    """What a part of a pattern, given as a regular expression, may be in restic's; nothing for what never matches."""
    if word == ANY:
        return ["*", "*/**/*"]
    if word == re.escape(word[-1]):
        return [_escaped(word[-1])]
    matches = re.compile(word, re.DOTALL).fullmatch
    slash = ["/"] if matches("/") else []
    members = [letter for letter in ASCII if matches(letter)]
    if not matches("\u00e9"):
        return ([_bracket(members)] if members else []) + slash
    # It matches all letters that are not in ASCII, as brackets have no others.
    others = [letter for letter in ASCII if letter not in members]
    return [_bracket(others, "^") if others else "?", *slash]


def _bracket(members: Iterable[str], sign: str = "") -> str:
    return f"[{sign}{''.join(f'{chr(92)}{letter}' for letter in members)}]"


def _escaped(letter: str) -> str:
    return f"\\{letter}" if letter in "*?[\\" else letter
