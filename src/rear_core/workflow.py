# SPDX-License-Identifier: GPL-3.0-or-later
"""Phases and workflows: which phases a command runs, how the steps of all plugins are ordered and run."""

from __future__ import annotations

import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import methods, questions
from .errors import (
    ConfigurationError,
    Interrupted,
    Problems,
    RearError,
    Refused,
    fault_of_machine,
)
from .plugins import KINDS
from .step import MAKING, PHASES, RECOVERING, Step

if TYPE_CHECKING:
    from .run import Run

# What they write is still there after the run: to disks, to the place of the backup, to media.
WRITING = ("backup", "output", "recreate", "restore", "finalize", "fetch", "forget")

WORKFLOWS = {
    "mkrescue": ("prep", "analyse_dr", "analyse_rescue", "build", "pack", "output", "cleanup"),
    "savelayout": ("analyse_dr", "cleanup"),
    "mkbackup": (*MAKING, "cleanup"),
    "mkbackuponly": ("prep", "analyse_dr", "backup", "cleanup"),
    "checkbackup": ("verify", "cleanup"),
    "recover": (*RECOVERING, "cleanup"),
    "restoreonly": ("config", "verify", "restore", "cleanup"),
    "backup-list": ("list", "cleanup"),
    "backup-restore": ("config", "verify", "fetch", "cleanup"),
    "backup-forget": ("forget", "cleanup"),
    "backup-mount": ("mount", "cleanup"),
}


@dataclass(frozen=True)
class PlannedStep:
    """A step in its place: the phase it belongs to and the plugin or script it comes from."""

    phase: str
    source: str
    step: Step


def plan(run: Run, phases: Sequence[str]) -> Iterator[PlannedStep]:
    """The steps of the phases in the order in which they run.

    A phase is asked for its steps only when it is reached: what they are may follow from earlier phases.
    """
    from .builtin.scripts import script_steps
    from .plugins import ORDER

    for phase in phases:
        collected: list[tuple[tuple[int, int, str], PlannedStep]] = []
        for plugin, step in run.plugins.call_each(f"rear_{phase}", run=run):
            # Of several backup methods in the order in which BACKUP names them.
            rank = list(run.portions).index(plugin.label) if plugin.label in run.portions else 0
            place = (step.number, ORDER.index(plugin.kind) * len(ORDER) + rank, step.title)
            collected.append((place, PlannedStep(phase, plugin.label, step)))
        for index, step in enumerate(script_steps(run, phase) if phase in PHASES else ()):
            # Of one number in the order of their folders.
            collected.append(((step.number, len(ORDER) ** 2, f"{index:09}"), PlannedStep(phase, "script", step)))
        collected.sort(key=lambda pair: pair[0])
        for _, planned in collected:
            yield planned


def execute(run: Run, workflow: str) -> None:
    """Run the phases of a workflow; cleanup runs also after a failure. With `simulate` the steps are listed instead.

    A step that the user left out ends the run with an error: after the checks of a recovery, otherwise at its end.
    """
    phases = run.phases = WORKFLOWS[workflow]
    run.command = workflow
    if run.options.simulate:
        for planned in plan(run, phases):
            step = planned.step
            run.report.result(f"{planned.phase:<15} {step.number:02d}  {step.title}  [{planned.source}]")
        return
    left_out: list[str] = []
    try:
        for phase in phases:
            if left_out and phase in WRITING:
                raise Refused(f"skipped, as requested: {'; '.join(left_out)}", "run it again and skip nothing")
            if phase == "verify":
                left_out += _verify(run)
            elif phase != "cleanup":
                left_out += _go_through(run, phase)
        if left_out:
            raise RearError(f"skipped, as requested: {'; '.join(left_out)}", "run it again for the rest")
        run.result = "done"
    except Exception as error:
        run.result = "interrupted" if isinstance(error, Interrupted) else "failed"
        run.error = error.message if isinstance(error, RearError) else f"{type(error).__name__}: {error}"
        raise
    finally:
        _clean_up(run)


def check(run: Run, workflow: str) -> None:
    """Run the checks of a workflow alone: its phase prep, which changes nothing, without the administrator's scripts,
    which may do anything."""
    run.command = workflow
    for planned in checks(run, workflow):
        perform(run, planned)


def checks(run: Run, workflow: str) -> list[PlannedStep]:
    """The steps of its phase prep, without the administrator's scripts."""
    run.phases = WORKFLOWS[workflow]
    return [planned for planned in plan(run, ["prep"]) if planned.source != "script"]


def _go_through(run: Run, phase: str) -> list[str]:
    """Run the steps of a phase until one fails, which is no refusal once something was written; what was left out."""
    left_out: list[str] = []
    for planned in plan(run, [phase]):
        try:
            if perform(run, planned, left_out):
                continue
        except Refused as error:
            if phase in ("restore", "finalize") or run.writing:
                raise RearError(error.message, error.hint) from error
            raise
        except ConfigurationError as error:
            # It cannot be said any more that nothing was begun.
            if phase in WRITING:
                raise RearError(error.message, error.hint) from error
            raise
        left_out.append(planned.step.title)
        if phase == "recreate":
            raise RearError(f"skipped, as requested: {planned.step.title}", "later steps depend on it: run it again")
    return left_out


