# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress of long work: a bar with rate and ETA on a terminal, one line per 10 % elsewhere, JSON events for tools."""

from __future__ import annotations

import json
import time

from ..report import Report

WIDTH, NARROWEST = 24, 4
UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


class Progress:
    """Tells how much of `total` bytes is done; with a `total` of 0, which is unknown, only how much and how fast.

    With `events` each change is a line of JSON on standard output: `event` ("progress", at last "done"), `work`,
    `done`, `total`, `rate` (bytes per second) and `eta` (seconds, null while unknown).
    """

    def __init__(self, report: Report, work: str, total: int, *, events: bool = False) -> None:
        self.report = report
        self.work = work
        self.total = total
        self.events = events
        self.done = 0
        self._started = self._shown = time.monotonic()
        self._tenth = 0

    def at(self, done: int) -> None:
        """So much is done, never less; shown at most twice a second. More than the total extends that."""
        self.done = max(self.done, done)
        self.total = self.total and max(self.total, self.done)
        now = time.monotonic()
        tenth = 10 * self.done // self.total if self.total else 0
        if self.report.on_terminal:
            if now - self._shown >= 0.5:
                self.report.passing(self.line(now))
        elif tenth > self._tenth and not self.events:
            self.report.say(self.line(now))
        if self.events and (now - self._shown >= 0.5 or tenth > self._tenth):
            self._event("progress", now)
        if now - self._shown >= 0.5:
            self._shown = now
        self._tenth = max(tenth, self._tenth)

    def end(self) -> None:
        """The work is done, whatever was expected."""
        self.total = self.done
        if self.events:
            self._event("done", time.monotonic())

    def rate(self, now: float) -> float:
        """Bytes per second since the beginning."""
        return self.done / max(now - self._started, 0.001)

    def seconds_left(self, now: float) -> float | None:
        """How long the rest will take at this rate, None while that is unknown."""
        rate = self.rate(now)
        return (self.total - self.done) / rate if rate and self.total else None

    def line(self, now: float) -> str:
        """What the user sees."""
        done = f"{size(self.done)}" + (f" of {size(self.total)}" if self.total else "")
        left = self.seconds_left(now)
        parts = [self.work, done, f"{size(self.rate(now))}/s"]
        if left is not None:
            parts.insert(1, f"{100 * self.done // self.total:3d} %")
            parts.append(f"{duration(left)} left")
            # The numbers say more than the bar, which takes the room that they leave in a line.
            width = min(WIDTH, self.report.columns - len("  ".join(parts)) - len("  []") - 1)
            if width >= NARROWEST:
                filled = width * self.done // self.total
                parts.insert(1, f"[{'#' * filled}{'.' * (width - filled)}]")
        return "  ".join(parts)

    def _event(self, event: str, now: float) -> None:
        left = self.seconds_left(now)
        facts = {
            "event": event, "work": self.work, "done": self.done, "total": self.total,
            "rate": round(self.rate(now)), "eta": None if left is None else round(left),
        }  # fmt: skip
        self.report.result(json.dumps(facts))


def size(count: float) -> str:
    """Bytes for people, as in 1.5 GiB."""
    unit = 0
    while count >= 1024 and unit < len(UNITS) - 1:
        count /= 1024
        unit += 1
    return f"{count:.1f} {UNITS[unit]}" if unit else f"{count:.0f} B"


def duration(seconds: float) -> str:
    """Seconds for people, as in 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
