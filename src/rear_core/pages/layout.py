# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages of `rear layout`: the recorded storage, and what a plan makes of the disks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..errors import ConfigurationError
from ..finalize.recorded import description
from ..storage.layout import Layout
from . import render
from .storage import as_recorded, pictures

if TYPE_CHECKING:
    from ..run import Run


def page(run: Run, layout: Layout) -> str:
    """The recorded storage, as HTML."""
    return render(
        "layout.html.j2",
        hostname=hostname(run),
        file=os.fspath(run.recovery_dir / "layout.json"),
        pictures=pictures(as_recorded(layout)),
        left_out=[f"{entry.name} ({entry.reason})" for entry in layout.left_out],
    )


def hostname(run: Run) -> str:
    """The name of the recorded machine, or of this one where nobody recorded it."""
    try:
        return str(description(run)["system"]["hostname"])
    except (ConfigurationError, KeyError):
        return run.system.hostname
