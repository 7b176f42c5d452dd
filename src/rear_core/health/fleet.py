# SPDX-License-Identifier: GPL-3.0-or-later
"""Many machines at a glance: reads what `rear --json status` printed on each, and makes one page of all.

A folder has one file for each machine, HOST.json. Whatever is wrong with a file is the verdict on its machine.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .. import own_files
from ..errors import RearError, Refused
from .checks import SEVERITY, Check, State, worst
from .forms import VERSION, summary

# Bytes: a status has two thousand.
LARGEST = 1 << 20
HOUR = 3600
# The end of the year 9999, as a time that can be written.
LAST = 253402300800


@dataclass(frozen=True)
class Machine:
    """A machine by the `name` of its file: the verdict on it, why in a line, and its checks.

    `told` is when it looked at itself, in seconds since 1970, 0 where it does not say. `host` is the name it gives
    itself.
    """

    name: str
    state: State
    text: str
    told: float = 0
    host: str = ""
    checks: Sequence[Check] = ()

    @property
    def is_other(self) -> bool:
        """Whether it has another name than its file, which may be longer by a domain."""
        return bool(self.host) and self.host.partition(".")[0] != self.name.partition(".")[0]


class _Unfit(Exception):
    """A file that tells nothing about a machine, and why."""


def read(folder: Path, hours: float, now: float) -> list[Machine]:
    """The machines of a folder, the worst first; what is older than `hours` says nothing about a machine of now."""
    try:
        paths = [path for path in folder.iterdir() if path.suffix == ".json" and not path.name.startswith(".")]
    except OSError as error:
        hint = "name the folder that has HOST.json of each machine"
        raise Refused(f"cannot read the folder {folder}: {error.strerror}", hint) from error
    found = [_machine(path, hours, now) for path in paths]
    return sorted(found, key=lambda machine: (-SEVERITY.index(machine.state), machine.name))


def as_checks(machines: Sequence[Machine], folder: Path) -> list[Check]:
    """The verdict on each machine; a folder of none is not well."""
    if not machines:
        return [Check("machines", State.UNKNOWN, f"{folder} has no HOST.json: collect the status of your machines")]
    return [Check(machine.name, machine.state, machine.text) for machine in machines]


def page(machines: Sequence[Machine], now: float) -> str:
    """All machines as one page of HTML that needs nothing else."""
    from ..pages import render

    counts = [(state.name.lower(), sum(each.state == state for each in machines)) for state in reversed(SEVERITY)]
    return render("fleet.html.j2", machines=machines, counts=counts, now=now, utc=_utc, ago=_ago)


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def _ago(seconds: float) -> str:
    hours = max(seconds, 0) / HOUR
    return f"{hours:.0f} hours ago" if hours >= 2 else f"{hours * 60:.0f} minutes ago"


def _machine(path: Path, hours: float, now: float) -> Machine:
    try:
        return _aged(_understood(path.stem, _document(path)), path, hours, now)
    except _Unfit as unfit:
        return Machine(path.stem, State.UNKNOWN, str(unfit))


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(own_files.read(path, LARGEST))
    except OSError as error:
        raise _Unfit(f"its file cannot be read: {error.strerror}") from error
    except RearError as error:
        raise _Unfit(error.message) from error
    except (ValueError, RecursionError) as error:
        raise _Unfit("its file is empty or broken: collect it again") from error
    if not isinstance(document, dict):
        raise _Unfit("its file is no status of rear")
    return document


def _understood(name: str, document: dict[str, Any]) -> Machine:
    """The machine that a document tells of; without a time where it has none."""
    if isinstance(document.get("error"), str) and "checks" not in document:
        return Machine(name, State.UNKNOWN, f"nobody could look: {document['error']}")
    version = document.get("version")
    if type(version) is int and version > VERSION:
        raise _Unfit(f"it has a newer rear (form {version} of the status): update rear here")
    if type(version) is not int or not isinstance(document.get("checks"), dict):
        raise _Unfit("its file is no status of rear")
    checks = [_check(name, found) for name, found in document["checks"].items()]
    told: Any = document.get("time")
    host = document.get("host")
    is_time = isinstance(told, (int, float)) and 0 < told < LAST
    if not checks or not is_time or not isinstance(host, str):
        raise _Unfit("its file is no status of rear: it lacks checks, host or time")
    return Machine(name, worst(checks), summary(checks), float(told), host, checks)


def _check(name: str, found: object) -> Check:
    if not isinstance(found, dict) or not isinstance(found.get("text"), str):
        raise _Unfit(f"its file is no status of rear: the check {name} is none")
    states = {state.name.lower(): state for state in State}
    return Check(name, states.get(str(found.get("state")), State.UNKNOWN), found["text"])


def _aged(machine: Machine, path: Path, hours: float, now: float) -> Machine:
    """The machine, with what its age says; what has no time of its own is as old as its file."""
    try:
        age = now - (machine.told or path.stat().st_mtime)
    except OSError:
        return machine
    if age < -HOUR:
        note = f"its clock is {-age / HOUR:.0f} hours ahead"
    elif age > hours * HOUR:
        note = f"nothing was heard of it for {age / HOUR:.0f} hours"
    else:
        return machine
    return replace(machine, state=_worse(machine.state, State.UNKNOWN), text=f"{note}; then: {machine.text}")


def _worse(*states: State) -> State:
    return max(states, key=SEVERITY.index)
