# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that save the files of a machine, and that bring them back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from ..run import Options
from .make import work
from .paths import GivenPath

json_progress = click.option(
    "--json-progress", is_flag=True, help="Print events, one JSON object per line, for other programs."
)
date = click.option(
    "--backup", "date", default="", metavar="DATE",
    help="Restore the newest backup of that date or before, such as 2026-11-22 or 2026-11-22T1830, in UTC.",
)  # fmt: skip


@click.command()
@json_progress
@click.pass_obj
def mkbackup(options: Options, json_progress: bool) -> None:
    """Create rescue media of this machine, and save its files."""
    work(replace(options, json_progress=json_progress), "mkbackup")


@click.command()
@json_progress
@click.pass_obj
def mkbackuponly(options: Options, json_progress: bool) -> None:
    """Save the files of this machine, without creating rescue media."""
    work(replace(options, json_progress=json_progress), "mkbackuponly")


@click.command()
@date
@json_progress
@click.pass_obj
def checkbackup(options: Options, date: str, json_progress: bool) -> None:
    """Read a whole backup in its place, and report whether it is unchanged. Restores nothing; works anywhere.

    Exit status: 0 it is complete and unchanged, 3 it is not.
    """
    work(replace(options, demo=True, backup=date, json_progress=json_progress), "checkbackup")


@click.command()
@click.option(
    "--demo",
    type=GivenPath(),
    metavar="DIR",
    help="Only restore all files below DIR, a new or empty folder. Writes to no disk directly; works on any machine.",
)
@date
@json_progress
@click.pass_obj
def recover(options: Options, demo: Path | None, date: str, json_progress: bool) -> None:
    """Rebuild this machine; works only on the booted rescue system."""
    options = replace(options, backup=date, json_progress=json_progress)
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
