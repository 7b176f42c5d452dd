# SPDX-License-Identifier: GPL-3.0-or-later
"""The command that makes a device ready for rescue media and backups."""

from __future__ import annotations

from pathlib import Path

import click

from ..run import Options
from .paths import GivenPath
from .session import at_work, open_run, told


@click.command()
@click.option("--yes", is_flag=True, help="Erase the device without asking.")
@click.argument("device", type=GivenPath())
@click.pass_obj
def format(options: Options, device: Path, yes: bool) -> None:
    """Prepare DEVICE for rescue media and backups. This erases everything on it.

    Shows what DEVICE is and holds, then asks. OUTPUT and BACKUP decide which kinds of devices it formats:
    OUTPUT=USB formats disks and sticks. It refuses a device that is in use. With -s only shows what would be done.
    """
    from ..media.format import format_device

    run = open_run(options)
    with told(run), at_work(run, "format"):
        format_device(run, device, yes=yes)
