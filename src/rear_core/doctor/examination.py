# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs checks of this machine one by one: each ends in findings, whatever goes wrong and however long it takes."""

from __future__ import annotations

import json
import textwrap
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigurationError, Interrupted, ProgramMissing, RearError, Refused
from ..health.checks import SEVERITY, State
from ..interruption import limited
from ..report import COLUMNS, visible

if TYPE_CHECKING:
    from ..run import Run

# Seconds, also for a slow machine; programs that ask servers have limits of their own.
LIMIT = 180.0


@dataclass(frozen=True)
class Problem:
    """What a check has found: `text` is a sentence, `advice` what to do; what is OK is told as well, for its text.

    It has a `name` where one probe makes the checks of several.
    """

    state: State
    text: str
    advice: str = ""
    name: str = ""


@dataclass(frozen=True)
class Probe:
    """A check: `look` yields what it finds; warnings of the report count as well, with `advice`.

    With nothing found it is OK, and `well` says so. A `Refused` or `ConfigurationError` that it raises is critical.
    Any other error says nothing of this machine: then it could not be checked.
    """

    name: str
    well: str
    look: Callable[[Run], Iterable[Problem]]
    advice: str = ""
    seconds: float = LIMIT


@dataclass(frozen=True)
class Finding:
    """A line of the result."""

    name: str
    state: State
    text: str
    advice: str = ""


def work_area(run: Run) -> Path:
    """Where a check may mount and make things; an error where there is no such place."""
    if run.build_dir == Path():
        raise RearError("there is no work area (TMPDIR)")
    return run.build_dir


def examine(run: Run, probes: Iterable[Probe]) -> Iterator[Finding]:
    """The findings of all probes, as each is done; a later one may use what an earlier one has found out."""
    for probe in probes:
        for problem in _problems(run, probe) or [Problem(State.OK, probe.well)]:
            # What somebody chose as a name may be part of it.
            text, advice = (visible(run.report.masked(words)) for words in (problem.text, problem.advice))
            yield Finding(problem.name or probe.name, problem.state, text, advice if problem.state != State.OK else "")


def _problems(run: Run, probe: Probe) -> list[Problem]:
    found: list[Problem] = []
    with run.report.aside() as warnings:
        try:
            with limited(probe.seconds):
                # One by one: what was found before an error counts.
                for problem in probe.look(run):
                    found.append(problem)
        except Interrupted:
            raise
        except (Refused, ConfigurationError) as error:
            found.append(Problem(State.CRITICAL, error.message, error.hint))
        except RearError as error:
            advice = error.hint if isinstance(error, ProgramMissing) else ""
            found.append(Problem(State.UNKNOWN, f"could not be checked: {error.message}", advice))
        except Exception as error:
            for line in traceback.format_exc().splitlines():
                run.report.log(line)
            found.append(Problem(State.UNKNOWN, f"could not be checked: {type(error).__name__}: {error}"))
    found += [Problem(State.WARNING, warning, probe.advice) for warning in dict.fromkeys(warnings)]
    bad = {problem.name for problem in found if problem.state != State.OK}
    return [problem for problem in found if problem.state != State.OK or problem.name not in bad]


def worst(findings: Iterable[Finding]) -> State:
    """The verdict on all of them."""
    return max((finding.state for finding in findings), key=SEVERITY.index, default=State.OK)


def lines(finding: Finding, width: int, columns: int = COLUMNS) -> Iterator[str]:
    """A finding for people: name in so many columns, state, text, and what to do below it; as of `rear status`."""
    indent = " " * (width + 12)
    first = f"{finding.name.ljust(width)}  {finding.state.name.lower():8}  "
    yield from _wrapped(finding.text, first, indent, columns)
    if finding.advice:
        yield from _wrapped(f"What to do: {finding.advice}", indent, indent, columns)


def _wrapped(text: str, first: str, indent: str, columns: int) -> list[str]:
    """Lines of a text; a path or command that does not fit stays whole, so that it can be copied."""
    wrapped = textwrap.wrap(
        text, columns, initial_indent=first, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return wrapped or [first.rstrip()]


def as_json(findings: Sequence[Finding]) -> str:
    """One object on one line; a check that found several things is there several times."""
    listed = [{**asdict(finding), "state": finding.state.name.lower()} for finding in findings]
    return json.dumps({"state": worst(findings).name.lower(), "checks": listed})
