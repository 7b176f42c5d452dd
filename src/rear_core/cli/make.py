# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that run a workflow."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator

import click

from ..report import visible
from ..run import Options, Run
from ..schedule import INSTALLED, Job, is_ours
from ..workflow import execute
from .session import at_work, open_run, told


def work(options: Options, workflow: str, *, hints: bool = True) -> None:
    """Run a workflow from its lock to its end and print its results; a failure is reported with the path of the log.

    `hints` say what comes next after a first backup by hand.
    """
    run = open_run(options)
    with told(run):
        with at_work(run, workflow):
            execute(run, workflow)
        for path in map(os.fspath, run.results):
            # Standard output is for what another program asked for.
            run.report.say(path) if options.json_progress or options.json or options.quiet else run.report.result(path)
        if hints and workflow == "mkbackup" and run.report.on_terminal:
            for line in what_next(run):
                run.report.say(line)


def what_next(run: Run) -> Iterator[str]:
    """What somebody does who has just made the first media and backup by hand; nothing that is done already."""
    # A stick or tape is taken along as it is.
    if run.results and "OUTPUT_URL" in run.settings.declared and not run.settings["OUTPUT_URL"]:
        yield "Next: keep a copy of the media where it is at hand when this machine is not, or set OUTPUT_URL"
    if any(plugin.label.endswith(" drill") for plugin in run.plugins.active):
        yield "Rehearse the recovery in a virtual machine: rear drill"
    if not is_ours(INSTALLED / f"{Job('backup', '').unit}.timer"):
        yield "Save this machine every night: rear schedule enable"


@click.command()
@click.option(
    "--if-changed", is_flag=True, help="Only if `rear status` finds the last media not ok, or the machine changed."
)
@click.pass_obj
def mkrescue(options: Options, if_changed: bool) -> None:
    """Create rescue media of this machine, without a backup of its files."""
    if if_changed:
        from .status import media_are_current

        if media_are_current(options):
            if options.json:
                click.echo(json.dumps({"result": "unchanged", "status": 0}))
            elif not options.quiet:
                click.echo("The rescue media are as this machine is; rear made none")
            return
    work(options, "mkrescue")


@click.command()
@click.pass_obj
def savelayout(options: Options) -> None:
    """Describe the storage, network and boot loader of this machine in /etc/rear/recovery."""
    work(options, "savelayout")


@click.command()
@click.pass_obj
def checklayout(options: Options) -> None:
    """Report whether the storage, or a file that rescue media depend on, has changed since media were made.

    Where none were made, since the storage was described. Exit status: 0 the same, 1 changed, 2 never described.
    """
    from .status import differences

    run = open_run(options)
    run.need_root()
    if not (run.recovery_dir / "layout.json").exists():
        click.echo(visible(f"{run.recovery_dir} has no description of the storage: run `rear savelayout`"), err=True)
        sys.exit(2)
    found = differences(run)
    if options.json:
        click.echo(json.dumps({"result": "changed" if found else "same", "differences": found}))
    else:
        for difference in found:
            click.echo(visible(difference))
    sys.exit(1 if found else 0)
