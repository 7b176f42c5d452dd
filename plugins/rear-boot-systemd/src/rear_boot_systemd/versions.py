# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of versions by the UAPI Version Format Specification, as `systemd-analyze compare-versions` has it."""

from __future__ import annotations

import re
from functools import cmp_to_key
from itertools import zip_longest

# What is no part of a version stands between two.
PART = re.compile(r"[~^.-]|[0-9]+|[a-zA-Z]+")
# "" is the end of a version. Letters come behind all of these, and behind letters come numbers.
RANKS = ("~", "", "-", "^", ".")


def compare(one: str, other: str) -> int:
    """Less than 0 where the first version is older than the second, more where it is newer, 0 for the same."""
    for a, b in zip_longest(PART.findall(one), PART.findall(other), fillvalue=""):
        if _order(a) != _order(b):
            return 1 if _order(a) > _order(b) else -1
    return 0


def _order(part: str) -> tuple[int, int, str]:
    if part in RANKS:
        return RANKS.index(part), 0, ""
    if part.isdigit():
        # By length and digits: nobody needs a number of as many digits as somebody may have written.
        digits = part.lstrip("0")
        return len(RANKS) + 1, len(digits), digits
    return len(RANKS), 0, part


newest_first = cmp_to_key(lambda one, other: compare(str(other), str(one)))