def _verify(run: Run) -> list[str]:
    """Run every step, also after one has refused: all that keeps a recovery from succeeding is reported at once.

    Returns what the user left out.
    """
    problems: list[RearError] = []
    left_out: list[str] = []
    for planned in plan(run, ["verify"]):
        try:
            if not perform(run, planned, left_out):
                left_out.append(planned.step.title)
        except Interrupted:
            raise
        except RearError as error:
            # It is told at the end, once, with what to do.
            run.report.log(f"Problem: {error.message}")
            problems.append(error)
    if len(problems) > 1:
        raise Problems(problems)
    for problem in problems:
        if isinstance(problem, (ConfigurationError, Refused)):
            raise problem
        # Whatever it was: nothing was changed yet.
        raise Refused(problem.message, problem.hint) from problem
    return left_out


def perform(run: Run, planned: PlannedStep, left_out: Sequence[str] = ()) -> bool:
    """Run a step; False when the user wants to do without it, as without those in `left_out`."""
    title = planned.step.title
    if run.options.step_by_step and not _confirmed(run, planned):
        return False
    started, seconds = time.monotonic(), run.recovery.seconds
    with run.report.step(title, f"{planned.phase}/{planned.step.number:02d} {planned.source}"):
        try:
            with methods.working(run, planned.source):
                _act(planned.step.action, run)
        except AssertionError as error:
            if left_out:
                raise RearError(
                    f"{title}: it needs skipped steps: {'; '.join(left_out)}", "run it again and skip nothing"
                ) from error
            if fault := _fault_of_plugin(run, planned, error):
                raise fault from error
            raise
        except RearError as error:
            if not error.message.strip() and (fault := _fault_of_plugin(run, planned, error)):
                raise fault from error
            # What the author did not say, as of a program that failed, may be anybody's.
            if not error.hint and planned.source.split()[0] in KINDS:
                error.hint = f"see the log: it failed in the step {title!r} of {planned.source}"
            raise
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if fault := fault_of_machine(error, title) or _fault_of_plugin(run, planned, error):
                raise fault from error
            if isinstance(error, SystemExit):
                # Without a word that would be a success, with all that follows left undone.
                raise RearError(f"{title}: it tried to end rear with {error.code!r}") from error
            raise
    seconds[planned.phase] = seconds.get(planned.phase, 0) + time.monotonic() - started
    return True


def _act(action: Callable[[Run], object], run: Run) -> None:
    """Do what a step does; a function with a `yield`, or that is `async`, only promises it, and would do nothing."""
    promised = action(run)
    if isinstance(promised, (Iterator, Awaitable, AsyncIterator)):
        if isinstance(promised, Coroutine):
            promised.close()
        raise TypeError(f"its action returned a {type(promised).__name__}, so that nothing of it was done")


def _fault_of_plugin(run: Run, planned: PlannedStep, error: BaseException) -> RearError | None:
    """The error with the plugin of whose code it comes or that brought the step, None where both are the core's own."""
    from .plugins import CORE, at_fault, broken

    owner = next((one for one in run.plugins.active if one.label == planned.source), None)
    plugin = at_fault(error, run.plugins.active) or owner
    if plugin is None or plugin.kind == CORE:
        return None
    step = f"the step {planned.step.title!r}"
    fault = broken(plugin, step if plugin is owner else f"in {step}, code", error)
    for line in "".join(traceback.format_exception(type(error), error, error.__traceback__)).splitlines():
        run.report.log(line)
    # Not as an error of the configuration: more may have been done by now.
    return RearError(fault.message, fault.hint)


def _clean_up(run: Run) -> None:
    """Run every cleanup step; one that fails is reported and does not keep the others from running."""
    for planned in plan(run, ["cleanup"]):
        try:
            perform(run, planned)
        except RearError as error:
            run.report.warn(f"{planned.step.title}: {error.message}")


def notify(run: Run) -> None:
    """Have plugins tell of the run, which `run.record` describes; one that cannot is a warning."""
    try:
        steps = [*plan(run, ["notify"])]
    except RearError as error:
        run.report.warn(error.message)
        return
    for planned in steps:
        try:
            perform(run, planned)
        except RearError as error:
            run.report.warn(f"{planned.step.title}: {error.message}")


def _confirmed(run: Run, planned: PlannedStep) -> bool:
    """Whether to run a step with -S, False to skip it; no ends the run, as the Enter key does before what writes."""
    title, writes = planned.step.title, planned.phase in WRITING
    question = f"{planned.phase}: {title} [{planned.source}]? {'yes, [no]' if writes else '[yes], no'}, skip, quit: "
    quits = f"stopped before a step, as requested: {title}"
    answers = {**questions.YES, "s": False, "skip": False, "": None if writes else True}
    answer = questions.choose(run, question, answers, quits=quits)
    if answer is None:
        raise Interrupted(quits)
    return answer
