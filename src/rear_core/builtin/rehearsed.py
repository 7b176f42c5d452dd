# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a recovery by its id: the one that was rehearsed, if that is asked for, and no other."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from difflib import ndiff
from pathlib import Path
from typing import TYPE_CHECKING

from .. import own_files
from ..errors import ConfigurationError, Refused
from ..hookspecs import hookimpl
from ..report import visible
from ..settings.model import Setting
from ..step import Step

if TYPE_CHECKING:
    from ..run import Run
    from ..storage.layout import Layout
    from ..storage.plan import Plan

# Lines of a difference that a screen takes.
MOST = 12


def _id(value: str) -> str:
    return (
        "" if re.fullmatch("[0-9a-fA-F]{8,64}|", value) else "must be 8 or more hexadecimal digits of the id of a plan"
    )


@hookimpl
def rear_settings() -> Iterable[Setting]:
    yield Setting(
        "REHEARSED_PLAN", str, check=_id,
        help="Id of the plan that a recovery has to have, as `rear drill` reports it, 8 or more of its hexadecimal"
        " digits. A recovery with another plan is refused before it writes to a disk. The option --plan of"
        " `rear recover` takes precedence.",
    )  # fmt: skip


@hookimpl
def rear_verify(run: Run) -> Iterable[Step]:
    if "recreate" in run.phases:
        yield Step(16, "Identify the plan", check_plan)


def check_plan(run: Run) -> None:
    """Say which plan this is; `Refused` where another one is wanted, with what is different if that can be known."""
    from ..storage.same_plan import SHOWN, digest, is_called

    if run.plan is None or run.layout is None:
        return
    wanted, known = wanted_plan(run)
    run.recovery.steps = steps(run, run.plan, run.layout)
    run.recovery.plan = digest(run.recovery.steps)
    own = run.recovery.plan[:SHOWN]
    if not wanted or is_called(wanted, run.recovery.plan):
        run.report.say(f"Plan {own}" + (": the one that is wanted" if wanted else ""))
        return
    for line in difference(known, run.recovery.steps):
        run.report.say(line)
    unknown = "" if known else ", and the wanted one is not here to show what is different"
    raise Refused(
        f"this is the plan {own}, not {wanted[:SHOWN].lower()}{unknown}",
        "nothing was written; `rear layout plan` lists what would be done. Correct DISK_MAPPING, the disks or the"
        " settings, rehearse this plan, or recover without asking for a plan",
    )


def steps(run: Run, made: Plan, recorded: Layout) -> list[str]:
    """The lines by which a plan is the same as another."""
    from ..storage import same_plan
    from .storage import kinds

    return same_plan.steps(made, recorded, kinds(run), run.system.firmware.mode)


def kept_plan(run: Run) -> Path:
    """Where `rear drill` leaves the plan of the last rehearsal that succeeded; media carry it."""
    return run.recovery_dir / "rehearsed.json"


def wanted_plan(run: Run) -> tuple[str, Sequence[str]]:
    """The id that the plan has to have, "" for any, and the lines of that plan, if they are known."""
    from ..storage.same_plan import digest, is_called

    given = run.options.plan
    # What is no id is a path, also of a file in the current folder.
    if _id(given):
        lines = read(Path(given))
        return digest(lines), lines
    wanted = given or str(run.settings["REHEARSED_PLAN"])
    kept = kept_plan(run)
    # It only helps to say what is different.
    with suppress(ConfigurationError):
        lines = read(kept) if wanted and os.path.lexists(kept) else []
        if lines and is_called(wanted, digest(lines)):
            return wanted, lines
    return wanted, ()


def read(path: Path) -> list[str]:
    """The lines of a plan in the report of a rehearsal that succeeded; `ConfigurationError` for what has none."""
    try:
        report = json.loads(own_files.read_text(path))
        lines = report["steps"]
        if report.get("problem"):
            raise ValueError("that rehearsal failed")
        if not isinstance(lines, list) or not lines or not all(isinstance(line, str) for line in lines):
            raise ValueError("it has no steps")
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(
            f"cannot read the plan in {visible(os.fspath(path))}: {reason}",
            "name the report.json of a rehearsal, or 8 or more digits of the id of a plan",
        ) from error
    return lines


def difference(wanted: Sequence[str], here: Sequence[str]) -> list[str]:
    """What a wanted plan has and this one has not, and the other way round; not more than a screen takes."""
    words = {"- ": "Wanted: ", "+ ": "Here:   "}
    lines = [f"{words[line[:2]]}{line[2:]}" for line in ndiff(wanted, here) if line[:2] in words] if wanted else []
    more = len(lines) - MOST
    return lines if more <= 0 else [*lines[:MOST], f"and {more} more lines are different"]
