# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that save the files of a machine, and that bring them back."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import ConfigurationError, Refused
from ..methods import of_paths
from ..run import Options
from ..workflow import WORKFLOWS, execute
from .groups import Group
from .make import work
from .paths import GivenPath, GivenText
from .session import at_work, open_run, told

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from ..archive.kept import Kept
    from ..run import Run

HEADINGS = ("DATE", "SIZE", "FILES", "SIGNED", "CHECKED", "STATE", "METHOD")


def dates(ctx: click.Context, _parameter: click.Parameter, begun: str) -> list[str | CompletionItem]:
    """The backups that were there when rear looked last, for the completion of shells."""
    from ..archive import notes
    from . import options_of

    known = notes.read(open_run(options_of(ctx.find_root())).var_dir)
    return [name for name in known if name.startswith(begun)]


json_progress = click.option(
    "--json-progress", is_flag=True, help="Print events, one JSON object per line, for other programs."
)
date = click.option(
    "--backup", "date", type=GivenText(), default="", metavar="DATE", shell_complete=dates,
    help="Restore the newest backup of that date or before, such as 2026-11-22 or 2026-11-22T1830, in UTC.",
)  # fmt: skip


# Advice of a recovery, of which a check and a restore of files are parts, names it so.
as_of_recover = click.option(
    "--backup", "other", type=GivenText(), default="", metavar="DATE", shell_complete=dates, help="The same as DATE."
)
only = click.option(
    "--only", type=GivenText(), default="", metavar="METHOD", help="Of several methods in BACKUP, use this one."
)


@click.command()
@json_progress
@click.pass_obj
def mkbackup(options: Options, json_progress: bool) -> None:
    """Create rescue media of this machine, and save its files."""
    work(replace(options, json_progress=json_progress), "mkbackup")


@click.command()
@only
@json_progress
@click.pass_obj
def mkbackuponly(options: Options, only: str, json_progress: bool) -> None:
    """Save the files of this machine, without creating rescue media."""
    work(replace(options, only=only, json_progress=json_progress), "mkbackuponly")


@click.command(hidden=True)
@date
@json_progress
@click.pass_obj
def checkbackup(options: Options, date: str, json_progress: bool) -> None:
    """The former name of `rear backup check`."""
    _check(replace(options, demo=True, backup=date, json_progress=json_progress))


@click.command()
@click.option(
    "--demo",
    type=GivenPath(),
    metavar="DIR",
    help="Only restore all files below DIR, a new or empty folder. Writes to no disk directly; works on any machine.",
)
@click.option(
    "--identity",
    type=GivenText(),
    default="",
    metavar="FILE",
    help="Make a clone: another machine, with the host name and addresses of FILE; with `dhcp` all by DHCP.",
)
@click.option(
    "--plan",
    type=GivenText(),
    default="",
    metavar="PLAN",
    help="Refuse any other plan for the storage: its id, as `rear drill` and `rear layout plan` show it, or the path of"
    " the report.json of a rehearsal.",
)
@date
@json_progress
@click.pass_obj
def recover(options: Options, demo: Path | None, identity: str, plan: str, date: str, json_progress: bool) -> None:
    """Rebuild this machine; works only on the booted rescue system."""
    if demo and identity:
        raise click.UsageError("--demo restores files alone, which are those of the machine: leave out --identity")
    if demo and plan:
        raise click.UsageError("--demo recreates no storage, and so has no plan: leave out --plan")
    identity = os.path.abspath(identity) if identity not in ("", "dhcp") else identity
    options = replace(options, backup=date, json_progress=json_progress, identity=identity, plan=plan)
    if demo is None:
        work(options, "recover")
    else:
        work(replace(options, demo=True, target=demo.absolute()), "restoreonly")


@click.command()
@click.option(
    "--target",
    type=GivenPath(),
    default=Path("/mnt/local"),
    metavar="DIR",
    show_default=True,
    help="Where the file systems are mounted.",
)
@date
@json_progress
@click.pass_obj
def restoreonly(options: Options, target: Path, date: str, json_progress: bool) -> None:
    """Restore the files into file systems that are mounted already; works only on the booted rescue system."""
    work(replace(options, target=target.absolute(), backup=date, json_progress=json_progress), "restoreonly")


@click.group(cls=Group)
def backup() -> None:
    """List, check and remove backups of this machine, or restore files of one."""


@backup.command("list")
@only
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array, one object per backup.")
@click.pass_obj
def list_(options: Options, only: str, as_json: bool) -> None:
    """List the backups of this machine where BACKUP keeps them, oldest first."""
    # What it lists is its result, and not the record of looking.
    as_json = as_json or options.json
    run = open_run(replace(options, only=only, json=False))
    _need(run, "list", "cannot list its backups", "ask its own program")
    with told(run):
        with at_work(run, "backup-list"):
            execute(run, "backup-list")
        if options.simulate:
            return
        methods = " ".join(run.settings["BACKUP"])
        documents = [{**asdict(found), "method": found.method or methods} for found in run.kept]
        for line in json.dumps(documents, indent=2).splitlines() if as_json else table(run.kept):
            run.report.result(line)
        if not run.kept:
            run.report.say(f"BACKUP={methods} has no backup of this machine")


