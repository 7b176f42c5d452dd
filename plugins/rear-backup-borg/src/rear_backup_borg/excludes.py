# SPDX-License-Identifier: GPL-3.0-or-later
"""rear's patterns of what is left out, as regular expressions for borg, which knows paths without their first slash."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from rear_core import patterns
from rear_core.archive.coverage import Selection, literal

ANY = ".*"
# All that is in a folder that matches is left out as well.
BEGIN, END = "re:(?s)^", r"(?:/.*)?\Z"


def of_selection(selection: Selection, cache: Path) -> list[str]:
    """What borg is to leave out of what rear's settings select, and its own cache."""
    wanted = [*(part.pattern for part in selection.parts), f"{literal(os.fspath(cache))}/*"]
    return list(dict.fromkeys(given for pattern in wanted for given in translated(pattern)))


def translated(pattern: str) -> list[str]:
    """The patterns of borg that leave out together what one of rear leaves out.

    >>> translated("/home/*/cache")
    ['re:(?s)^home/.*/cache(?:/.*)?\\\\Z']
    """
    return [f"{BEGIN}{''.join(rest)}{END}" for rest in _behind_slash(list(patterns.words(pattern)))]


def _behind_slash(words: Sequence[str]) -> list[list[str]]:
    """What these words can still have to match when the first slash of a path is matched."""
    if not words:
        return []
    first, rest = words[0], list(words[1:])
    if first == ANY:
        return [[first, *rest], *_behind_slash(rest)]
    return [rest] if re.fullmatch(first, "/", re.DOTALL) else []
