# SPDX-License-Identifier: GPL-3.0-or-later
"""The command that says how well this machine could be recovered, for people and for monitoring."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from socket import gethostname

import click

from .. import durable, records
from ..errors import ConfigurationError, RearError, Refused
from ..health import fleet, forms
from ..health.checks import Check, Facts, State, examine, worst
from ..report import explain, visible
from ..run import Options, Run, need_root
from ..workflow import WORKFLOWS
from .paths import GivenPath
from .session import CORE, open_run

CHECKS = ("backup", "verification", "media", "drill")
# Hours: a machine that tells its status every day is late by then.
MAX_AGE = 26


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--nagios", is_flag=True, help="Print and end as a plugin of Nagios does: 0 to 3.")
@click.option(
    "--prometheus", "metrics", type=GivenPath(), metavar="FILE", help="Write metrics for node_exporter to FILE (.prom)."
)
@click.option("--alert-rules", is_flag=True, help="Print alert rules for Prometheus.")
@click.option("--dashboard", is_flag=True, help="Print a dashboard for Grafana.")
@click.option(
    "--collect",
    "folder",
    type=GivenPath(),
    metavar="DIR",
    help="Report on all machines whose status is in DIR, as HOST.json, and write the page DIR/index.html.",
)
@click.option(
    "--max-age",
    "hours",
    type=click.IntRange(min=1),
    metavar="HOURS",
    help="With --collect: a machine is unknown if its status is older; 26 unless you say so.",
)
@click.pass_obj
def status(
    options: Options,
    as_json: bool,
    nagios: bool,
    metrics: Path | None,
    alert_rules: bool,
    dashboard: bool,
    folder: Path | None,
    hours: int | None,
) -> None:
    """Report how well this machine could be recovered: backup, media, rehearsal, what changed since, how long it takes.

    Each check is ok, a warning, critical or unknown; the settings STATUS_*_DAYS say from which age on. Exit status: 0
    all is ok, 1 something is not; with --nagios 0 ok, 1 warning, 2 critical, 3 unknown. With --collect each machine
    counts as a check, and neither root nor a configuration is needed.
    """
    if alert_rules or dashboard:
        name = "alert-rules.yml" if alert_rules else "dashboard.json"
        click.echo((CORE / "monitoring" / name).read_text(encoding="utf-8"), nl=False)
        return
    if folder and metrics:
        raise ConfigurationError("each machine writes its own metrics", "leave out --prometheus or --collect")
    if hours and not folder:
        raise ConfigurationError("--max-age is for the machines of --collect", "add --collect DIR, or leave it out")
    try:
        checks = collect(folder, hours or MAX_AGE) if folder else look(options)
    except RearError as error:
        if folder or not (nagios or metrics):
            raise
        # What watches has to learn that nobody could look, and that in its own form.
        print(explain(error), file=sys.stderr)
        checks = forms.unknown(error.message)
    if metrics:
        write_metrics(metrics, checks)
    told = forms.lines(checks, quiet=options.quiet)
    if as_json or options.json or nagios:
        told = iter([forms.nagios(checks) if nagios else forms.as_json(checks, gethostname(), time.time())])
    for line in told:
        click.echo(visible(line))
    state = worst(checks)
    sys.exit(int(state) if nagios else int(state != State.OK))


def collect(folder: Path, hours: int) -> list[Check]:
    """The verdict on each machine of a folder, which also gets the page of all; needs no right but to write there."""
    now = time.time()
    machines = fleet.read(folder, hours, now)
    # A web server may show it, to whomever it lets in.
    durable.write(folder.absolute() / "index.html", fleet.page(machines, now), mode=0o644)
    return fleet.as_checks(machines, folder)


def look(options: Options) -> list[Check]:
    """The checks of this machine as it is now; `RearError` where the configuration or the rights do not allow that."""
    need_root()
    return look_at(open_run(replace(options, quiet=True)))


def look_at(run: Run) -> list[Check]:
    """Likewise, with the configuration that a run has."""
    from ..health.measured import recoveries
    from ..system.kernel import choose

    changes, problem = _changes(run)
    try:
        kernel = choose(run).version
    except RearError as error:
        kernel, problem = "", problem or error.message
    facts = Facts(
        now=time.time(),
        records=records.load(run.var_dir),
        limits={name: [*map(int, run.settings[f"STATUS_{name.upper()}_DAYS"])] for name in CHECKS},
        methods=_methods(run),
        rehearses=any(command.name == "drill" for command in run.plugins.call("rear_commands")),
        changes=changes,
        problem=problem,
        hopeless=_hopeless(run) if changes is not None and not problem else "",
        kernel=kernel,
        recoveries=recoveries(),
        exists=os.path.exists,
    )
    return examine(facts)


def _methods(run: Run) -> list[str]:
    """The methods of BACKUP that save files when rear has them do so; a vendor's own schedule may do that instead."""
    run.phases = WORKFLOWS["mkbackuponly"]
    saving = {p.name.lower() for p, _ in run.plugins.call_each("rear_backup", run=run) if p.kind == "backup"}
    return [method for method in run.settings["BACKUP"] if method.lower() in saving]


def _changes(run: Run) -> tuple[list[str] | None, str]:
    """What is not as the rescue media know it, None where nothing was described, and why nobody could look, or ""."""
    from ..work_area import is_free

    if not (run.recovery_dir / "layout.json").exists():
        return None, ""
    if not is_free(run.var_dir):
        return [], "rear is running, and what it has mounted for itself would count as changed"
    try:
        return differences(run), ""
    except RearError as error:
        return [], error.message


def _hopeless(run: Run) -> str:
    """Why the described storage can be no machine again, "" where it can."""
    from ..builtin.storage import recorded_layout
    from ..storage.mount import why_no_root

    reason = why_no_root(recorded_layout(run))
    return f"its root file system is not described ({reason})" if reason else ""


def differences(run: Run) -> list[str]:
    """What is not as the newest rescue media know it, a line each: the storage, and files that they depend on."""
    from ..builtin.storage import check_layout
    from ..builtin.system import changed_files

    return [*check_layout(run), *changed_files(run)]


def media_are_current(options: Options) -> bool:
    """Whether new media would be as those that were made last."""
    return all(check.state == State.OK for check in look(options) if check.name in ("media", "layout"))


def write_metrics(path: Path, checks: list[Check]) -> None:
    """Write them for the textfile collector, which reads whole files named *.prom only, as any user."""
    if path.suffix != ".prom":
        raise ConfigurationError(f"{path} does not end in .prom: node_exporter would not read it", "name it rear.prom")
    if not path.parent.is_dir():
        raise Refused(
            f"there is no folder {path.parent}", "name that of node_exporter's option --collector.textfile.directory"
        )
    durable.write(path.absolute(), forms.prometheus(checks, time.time()), mode=0o644)
