# SPDX-License-Identifier: GPL-3.0-or-later
"""Whoever recovers a machine from a vendor's server is asked what to restore, and as of when."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from datetime import datetime

import pytest

from rear_core import builtin
from rear_core.archive import external
from rear_core.archive.external import FileSystem
from rear_core.plugins import Plugins
from rear_core.report import Report
from rear_core.run import Run
from rear_core.settings import Sources, evaluate
from rear_core.workflow import WORKFLOWS

ROOT, HOME, SRV = (FileSystem(path) for path in ("/", "/home", "/srv"))
WHEN = datetime(2026, 11, 22, 18, 30).astimezone()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr("rear_core.questions.is_interactive", lambda _run: True)
    settings = evaluate(Sources(), Plugins(builtin.modules()).call("rear_settings"), {})
    made = Run(settings, Plugins([]), report=Report(terminal=io.StringIO()))
    made.phases = WORKFLOWS["recover"]
    return made


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def answers(*lines: str) -> None:
        left: Iterator[str] = iter(lines)
        monkeypatch.setattr("rear_core.questions.ask", lambda *_words, **_how: next(left))

    return answers


def test_the_enter_key_is_for_the_newest_of_everything(run: Run, typed: Callable[..., None]) -> None:
    typed("", "")
    assert external.chosen(run, [ROOT, HOME], None) == ([ROOT, HOME], None)


def test_a_time_and_file_systems_can_be_typed(run: Run, typed: Callable[..., None]) -> None:
    typed("yesterday", "2026-11-22 18:30:00", "/home /var", "/srv / /srv")
    assert external.chosen(run, [ROOT, HOME, SRV], None) == ([SRV, ROOT], WHEN)
    stream = run.report._terminal
    assert isinstance(stream, io.StringIO)
    assert "'yesterday' is not a date" in stream.getvalue() and "/var is none of them" in stream.getvalue()


@pytest.mark.parametrize("command", ["restoreonly", "checkbackup", "backup-restore"])
def test_only_a_recovery_asks(run: Run, command: str) -> None:
    run.phases = WORKFLOWS[command]
    assert external.chosen(run, [ROOT, HOME], WHEN) == ([ROOT, HOME], WHEN)


def test_what_is_said_already_is_not_asked(run: Run) -> None:
    assert external.chosen(run, [ROOT], WHEN) == ([ROOT], WHEN)
