# SPDX-License-Identifier: GPL-3.0-or-later
"""The command that tries all ways."""

from __future__ import annotations

import socket
import sys
import time
from dataclasses import replace

import click

from rear_core import RearError, Step
from rear_core.cli.session import open_run
from rear_core.records import FORMAT, Record
from rear_core.report import explain
from rear_core.run import Options


@click.command()
@click.option("--ping", is_flag=True, help="Also ping the watcher, for which that is a backup that is done.")
@click.pass_obj
def notify(options: Options, ping: bool) -> None:
    """Send a test message in every way that the settings NOTIFY_* name. Exit status 1 if one of them fails."""
    from . import ways

    run = open_run(replace(options, quiet=True))
    run.need_root()
    began = time.strftime(FORMAT, time.gmtime())
    run.record = Record("test", began, 0, "done", 0, hostname=socket.gethostname())
    steps = [*ways.steps(run)]
    steps += [Step(60, "Ping the watcher of the backups", ways.ping)] if ping and run.settings["NOTIFY_PING"] else []
    if not steps:
        raise RearError("no setting says whom to tell", "set NOTIFY_MAIL, NOTIFY_WEBHOOK or NOTIFY_NTFY")
    failed = False
    for step in steps:
        try:
            step.action(run)
            click.echo(f"{step.title}: done")
        except RearError as error:
            failed = True
            click.echo(explain(RearError(run.report.masked(f"{step.title}: {error.message}"), error.hint)), err=True)
    sys.exit(int(failed))
