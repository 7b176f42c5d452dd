# SPDX-License-Identifier: GPL-3.0-or-later
"""Phases on a time line, and rehearsals in a plot."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rear_core.pages.times import SHOWN, Plot, rehearsals, spans
from rear_core.records import Record, Rehearsal


def drill(date: str, seconds: int = 0, *, emulated: bool = False) -> Record:
    result = ("done", 0) if seconds else ("failed", 1)
    measured = (Rehearsal(seconds, 10, 1 << 30, emulated),) if seconds else ()
    return Record("drill", date, seconds, *result, error="" if seconds else "no boot loader", rehearsals=measured)


def test_phases_follow_each_other() -> None:
    found = spans({"verify": 10, "restore": 80, "finalize": 10})
    assert [(one.name, one.left, one.width) for one in found] == [
        ("verify", 0, 10), ("restore", 10, 80), ("finalize", 90, 10),
    ]  # fmt: skip
    assert spans({}) == []
    assert [one.width for one in spans({"verify": 0.0})] == [0]


def test_one_rehearsal_is_a_single_point() -> None:
    plot = rehearsals([drill("2026-11-22T183000Z", 130)])
    assert [(one.left, one.seconds) for one in plot.points] == [(50, 130)]
    assert plot.lines == ((0, 0), (30, 20), (60, 40), (90, 60), (120, 80), (150, 100))
    assert plot.points[0].up == pytest.approx(130 / 1.5)


def test_failed_and_emulated_ones_are_told_apart() -> None:
    plot = rehearsals([drill("1"), drill("2", 100, emulated=True), Record("mkbackup", "3", 1, "done", 0)])
    assert [(one.date, one.problem, one.emulated) for one in plot.points] == [
        ("1", "no boot loader", False), ("2", "", True),
    ]  # fmt: skip
    assert rehearsals([]) == Plot()


@given(st.lists(st.integers(0, 1 << 40), max_size=30))
def test_every_point_has_a_place_between_few_lines(times: list[int]) -> None:
    plot = rehearsals(drill(str(number), seconds) for number, seconds in enumerate(times))
    assert len(plot.points) == min(len(times), SHOWN)
    assert all(0 < point.left < 100 and 0 <= point.up <= 100 for point in plot.points)
    assert len(plot.lines) <= 6
