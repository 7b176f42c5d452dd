# SPDX-License-Identifier: GPL-3.0-or-later
"""Notes in /var/lib/rear on the backups that were there last: for completion, and when each was checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from .. import durable, own_files
from ..errors import RearError
from .dates import FORMAT

if TYPE_CHECKING:
    from ..run import Run

NAME = "backups.json"


def read(var_dir: Path) -> dict[str, str]:
    """The backups, with the time at which all of one was last read, or "".

    Damaged notes are none: what the place of the backups says is what counts.
    """
    try:
        found = json.loads(own_files.read_text(var_dir / NAME))
    except (OSError, ValueError, RecursionError, RearError):
        return {}
    return {str(name): str(when) for name, when in found.items()} if isinstance(found, dict) else {}


def write(run: Run, found: Mapping[str, str]) -> None:
    """Note what is there; no backup or recovery fails because that is not possible."""
    try:
        durable.write(run.var_dir / NAME, json.dumps(found, indent=2) + "\n")
    except RearError as error:
        run.report.log(f"no note on the backups: {error.message}")


def add(run: Run, name: str, *, checked: bool) -> None:
    """Note a backup, and whether all of it was read now and was as it should be."""
    if checked:
        run.outcome.read.append(name)
    write(run, {**read(run.var_dir), name: datetime.now(timezone.utc).strftime(FORMAT) if checked else ""})
