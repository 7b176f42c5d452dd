# SPDX-License-Identifier: GPL-3.0-or-later
"""The command that makes a device ready for rescue media and backups."""

from __future__ import annotations

from pathlib import Path

import click

from ..run import Options
from .session import at_work, open_run, told


@click.command()
@click.option("--yes", is_flag=True, help="Erase the device without asking.")
@click.argument("device", type=click.Path(path_type=Path))
@click.pass_obj
def format(options: Options, device: Path, yes: bool) -> None:
    """Make DEVICE ready for rescue media and backups. All that is on it is lost.

    Shows what DEVICE is and holds, then asks. Which kinds of devices can be formatted follows from OUTPUT and BACKUP:
    OUTPUT=USB formats disks and sticks. A device that is in use is refused. With -s only shows what would be done.
    """
    from ..media.format import format_device

    run = open_run(options)
    with told(run), at_work(run, "format"):
        format_device(run, device, yes=yes)
