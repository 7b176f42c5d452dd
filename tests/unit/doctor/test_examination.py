# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks that fail, take too long or find something: each becomes lines, and none keeps the others from being done."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import cast

import pytest

from rear_core.doctor.examination import Finding, Probe, Problem, as_json, examine, lines, worst
from rear_core.errors import ProgramMissing, RearError, Refused
from rear_core.health.checks import State
from rear_core.interruption import TookTooLong, limited
from rear_core.report import Report
from rear_core.run import Run


def found(look: Callable[[Run], Iterator[Problem]], seconds: float = 60) -> list[tuple[str, State, str, str]]:
    """The findings of a check, and that of one behind it, which has nothing to say."""
    report = Report()
    report.mask("geheim")
    run = cast(Run, SimpleNamespace(report=report))
    findings = [*examine(run, [Probe("one", "well", look, "ask", seconds), Probe("two", "fine", lambda _run: ())])]
    assert findings[-1] == Finding("two", State.OK, "fine") and not report.warnings
    return [(finding.name, finding.state, finding.text, finding.advice) for finding in findings[:-1]]


def test_whatever_happens_in_a_check_is_a_line() -> None:
    def refuses(_run: Run) -> Iterator[Problem]:
        yield Problem(State.WARNING, "a part", "mend it")
        raise Refused("no place", "mount it")

    def lacks(_run: Run) -> Iterator[Problem]:
        yield Problem(State.OK, "a part")
        raise ProgramMissing(["lsblk"])

    def is_broken(_run: Run) -> Iterator[Problem]:
        raise KeyError("x")

    assert found(refuses) == [
        ("one", State.WARNING, "a part", "mend it"), ("one", State.CRITICAL, "no place", "mount it"),
    ]  # fmt: skip
    assert found(lacks) == [
        ("one", State.UNKNOWN, "could not be checked: lsblk failed (not found)",
         "install the package that provides 'lsblk'"),
    ]  # fmt: skip
    assert found(is_broken) == [("one", State.UNKNOWN, "could not be checked: KeyError: 'x'", "")]


def test_a_check_that_hangs_is_given_up() -> None:
    def hangs(_run: Run) -> Iterator[Problem]:
        time.sleep(20)
        yield Problem(State.OK, "at last")

    began = time.monotonic()
    assert found(hangs, seconds=0.2)[0][1:3] == (
        State.UNKNOWN, "could not be checked: it was not done within 0.2 seconds",
    )  # fmt: skip
    assert time.monotonic() - began < 5
    with limited(0.2):
        pass
    time.sleep(0.3)
    # Whoever takes it for a failure of something else is told again.
    begun = time.monotonic()
    with pytest.raises(TookTooLong), limited(0.1):
        with suppress(RearError):
            time.sleep(20)
        with suppress(RearError):
            time.sleep(20)
    assert time.monotonic() - begun < 10
    with pytest.raises(TookTooLong), limited(0.1):
        time.sleep(20)


def test_warnings_count_without_secrets_and_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    def warns(run: Run) -> Iterator[Problem]:
        run.report.warn("the label \x1b[2J of nfs, password=geheim")
        run.report.say("at work")
        yield Problem(State.OK, "else well")
        yield Problem(State.OK, "\x1b[2J is well", name="other")

    assert found(warns) == [
        ("other", State.OK, "\\x1b[2J is well", ""),
        ("one", State.WARNING, "the label \\x1b[2J of nfs, password=********", "ask"),
    ]
    assert capsys.readouterr() == ("", "")


def test_a_finding_fits_a_console_and_paths_stay_whole() -> None:
    path = f"/srv/{'long' * 20}"
    finding = Finding("installation", State.WARNING, f"{'word ' * 20}{path}", "chown root it")
    shown = [*lines(finding, 14)]
    assert shown[0].startswith("installation    warning   word word")
    assert [line.strip() for line in shown if len(line) > 80] == [path]
    assert shown[-1] == f"{' ' * 26}What to do: chown root it"
    assert [*lines(Finding("clock", State.OK, "set"), 14)] == ["clock           ok        set"]


def test_the_json_form_has_the_worst_state_and_every_finding() -> None:
    findings = [Finding("a", State.OK, "x"), Finding("a", State.UNKNOWN, "y"), Finding("b", State.WARNING, "z", "do")]
    told = json.loads(as_json(findings))
    assert (told["state"], worst([])) == ("warning", State.OK)
    assert told["checks"][2] == {"name": "b", "state": "warning", "text": "z", "advice": "do"}
