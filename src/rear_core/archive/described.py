# SPDX-License-Identifier: GPL-3.0-or-later
"""What the description of the machine, which is on its rescue media, says about its backups."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from .. import own_files

if TYPE_CHECKING:
    from ..run import Run


def recorded(run: Run, fact: str) -> object:
    """A fact about the machine from its description, None when it is not there."""
    try:
        return json.loads(own_files.read_text(run.recovery_dir / "system.json")).get(fact)
    except (OSError, ValueError, AttributeError):
        return None


def signers(run: Run) -> list[str]:
    """The public keys that have signed backups of the machine, as far as it was described with some."""
    found = recorded(run, "signers")
    return [str(key) for key in found] if isinstance(found, list) else []
