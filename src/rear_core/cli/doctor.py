# SPDX-License-Identifier: GPL-3.0-or-later
"""The command that finds whatever could keep a recovery of this machine from working, and says what to do."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from .. import work_area
from ..builtin.core import RESCUE_MARK
from ..doctor import machine, steps, storage
from ..doctor.examination import Finding, Probe, Problem, as_json, examine, lines, worst
from ..errors import ConfigurationError, NotBegun, RearError, Refused
from ..health.checks import State
from ..interruption import interruptible
from ..report import visible
from ..run import Options, Run, need_root
from ..settings import Sources
from .configuration import examined, exposed, remarks
from .session import check_folders, not_roots, open_run
from .status import look_at

WIDTH = 14
# What to do where a check of `rear status` is not well.
ADVICE = {
    "backup": "run `rear mkbackup`; `rear schedule` has it run every night",
    "verification": "run `rear backup check`",
    "coverage": "see the log of the last backup: it names what was not saved",
    "media": "run `rear mkrescue`",
    "layout": "run `rear mkrescue`: the media then know it, and it says what it cannot describe",
    "drill": "run `rear drill`",
}


@click.command()
@click.option("--json", "json_form", is_flag=True, help="Print one JSON object.")
@click.option("-q", "--quiet", is_flag=True, help="Print only what is not ok.")
@click.pass_obj
def doctor(options: Options, json_form: bool, quiet: bool) -> None:
    """Look for whatever could keep a recovery of this machine from working, and say what to do about it.

    It reads the configuration, the machine and the places of media and backups, and changes nothing; where files are
    to be put it writes a small one and removes it, as `rear mkbackup` does first. Each check is ok, a warning,
    critical or unknown. Exit status: 0 all is ok, 1 something is not.
    """
    need_root()
    if RESCUE_MARK.exists():
        raise Refused("this is the rescue system", "run `rear recover`, which checks everything before it writes")
    in_json = json_form or options.json

    def tell(finding: Finding) -> None:
        if not in_json and (finding.state or not (quiet or options.quiet)):
            for line in lines(finding, WIDTH):
                click.echo(line)

    findings = diagnosis(options, tell)
    if in_json:
        click.echo(as_json(findings))
    sys.exit(int(worst(findings) != State.OK))


def diagnosis(options: Options, tell: Callable[[Finding], None] = lambda _finding: None) -> list[Finding]:
    """All findings, of which each is told as soon as it is known.

    `NotBegun` while rear runs: what that has mounted would count.
    """
    findings: list[Finding] = []
    run, problems = configured(options)
    if run is None:
        for problem in problems:
            findings.append(Finding("configuration", State.CRITICAL, visible(problem.message), visible(problem.hint)))
        text = "could not be checked, as the configuration selects no plugins"
        findings.append(Finding("machine", State.UNKNOWN, text, "correct the configuration, then run it again"))
        for finding in findings:
            tell(finding)
        return findings
    if not work_area.is_free(run.var_dir):
        raise NotBegun("rear is running, and what it has mounted would count", "run it again when that has ended")
    with run.undo, interruptible(run.undo):
        for finding in examine(run, _probes(run, problems)):
            findings.append(finding)
            tell(finding)
    return findings


def configured(options: Options) -> tuple[Run | None, list[ConfigurationError]]:
    """A run with what is good of the configuration, None where that is nothing, and all its errors."""
    try:
        return examined(options)
    except ConfigurationError as error:
        try:
            return open_run(options, Sources()), [error]
        except ConfigurationError as other:
            return None, [error, other]


def _probes(run: Run, problems: list[ConfigurationError]) -> Iterator[Probe]:
    """The checks in the order in which they are run: later ones use the kernel, storage and network found before."""

    def configuration(run: Run) -> Iterator[Problem]:
        for problem in problems:
            yield Problem(State.CRITICAL, problem.message, problem.hint)
        for remark in (*remarks(run), *exposed(run)):
            yield Problem(State.WARNING, remark, "correct it; `rear config check` says it again")

    yield Probe("configuration", f"valid: {run.config_dir}", configuration)
    yield Probe("plugins", _plugins(run), _broken)
    yield Probe("installation", "only root can change what rear runs", _installation)
    yield Probe("work-area", f"{run.settings['TMPDIR']} can be written", _work_area)
    yield from (*storage.BEFORE, *machine.BEFORE)
    yield from steps.probes(run)
    yield from (*machine.AFTER, *storage.AFTER)
    yield Probe("status", "", _status, seconds=600)


def _plugins(run: Run) -> str:
    return ", ".join(plugin.label for plugin in run.plugins.active if plugin.kind != "core") or "none besides the core"


def _broken(run: Run) -> Iterator[Problem]:
    for plugin in run.plugins.broken:
        yield Problem(
            State.CRITICAL,
            f"{plugin.label} of {plugin.distribution} {plugin.version} is broken: {plugin.problem}",
            f"update it, or rear-core if it needs a newer one; or remove {plugin.distribution}",
        )


def _installation(run: Run) -> Iterator[Problem]:
    check_folders(run)
    for problem in not_roots(run):
        yield Problem(State.WARNING, problem, "chown root and chmod go-w what is named, or install it elsewhere")


def _work_area(run: Run) -> Iterator[Problem]:
    """What checks mount or try goes there; it is removed at the end."""
    tmpdir = Path(run.settings["TMPDIR"])
    try:
        run.build_dir = work_area.make(tmpdir, run.undo, keep=False, sh=run.sh, report=run.report)
    except RearError as error:
        # It would end a backup as well.
        yield Problem(State.CRITICAL, error.message, error.hint)


def _status(run: Run) -> Iterator[Problem]:
    """The checks of `rear status`, by their own names."""
    # What it warns of while it looks at the storage was told.
    with run.report.aside():
        checks = look_at(run)
    for check in checks:
        advice = ADVICE.get(check.name, "") if check.state != State.UNKNOWN else "mend what it names, then run it again"
        # The text may say it already.
        advice = "" if advice and advice in check.text else advice
        yield Problem(check.state, check.text, advice, name=check.name)
