# SPDX-License-Identifier: GPL-3.0-or-later
"""The boot loaders that an ISO image gets on this machine."""

from __future__ import annotations

from pathlib import Path

from rear_core import Run
from rear_core.media import loaders
from rear_core.media.loaders import Loaders, Medium

ISO_IMAGE = Medium("the ISO image", ("xorriso",))


def find_loaders(run: Run, root: Path = Path("/"), *, warn: bool = True) -> Loaders:
    """The boot loaders that are installed; `Refused` with what to install where this machine would not boot."""
    return loaders.find_loaders(run, ISO_IMAGE, root, warn=warn)


def missing(run: Run) -> list[str]:
    """What has to be installed before an image can be made that boots on this machine."""
    return loaders.missing(run, ISO_IMAGE, loaders.find_installed(run))
