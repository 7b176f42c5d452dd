# SPDX-License-Identifier: GPL-3.0-or-later
"""Time lines of phases, and the plot of how long recoveries took."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..records import Record

# So many rehearsals are in a plot.
SHOWN = 20
# Seconds between two lines of a plot: 1 s to 1 day.
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
MOST_LINES = 5


@dataclass(frozen=True)
class Span:
    """A phase on a time line: where it begins and how long it is, in percent of all."""

    name: str
    seconds: float
    left: float
    width: float


@dataclass(frozen=True)
class Point:
    """A rehearsal in a plot, in percent from the left and from below; `seconds` is 0 for one that failed.

    `emulated` says that its processor was, which takes many times longer.
    """

    date: str
    seconds: int
    left: float
    up: float
    emulated: bool = False
    problem: str = ""


@dataclass(frozen=True)
class Plot:
    """The points, oldest first, and the lines to read them by: their seconds, and percent from below."""

    points: tuple[Point, ...] = ()
    lines: tuple[tuple[int, float], ...] = ()


def spans(phases: Mapping[str, float]) -> list[Span]:
    """The phases, which follow each other."""
    total, found = sum(phases.values()) or 1.0, list[Span]()
    for name, seconds in phases.items():
        left = found[-1].left + found[-1].width if found else 0.0
        found.append(Span(name, seconds, left, 100 * seconds / total))
    return found


def rehearsals(records: Iterable[Record]) -> Plot:
    """The plot of the last rehearsals, those that failed among them; of none it is empty."""
    drills = [record for record in records if record.command == "drill" and record.result in ("done", "failed")]
    found = drills[-SHOWN:]
    longest = max((one.seconds for record in found for one in record.rehearsals), default=0)
    step = next((step for step in STEPS if longest <= step * MOST_LINES), -(-longest // MOST_LINES))
    # The last line is above all points.
    top = step * max(1, -(-longest // step))
    points = [_point(record, (number + 0.5) * 100 / len(found), top) for number, record in enumerate(found)]
    lines = [(seconds, 100 * seconds / top) for seconds in range(0, top + 1, step)] if found else []
    return Plot(tuple(points), tuple(lines))


def _point(record: Record, left: float, top: int) -> Point:
    for one in record.rehearsals:
        return Point(record.began, one.seconds, left, max(0, 100 * one.seconds / top), one.emulated)
    return Point(record.began, 0, left, 0.0, problem=record.error or record.result)
