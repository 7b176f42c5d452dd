# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands for runs at their time."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

import click

from .. import schedule as timers
from ..errors import ConfigurationError
from ..report import visible
from ..run import Options, Run
from ..trust import changeable
from .groups import Group
from .paths import GivenPath, GivenText
from .session import open_run

DEFAULT = {"backup": "daily", "media": "daily"}
at = partial(click.option, type=GivenText(), metavar="WHEN")


@click.group(cls=Group)
def schedule() -> None:
    """Run backups, rescue media, checks and rehearsals at their time, by systemd."""


@schedule.command()
@at("--backup", help="Save the files: daily, weekly, 'Mon..Fri 02:00' ...")
@click.option("--with-media", is_flag=True, help="With --backup: make rescue media each time, too.")
@at("--media", help="Look whether this machine has changed, and create rescue media then.")
@at("--check", help="Read the newest backup from beginning to end.")
@at("--drill", help="Rehearse the recovery; needs rear-drill.")
@at("--status", help="Judge how well this machine could be recovered.")
@click.option("--metrics", type=GivenPath(), metavar="FILE", help="With --status: write metrics for node_exporter.")
@click.pass_obj
def enable(options: Options, /, with_media: bool, metrics: Path | None, **times: str | None) -> None:
    """Switch timers on; without options: --backup daily --media daily.

    WHEN is a time as in systemd.time(7). Those that are not named stay as they are. The units are written to
    /etc/systemd/system; each run waits for another one to end, and is made up for if the machine was off.
    """
    run = _run(options)
    chosen = {name: when for name, when in times.items() if when is not None} or DEFAULT
    if with_media and "backup" not in chosen:
        raise ConfigurationError("--with-media is about backups", "add --backup daily")
    if metrics and "status" not in chosen:
        raise ConfigurationError("--metrics is about the status", "add --status hourly")
    if "drill" in chosen and all(command.name != "drill" for command in run.plugins.call("rear_commands")):
        raise ConfigurationError("rear-drill is not installed", "install it, or leave out --drill")
    jobs = []
    for name, when in chosen.items():
        arguments = ("--prometheus", os.fspath(metrics.absolute())) if name == "status" and metrics else ()
        jobs.append(timers.Job(name, when, arguments, with_media=with_media and name == "backup"))
    # Whoever switches on what is on would have its random time begin anew.
    pending = timers.pending(run.sh, jobs, _command(options))
    if pending and not options.simulate:
        timers.enable(run.sh, pending, _command(options))
    for job in jobs:
        unchanged = "" if job in pending else ", unchanged"
        click.echo(visible(f"{job.name}: {job.calendar} ({job.unit}.timer){unchanged}"))


@schedule.command()
@click.argument("names", nargs=-1, type=click.Choice([*timers.JOBS]))
@click.pass_obj
def disable(options: Options, names: tuple[str, ...]) -> None:
    """Switch timers off and remove their units: those that are named, or all. A run that is under way goes on."""
    sh, chosen = _run(options).sh, names or [*timers.JOBS]
    found = timers.enabled(chosen) if options.simulate else timers.disable(sh, chosen)
    done = "Would disable" if options.simulate else "Disabled"
    click.echo(f"{done}: {', '.join(found)}" if found else "No timer of rear was enabled")


@schedule.command()
@click.pass_obj
def show(options: Options) -> None:
    """Show which timers are on, when they run next, and when they ran last."""
    for name, known in timers.shown(_run(options).sh):
        state = known.get("UnitFileState") or "off"
        following = known.get("NextElapseUSecRealtime") or "never"
        last = known.get("LastTriggerUSec") or "never"
        on = f"{state}, next {following}, last {last}" if known.get("ActiveState") == "active" else "off"
        click.echo(visible(f"{name:8}{on}"))


def _run(options: Options) -> Run:
    timers.need_systemd()
    run = open_run(options)
    run.need_root()
    return run


def _command(options: Options) -> list[str]:
    """How this rear is started again, with its configuration; as root, and so not from where others can change it."""
    program = Path(sys.argv[0])
    if not program.is_absolute():
        program = program.absolute()
    if not os.access(program, os.X_OK) or program.name != "rear":
        raise ConfigurationError(f"{program} is not the command rear", "call it by its full path")
    if problem := changeable(program):
        raise ConfigurationError(
            f"{program} is not controlled by root alone: {problem}", "install rear where only root can write"
        )
    words = [os.fspath(program)]
    if options.config_dir != Path("/etc/rear"):
        words += ["--config-dir", os.fspath(options.config_dir)]
    return [*words, *(word for file in options.config_files for word in ("--config-file", os.fspath(file)))]
