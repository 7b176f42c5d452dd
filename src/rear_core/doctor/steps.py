# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks that `rear mkbackup` begins with, of the core and of all selected plugins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ..errors import ConfigurationError, RearError
from ..health.checks import State
from ..interruption import TookTooLong
from ..plugins import CORE
from ..workflow import PlannedStep, checks, perform
from .examination import Probe, Problem, work_area

if TYPE_CHECKING:
    from ..run import Run


def probes(run: Run) -> Iterator[Probe]:
    """A probe for each check of a backup but those of the settings alone, which the configuration was checked by.

    Programs of the described storage and network are among those that have to be there.
    """
    try:
        work_area(run)
        planned = [step for step in checks(run, "mkbackup") if not step.step.by_settings]
    except RearError as error:
        planned, state = [], State.CRITICAL if isinstance(error, ConfigurationError) else State.UNKNOWN
        problem = Problem(state, f"the checks of plugins could not be made: {error.message}", error.hint)
        yield Probe("prep", "", lambda _run: [problem])
    kinds = {plugin.label: plugin for plugin in run.plugins.active}
    for step in planned:
        plugin = kinds[step.source]
        yield Probe("prep" if plugin.kind == CORE else plugin.name.lower(), _well(step.step.title), _look(step))


def _well(title: str) -> str:
    """What is well, by the title of the check.

    >>> _well("Check that the Acme server answers"), _well("Check the tape")
    ('the Acme server answers', 'checked: the tape')
    """
    for start, well in (("Check that ", ""), ("Check ", "checked: ")):
        if title.startswith(start):
            return well + title[len(start) :]
    return title


def _look(planned: PlannedStep) -> Callable[[Run], Iterator[Problem]]:
    """What runs a step; whatever error ends it would end a backup as well."""

    def look(run: Run) -> Iterator[Problem]:
        try:
            perform(run, planned)
        except TookTooLong:
            raise
        except RearError as error:
            yield Problem(State.CRITICAL, error.message, error.hint)

    return look
