# SPDX-License-Identifier: GPL-3.0-or-later
"""A job at work at the director: started, watched until its end, and canceled when rear does not go on."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from rear_core import RearError, Run
from rear_core.archive.external import few

from . import catalog, console
from .catalog import Job

# Seconds between two looks at a job, and the time after which a state in which it waits is told.
INTERVAL, TOLD = 2.0, 5.0
# Looks at which the director does not list a job as running, after which it has lost it.
LOST = 5
# Seconds for which a director may be silent while a job runs: it may have been started again.
SILENCE = 300
MINUTE = 60.0
STARTED = re.compile(r"(?m)\bJobId=(\d+)\s*$")
MESSAGE = re.compile(r"(?m)^ *(?:Time|time): .*\n *(?:LogText|logtext): ")
# What was left out is not called an error, but has more blanks before it.
PROBLEM = re.compile(r"^\S+ JobId \d+:(?: +(?:Error|Fatal error|Warning): +(?:\w+\.c+:\d+[ -]+)?| {4,})(\S.*)$", re.S)
# The file that filled a disk is not named: only so many bytes of it were written.
FULL = re.compile("No space left on device|Wrong write size error|Disk quota exceeded")
WANTED = re.compile(r"(?s)(Please mount .*|Cannot find any appendable volumes.*)")


@dataclass
class State:
    """What was seen of a job last."""

    says: str = ""
    moved: float = field(default_factory=time.monotonic)
    mark: object = None
    told: str = ""
    answered: float = field(default_factory=time.monotonic)
    absent: int = 0


def start(run: Run, command: str, timeout: float = console.SHORT) -> tuple[int, str]:
    """The number of a job that a command starts, and what the director said; `RearError` where it does not."""
    (answer,) = console.ask(run, command, timeout=timeout)
    if found := STARTED.search(answer):
        return int(found[1]), answer
    for line in answer.splitlines()[-20:]:
        run.report.log(f"  {line}")
    raise RearError(
        f"the Bacula director does not start the job: {console.last(answer)}", "the log has all that it said"
    )


def watch(run: Run, id: int, done: Callable[[], object]) -> Job:
    """The job when it is over; `done` shows the progress, and returns what changes while there is any.

    Raises `RearError` where it hangs or the director is gone. A job that is not over is canceled.
    """
    try:
        return _follow(run, id, done)
    except BaseException:
        cancel(run, id)
        raise


def cancel(run: Run, id: int) -> None:
    """Have the director end a job, if it answers."""
    with suppress(RearError):
        console.ask(run, f"cancel jobid={id}", timeout=30)
        run.report.log(f"canceled the job {id}")


def _follow(run: Run, id: int, done: Callable[[], object]) -> Job:
    state, pause = State(), 0.2
    while True:
        try:
            (running,) = console.ask(run, "status director", timeout=60)
            job = catalog.job(run, id)
        except console.Silent as error:
            _wait_for_director(run, id, state, error)
        else:
            state.answered = time.monotonic()
            if job and job.status in catalog.OVER:
                done()
                return job
            _note(run, id, state, running, done)
        time.sleep(pause)
        pause = min(pause * 1.5, INTERVAL)


def _wait_for_director(run: Run, id: int, state: State, error: console.Silent) -> None:
    if time.monotonic() - state.answered > min(_minutes(run) * MINUTE or SILENCE, SILENCE):
        raise RearError(
            f"the Bacula director was lost while job {id} ran: {error.message}",
            "the job may still run there: look at it in bconsole, then run this again",
        ) from error


def _minutes(run: Run) -> float:
    return float(run.settings["BACKUP_STALL_MINUTES"])


def _note(run: Run, id: int, state: State, running: str, done: Callable[[], object]) -> None:
    """Note what the director says of a job that is not over; raises `RearError` where it hangs or is lost."""
    #      3  Rest Rest          0         0  restore           is waiting for a mount request
    line = re.search(rf"(?m)^ *{id} +.*? ((?:is|has) [^\n]*)$", running)
    state.absent = 0 if line else state.absent + 1
    if state.absent >= LOST:
        raise RearError(f"the Bacula director no longer knows job {id}", "it may have been started again; run it again")
    says = line[1].strip() if line else state.says
    mark, now = (says, done()), time.monotonic()
    if mark != state.mark:
        state.mark, state.moved, state.says = mark, now, says
    waited = now - state.moved
    if "waiting" in says and says != state.told and waited > TOLD:
        state.told = says
        _tell(run, id, says)
    if 0 < _minutes(run) * MINUTE < waited:
        raise RearError(
            f"job {id} did nothing for {_minutes(run):g} minutes: it {says}{_wish(run, id)}",
            "it was canceled; see to that at the director, then run it again",
        )


def _tell(run: Run, id: int, says: str) -> None:
    """Say what a job waits for, and what to do."""
    advice = ""
    if "mount" in says or "Volume" in says:
        advice = "; see to it at the director (bconsole: mount, label, status storage), or end this with ^C"
    run.report.warn(f"job {id} {says}{_wish(run, id)}{advice}")


def _wish(run: Run, id: int) -> str:
    """What the storage daemon asked for last, in one line."""
    wishes = [found[1] for text in log(run, id) if (found := WANTED.search(text))]
    return f": {' '.join(wishes[-1].split())}" if wishes else ""


def log(run: Run, id: int) -> list[str]:
    """The messages of a job, if the director keeps them in its catalog."""
    try:
        (answer,) = console.ask(run, f"llist joblog jobid={id}")
    except RearError as error:
        run.report.log(f"no messages of job {id}: {error.message}")
        return []
    return [text.rstrip().removesuffix("\\").rstrip() for text in _split(answer)]


def _split(answer: str) -> list[str]:
    """The texts of a log; the record of the job comes behind the last."""
    found = list(MESSAGE.finditer(answer))
    parts = [answer[one.end() : two.start()] for one, two in zip(found, found[1:])]
    if found:
        parts.append(re.split(r"(?m)^\\?\n+ *(?:JobId|jobid): ", answer[found[-1].end() :])[0])
    return parts


def problems(run: Run, id: int) -> list[str]:
    """What went wrong in a job, in the words of the daemons, each in a line; all of it is in the log, too."""
    found = []
    for text in log(run, id):
        for line in text.splitlines():
            run.report.log(f"  {line}")
        # The last message is the sum of the job, which may be an error as well.
        if (problem := PROBLEM.match(text)) and "Build OS:" not in text:
            found.append(" ".join(problem[1].split()))
    return found


def reason(found: list[str]) -> str:
    """The first of many problems, to be told."""
    return few(found) if found else "the director keeps no messages of it: its Messages resource has no catalog = all"
