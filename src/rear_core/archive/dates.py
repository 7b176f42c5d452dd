# SPDX-License-Identifier: GPL-3.0-or-later
"""Dates as users write them to choose a backup: 2026, 2026-11, 2026-11-22, 2026-11-22T18, ... down to the second."""

from __future__ import annotations

import re
from datetime import datetime

# How a backup is called, in UTC.
FORMAT = "%Y-%m-%dT%H%M%SZ"
# Every part has all its digits, and so none can pass for the beginning of the next: 2026-11-5 would be 2026-11-5x.
PARTS = re.compile(
    r"([0-9]{4})(?:-?([0-9]{2})(?:-?([0-9]{2})(?:[T ]?([0-9]{2})(?::?([0-9]{2})(?::?([0-9]{2}))?)?)?)?)?Z?"
)
FIRST = "00000101000000"


def digits(text: str) -> str:
    """The digits of a date that may leave off its end; raises `ValueError` for what is none, or not in a calendar.

    >>> digits("2026-11-22 18:30")
    '202611221830'
    """
    found = PARTS.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is not a date")
    given = "".join(filter(None, found.groups()))
    datetime.strptime(given + FIRST[len(given) :], "%Y%m%d%H%M%S")
    return given
