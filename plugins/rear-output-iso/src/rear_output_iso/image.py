# SPDX-License-Identifier: GPL-3.0-or-later
"""What the image holds: the rescue system and, when it carries one, a backup."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rear_core import Run
from rear_core.media.carried import CarriedFile
from rear_core.media.loaders import Loaders
from rear_core.media.rescue_iso import MENU_SECONDS, write_rescue_iso

from . import discs


def carried(run: Run) -> Mapping[str, CarriedFile]:
    """What the image takes along of a backup."""
    return run.carried.media[0] if run.carried else {}


def write_image(run: Run, path: Path, loaders: Loaders, timeout: int = MENU_SECONDS) -> None:
    """Write the image."""
    more = discs.sources(carried(run))
    write_rescue_iso(run, path, loaders, volume_id=run.settings["ISO_VOLID"], timeout=timeout, more=more)
