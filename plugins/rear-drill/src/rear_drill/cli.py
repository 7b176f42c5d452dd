# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `rear drill`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from rear_core.cli.paths import GivenPath, GivenText
from rear_core.run import Options


@click.command()
@click.argument("iso", required=False, type=GivenPath(dir_okay=False))
@click.option(
    "--memory",
    default=2048,
    metavar="MIB",
    show_default=True,
    type=click.IntRange(min=512),
    help="Memory of the virtual machine.",
)
@click.option(
    "--cpus",
    default=2,
    metavar="NUMBER",
    show_default=True,
    type=click.IntRange(min=1),
    help="Processors of the virtual machine.",
)
@click.option(
    "--time-limit",
    default=240,
    metavar="MINUTES",
    show_default=True,
    type=click.IntRange(min=1),
    help="Stop a rehearsal that takes longer.",
)
@click.option(
    "--backup",
    type=GivenText(),
    default="",
    metavar="DATE",
    help="Use the newest backup of that date or before, such as 2026-11-22 or 2026-11-22T1830, in UTC.",
)
@click.option(
    "--hand-in",
    multiple=True,
    type=GivenPath(),
    metavar="PATH",
    help="Give the rescue system this file or folder of this machine, such as the key of ssh for the server of the"
    " backup. Can be repeated.",
)
@click.pass_obj
def drill(
    options: Options,
    iso: Path | None,
    memory: int,
    cpus: int,
    time_limit: int,
    backup: str,
    hand_in: tuple[Path, ...],
) -> None:
    """Rehearse the recovery of this machine in a virtual one.

    Boots the rescue image ISO (the newest one of this machine) with blank disks of the recorded sizes, recovers from
    the backup, compares every file with it, starts the result and shuts it down. Writes to no disk of this machine,
    and reaches no server but that of the backup, if it is on one. It keeps the report in /var/lib/rear/drill.

    Exit status: 0 the recovery worked, 1 it did not, 3 the rehearsal could not start.
    """
    # The help of rear imports every command: what one does comes later.
    from . import command

    if not command.drill(options, iso, command.Wishes(memory, cpus, time_limit, backup, hand_in)):
        sys.exit(1)
