# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress: a line per tenth where nobody looks, one line written over on a terminal, events for tools."""

from __future__ import annotations

import io
import json

import pytest

from rear_core.archive.progress import Progress, duration, size
from rear_core.report import Report


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_terminal_there_is_a_line_per_tenth() -> None:
    stream = io.StringIO()
    progress = Progress(Report(terminal=stream), "Saving", 1000)
    for done in range(0, 1001, 10):
        progress.at(done)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 10
    assert "10 %" in lines[0]
    assert "100 B of 1000 B" in lines[0]
    assert "left" in lines[0]


def test_on_a_terminal_the_next_line_takes_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr("time.monotonic", lambda: float(next(clock)))
    stream = Terminal()
    report = Report(terminal=stream)
    progress = Progress(report, "Saving", 4 << 20)
    progress.at(1 << 20)
    report.say("something else")
    assert stream.getvalue() == (
        "\r\033[KSaving  [#####...............]   25 %  1.0 MiB of 4.0 MiB  1.0 MiB/s  0:03 left"
        "\r\033[Ksomething else\n"
    )


def test_events_are_lines_of_json_and_the_last_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    progress = Progress(Report(terminal=stream), "Saving", 1000, events=True)
    for done in (0, 50, 500, 400, 1200):
        progress.at(done)
    progress.end()
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    told = [(event["event"], event["done"]) for event in events]
    assert told == [("progress", 500), ("progress", 1200), ("done", 1200)]
    assert {event["work"] for event in events} == {"Saving"}
    assert [event["total"] for event in events] == [1000, 1200, 1200]  # more than was expected
    assert all(event["rate"] >= 0 for event in events)
    assert stream.getvalue() == ""


def test_an_unknown_total_has_no_percentage() -> None:
    progress = Progress(Report(terminal=Terminal()), "Saving", 0)
    progress.at(2048)
    assert "2.0 KiB" in progress.line(1e9)
    assert "%" not in progress.line(1e9)


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 40, "5.0 TiB"), (9 << 60, "9216.0 PiB")]
)
def test_bytes_for_people(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (61.4, "1:01"), (3723, "1:02:03")])
def test_seconds_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text
