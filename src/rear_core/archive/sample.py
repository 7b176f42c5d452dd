# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of a large archive that is read before a recovery begins, and what it proves."""

from __future__ import annotations

import math
from random import SystemRandom

# Bytes: an archive that has no more is read as a whole.
SIZE = 512 << 20
# Of a very large one, whose parts are large as well, so many are read.
FEWEST = 16
# Of each of many old backups, before another one is removed.
FEWEST_OF_MANY = 4


def parts(size: int) -> int:
    """How many parts of this size are read."""
    return max(SIZE // size, FEWEST)


def parts_of_many(size: int, many: int) -> int:
    """How many parts of this size are read of each of several backups: of all together what two have, and some more
    where there are very many."""
    return max(min(parts(size), 2 * parts(size) // many), FEWEST_OF_MANY)


def drawn(count: int, size: int) -> list[int]:
    """So many numbers below `count`, in order: the first, the last, and others that nobody can foresee."""
    return [0, *sorted(SystemRandom().sample(range(1, count - 1), min(count, size) - 2)), count - 1]


def damaged(good: int) -> float:
    """The part that is damaged at most, with a confidence of 95 %, when so many were drawn and all are good.

    >>> damaged(64)
    0.0457...
    """
    return 1.0 - math.pow(0.05, 1 / good)
