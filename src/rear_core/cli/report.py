# SPDX-License-Identifier: GPL-3.0-or-later
"""The command that puts into one file what a report of a fault needs to know of this machine."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from .. import builtin
from ..bundle import archive, contents
from ..bundle.contents import Bundle
from ..doctor.examination import Finding
from ..errors import ConfigurationError, Interrupted, RearError, Refused
from ..health.checks import State
from ..interruption import interruptible
from ..plugins import Plugins, discover
from ..report import Report, visible
from ..run import Options, Run, need_root
from ..settings import Sources, evaluate
from ..shell import Shell
from .doctor import configured, diagnosis
from .paths import GivenPath


@click.command()
@click.option("--anonymize", is_flag=True, help="Replace names, addresses and identifiers by pseudonyms.")
@click.argument("file", type=GivenPath(), required=False)
@click.pass_obj
def report(options: Options, anonymize: bool, file: Path | None) -> None:
    """Write FILE with what a bug report needs: by default rear-report-HOST-DATE.tar.gz in the current folder.

    It has the versions, the configuration, the description of storage and network, what programs print of the
    storage, logs and records of runs, and the result of `rear doctor`. The storage can be replayed from it.

    Secrets are always masked: secret settings, passwords in URLs, in files that settings name and in logs, keys. With
    --anonymize each name, address and identifier becomes a pseudonym of the same form, the same one in all files:
    names of hosts, domains, users, volumes, labels and mount points; addresses of IP and of network cards; serial
    numbers, UUIDs, keys. Names that say nothing of their owner stay, as root, data and sda1. Nothing is sent anywhere.
    """
    need_root()
    path = (file or Path(default_name(anonymize))).absolute()
    _check(path)
    run, problems = configured(options)
    run = run or _bare(options)
    with run.undo, interruptible(run.undo), _quiet(run):
        findings = _findings(options)
        lines = [problem.message for problem in problems]
        bundle = contents.collect(run, findings, anonymize=anonymize, problems=lines)
        archive.write(path, bundle.files)
    click.echo(visible(os.fspath(path)))
    for line in told(bundle):
        click.echo(visible(line), err=True)


def default_name(anonymize: bool) -> str:
    """The name of the file: with the host, unless nobody is to know that."""
    host = "anonymous" if anonymize else re.sub(r"[^A-Za-z0-9-]", "_", os.uname().nodename.partition(".")[0])
    return f"rear-report-{host or 'localhost'}-{time.strftime('%Y-%m-%d')}.tar.gz"


def told(bundle: Bundle) -> Iterator[str]:
    """What was masked and replaced, and what is not there."""
    yield f"{len(bundle.files)} files; masked secrets: {bundle.cleaner.masking.masked}"
    if anonymizer := bundle.cleaner.anonymizer:
        counts = ", ".join(f"{len(found)} {kind}" for kind, found in anonymizer.replaced.items())
        yield f"Replaced by pseudonyms: {counts}"
    for problem in bundle.problems:
        yield f"Not in it: {problem}"
    yield "Look at it before you hand it to somebody: rear cannot know every name in a log"


def _check(path: Path) -> None:
    """Refuse at once what would fail at the end."""
    if os.path.lexists(path):
        raise Refused(f"{path} is there already", "name another file: rear overwrites none")
    if not path.parent.is_dir():
        raise Refused(f"there is no folder {path.parent}", "name a file in a folder that is there")


def _findings(options: Options) -> list[Finding]:
    """Those of the doctor; while rear runs, that it does."""
    try:
        return diagnosis(options)
    except Interrupted:
        raise
    except RearError as error:
        return [Finding("doctor", State.UNKNOWN, f"could not look: {error.message}", error.hint)]


@contextmanager
def _quiet(run: Run) -> Iterator[None]:
    with run.report.aside():
        yield


def _bare(options: Options) -> Run:
    """A run for a machine whose configuration selects nothing: the core and what is always active, with defaults."""
    plugins = Plugins(builtin.modules())
    plugins.add_extras(discover())
    out = Report(debug=options.debug, quiet=options.quiet)
    try:
        settings = evaluate(Sources(), plugins.settings(), {}, strict=False, schemes=plugins.schemes())
    except ConfigurationError:
        settings = evaluate(Sources(), Plugins(builtin.modules()).settings(), {}, strict=False)
    return Run(settings, plugins, options, out, Shell(out.log))
