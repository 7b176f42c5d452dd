# SPDX-License-Identifier: GPL-3.0-or-later
"""rear's patterns of what is left out, as rules for rsync.

In rear's, as in tar's, all wildcards also match slashes. In rsync's none does but `**`, and `?` and brackets match a
byte and not a letter.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence

from rear_core import ConfigurationError, patterns
from rear_core.archive.coverage import Selection

ANY = ".*"
WILD = "*?["
ASCII = [chr(number) for number in range(1, 128) if chr(number) != "/"]
# A letter beyond ASCII, in bytes of UTF-8.
_NEXT = "[\udc80-\udcbf]"
LETTERS = (f"[\udcc2-\udcdf]{_NEXT}", f"[\udce0-\udcef]{_NEXT * 2}", f"[\udcf0-\udcf4]{_NEXT * 3}")
# A pattern with so many wildcards is not one that anybody wants.
MOST = 1000


def of_selection(selection: Selection) -> list[str]:
    """What rsync is to leave out of what rear's settings select."""
    return list(dict.fromkeys(rule for part in selection.parts for rule in translated(part.pattern)))


def translated(pattern: str) -> list[str]:
    """The rules of rsync, from the root on, that leave out together what one pattern of rear leaves out.

    >>> translated("/home/*/cache")
    ['/home/**/cache']
    """
    if not pattern.rstrip("/"):
        return ["/**"]
    made = [_rule(words) for rest in _behind_slash(list(patterns.words(pattern))) for words in _chosen(pattern, rest)]
    # No path has two slashes, or ends with one.
    return list(dict.fromkeys(f"/{rule}" for rule in made if rule and "//" not in f"/{rule}/"))


def _behind_slash(words: Sequence[str]) -> list[list[str]]:
    """What these words can still have to match when the first slash of a path is matched."""
    if not words:
        return []
    first, rest = words[0], list(words[1:])
    if first == ANY:
        return [[first, *rest], *_behind_slash(rest)]
    return [rest] if re.fullmatch(first, "/", re.DOTALL) else []


def _chosen(pattern: str, words: Sequence[str]) -> list[tuple[str, ...]]:
    """Each way to write these words; a run of `*` is one."""
    kept = [word for at, word in enumerate(words) if word != ANY or words[at - 1 : at] != [ANY]]
    made = list(itertools.islice(itertools.product(*map(_written, kept)), MOST + 1))
    if len(made) > MOST:
        raise ConfigurationError(f"{pattern!r} of BACKUP_PROG_EXCLUDE has too many wildcards for rsync", "split it up")
    return made


def _written(word: str) -> list[str]:
    """What a part of a pattern, given as a regular expression, may be in rsync's; nothing for what never matches."""
    if word == ANY:
        return ["**"]
    if word == re.escape(word[-1]):
        return [word[-1]]
    matches = re.compile(word, re.DOTALL).fullmatch
    members = [letter for letter in ASCII if matches(letter)]
    return [
        *([_bracket(members)] if members else []), *(["/"] if matches("/") else []),
        *(LETTERS if matches("\u00e9") else ()),
    ]  # fmt: skip


def _bracket(members: Iterable[str]) -> str:
    return f"[{''.join(f'{chr(92)}{letter}' for letter in members)}]"


def _rule(words: Sequence[str]) -> str:
    """A rule of rsync, to which a backslash is one where no wildcard is."""
    wild = any(word[0] in WILD for word in words)
    return "".join(f"\\{word}" if wild and word in ("\\", *WILD) else word for word in words)