def table(found: Iterable[Kept]) -> Iterator[str]:
    """The backups in columns, below a line of headings; nothing where there is none."""
    from ..archive.progress import size

    rows = [
        (
            each.name,
            size(each.size) if each.size else "-",
            f"{each.files}" if each.files else "-",
            *(each.signed or "-", each.checked or "never", each.state, each.method),
        )
        for each in found
    ]
    headings = HEADINGS if any(row[-1] for row in rows) else HEADINGS[:-1]
    widths = [max(map(len, column)) for column in zip(headings, *rows)]
    for row in [headings, *rows] if rows else []:
        yield "  ".join(word.ljust(width) for word, width in zip(row, widths)).rstrip()


@backup.command()
@click.argument("date", type=GivenText(), default="", shell_complete=dates)
@as_of_recover
@only
@json_progress
@click.pass_obj
def check(options: Options, date: str, other: str, only: str, json_progress: bool) -> None:
    """Read a whole backup in its place, the newest one (of DATE or before), and report whether it is unchanged.

    Restores nothing; works on any machine. Exit status: 0 it is complete and unchanged, 3 it is not.
    """
    _check(replace(options, demo=True, backup=date or other, only=only, json_progress=json_progress))


def _check(options: Options) -> None:
    from ..archive import notes
    from ..archive.restore import Backup

    run = open_run(options)
    with told(run), at_work(run, "checkbackup"):
        execute(run, "checkbackup")
        # Where nothing is restored all of it is read.
        for found in run.backups.values() if run.portions else [run.backup]:
            if isinstance(found, Backup):
                notes.add(run, found.name, checked=True)


@backup.command("restore")
@click.argument("words", type=GivenText(), nargs=-1, required=True, metavar="[DATE] PATH...", shell_complete=dates)
@click.option("--to", type=GivenPath(), required=True, metavar="DIR", help="Restore below DIR, a new or empty folder.")
@as_of_recover
@json_progress
@click.pass_obj
def restore_files(options: Options, words: tuple[str, ...], to: Path, other: str, json_progress: bool) -> None:
    """Restore files and folders, named by absolute paths, from the newest backup, or the newest of DATE or before."""
    date, paths = (other, words) if os.path.isabs(words[0]) else (words[0], words[1:])
    # Of two slashes at the beginning normpath keeps both.
    found = tuple(re.sub("^/+", "/", os.path.normpath(path)) for path in paths)
    if not found or not all(path.startswith("/") for path in found):
        raise ConfigurationError(
            "say which files to restore, by their absolute paths", "rear backup restore --to DIR /etc/fstab /home/ada"
        )
    if "/" in found:
        raise ConfigurationError("/ is the whole machine", "`rear recover --demo DIR` restores all files")
    options = replace(options, demo=True, target=to.absolute(), backup=date, paths=found)
    run = open_run(options)
    if method := of_paths(run, found):
        run = open_run(replace(options, only=method))
    _need(run, "fetch", "cannot restore single files", "`rear recover --demo DIR` restores all files")
    work(replace(run.options, json_progress=json_progress), "backup-restore")


@backup.command("mount")
@click.argument("folder", type=GivenPath(), metavar="DIR")
@only
@click.pass_obj
def mount_backups(options: Options, folder: Path, only: str) -> None:
    """Show all backups of this machine below DIR, a new or empty folder, to look at and to copy from.

    They are there, read-only, until you press Enter; without a terminal until somebody unmounts DIR.
    """
    options = replace(options, target=folder.absolute(), only=only)
    run = open_run(options)
    if run.portions and not only:
        raise Refused("BACKUP names several methods", "choose the one whose backups to show: --only METHOD")
    if only:
        run = open_run(options)
    _need(run, "mount", "cannot show its backups as folders", "see what `rear backup --help` offers besides")
    work(options, "backup-mount")


@backup.command()
@click.argument("name", type=GivenText(), metavar="DATE", shell_complete=dates)
@only
@click.pass_obj
def forget(options: Options, name: str, only: str) -> None:
    """Remove one backup, named as `rear backup list` shows it, once you have agreed."""
    options = replace(options, backup=name, only=only)
    run = open_run(options)
    if run.portions and not only:
        raise Refused("BACKUP names several methods", "choose the one whose backup to remove: --only METHOD")
    _need(run, "forget", "removes no backup for rear", "use its own program")
    work(options, "backup-forget")


def _need(run: Run, phase: str, lacks: str, advice: str) -> None:
    """Raise `Refused` unless the method of this machine has steps in a phase of `rear backup`."""
    run.phases = next(phases for phases in WORKFLOWS.values() if phase in phases)
    if all(plugin.kind != "backup" for plugin, _ in run.plugins.call_each(f"rear_{phase}", run=run)):
        raise Refused(f"BACKUP={' '.join(run.settings['BACKUP'])} {lacks}", advice)
