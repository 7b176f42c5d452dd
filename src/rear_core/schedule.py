# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of rear at their time, by systemd: its units are laid into /etc, switched on and off, and asked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from . import durable
from .errors import ConfigurationError, ProgramFailed, ProgramMissing, RearError, Refused
from .shell import Shell

UNITS = Path(__file__).parent / "units"
INSTALLED = Path("/etc/systemd/system")
# sd_booted(3).
RUNNING = Path("/run/systemd/system")
# What there is, as the user names it, and as units are called.
JOBS = {"backup": "backup", "media": "rescue", "check": "check", "drill": "drill", "status": "status"}
MARK = "# Written by `rear schedule enable`; `rear schedule disable` removes it.\n"
PROGRAM = "/usr/bin/rear"
# What systemd takes as it is, without its specifiers, quotes and variables (systemd.service(5)).
PLAIN = re.compile(r"[\w./+:@=,-]+")
CALENDAR = re.compile(r"[\w*:.,/~ -]+", re.ASCII)
PROPERTIES = ("UnitFileState", "ActiveState", "NextElapseUSecRealtime", "LastTriggerUSec")


@dataclass(frozen=True)
class Job:
    """What runs when: `calendar` as in systemd.time(7), `arguments` are the further ones of its command.

    `with_media` has a backup make rescue media, too.
    """

    name: str
    calendar: str
    arguments: tuple[str, ...] = ()
    with_media: bool = False

    @property
    def unit(self) -> str:
        """Its units without their ends."""
        return f"rear-{JOBS[self.name]}"


def enable(sh: Shell, jobs: Sequence[Job], rear: Sequence[str], folder: Path = INSTALLED) -> None:
    """Write the units of the jobs, with the command `rear`, and start their timers; what cannot be started is removed.

    Raises `ConfigurationError` for a calendar or a path that systemd does not take, before anything is written.
    """
    for job in jobs:
        check_calendar(sh, job.calendar)
    written = {path: text for job in jobs for path, text in units(job, rear, folder).items()}
    before = {path: path.read_text() if path.exists() else None for path in written}
    try:
        for path, text in written.items():
            durable.write(path, text, mode=0o644)
        sh.run("systemctl", "daemon-reload")
        sh.run("systemctl", "enable", *(f"{job.unit}.timer" for job in jobs))
        # One that runs already keeps its old time otherwise.
        sh.run("systemctl", "restart", *(f"{job.unit}.timer" for job in jobs))
    except RearError:
        for path, old in before.items():
            durable.write(path, old, mode=0o644) if old is not None else path.unlink(missing_ok=True)
        with suppress(RearError):
            sh.run("systemctl", "daemon-reload")
        raise


def pending(sh: Shell, jobs: Sequence[Job], rear: Sequence[str], folder: Path = INSTALLED) -> list[Job]:
    """Those of the jobs that `enable` would change: their units are others or none, or their timer is not on.

    Raises `ConfigurationError` as `enable` does.
    """
    for job in jobs:
        check_calendar(sh, job.calendar)
    return [job for job in jobs if not (_is_written(job, rear, folder) and _is_on(sh, job))]


def _is_written(job: Job, rear: Sequence[str], folder: Path) -> bool:
    return all(is_ours(path) and path.read_text() == text for path, text in units(job, rear, folder).items())


def _is_on(sh: Shell, job: Job) -> bool:
    known = _properties(sh, job.unit)
    return (known.get("UnitFileState"), known.get("ActiveState")) == ("enabled", "active")


def units(job: Job, rear: Sequence[str], folder: Path) -> dict[Path, str]:
    """The texts of a job's units by their paths."""
    words = (*rear, *job.arguments)
    if strange := [word for word in words if not PLAIN.fullmatch(word)]:
        raise ConfigurationError(
            f"{strange[0]!r} cannot stand in a unit of systemd", "use a path of letters, digits and . / + : @ = , - _"
        )
    service = (UNITS / f"{job.unit}.service").read_text().replace(PROGRAM, " ".join(rear), 1)
    if job.arguments:
        service = re.sub(r"^ExecStart=.*$", lambda line: " ".join((line[0], *job.arguments)), service, flags=re.M)
    if job.with_media:
        service = service.replace(" mkbackuponly", " mkbackup", 1)
    timer = (UNITS / f"{job.unit}.timer").read_text()
    timer = re.sub(r"^OnCalendar=.*$", lambda _: f"OnCalendar={job.calendar}", timer, flags=re.M)
    return {folder / f"{job.unit}.service": MARK + service, folder / f"{job.unit}.timer": MARK + timer}


def check_calendar(sh: Shell, calendar: str) -> None:
    """Raise `ConfigurationError` for what is no time of systemd."""
    wrong = ConfigurationError(
        f"{calendar!r} is not a time of systemd", "write daily, weekly, Sun 03:00, ...: see man systemd.time"
    )
    if not CALENDAR.fullmatch(calendar):
        raise wrong
    try:
        sh.query("systemd-analyze", "calendar", calendar)
    except ProgramMissing:
        raise
    except ProgramFailed as error:
        raise wrong from error


def disable(sh: Shell, names: Sequence[str], folder: Path = INSTALLED) -> list[str]:
    """Stop the timers of these jobs and remove their units, if rear wrote them; the names of those that were there."""
    found = enabled(names, folder)
    if found:
        # A job that runs is left to end.
        sh.run("systemctl", "disable", "--now", *(f"rear-{JOBS[name]}.timer" for name in found))
        for name in found:
            for end in ("service", "timer"):
                if is_ours(path := folder / f"rear-{JOBS[name]}.{end}"):
                    path.unlink()
        sh.run("systemctl", "daemon-reload")
    return found


def enabled(names: Sequence[str], folder: Path = INSTALLED) -> list[str]:
    """Those of these jobs whose timers `enable` wrote."""
    return [name for name in names if is_ours(folder / f"rear-{JOBS[name]}.timer")]


def is_ours(path: Path) -> bool:
    """Whether a unit is one that `enable` wrote."""
    return path.is_file() and not path.is_symlink() and path.read_text(errors="replace").startswith(MARK)


def shown(sh: Shell) -> Iterator[tuple[str, Mapping[str, str]]]:
    """The name of each job, and `PROPERTIES` of its timer, "" for what systemd does not know."""
    for name, unit in JOBS.items():
        yield name, _properties(sh, f"rear-{unit}")


def _properties(sh: Shell, unit: str) -> dict[str, str]:
    text = sh.query("systemctl", "show", f"--property={','.join(PROPERTIES)}", f"{unit}.timer")
    return {key: value for key, _, value in (line.partition("=") for line in text.splitlines())}


def need_systemd(running: Path = RUNNING) -> None:
    """Raise `Refused` where systemd does not run the machine."""
    if not running.is_dir():
        raise Refused("systemd does not run this machine", "let cron run `rear -q -n --wait 720 mkbackup`")
