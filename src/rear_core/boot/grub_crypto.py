# SPDX-License-Identifier: GPL-3.0-or-later
"""GRUB where /boot lies in an encrypted volume, which it opens itself."""

from __future__ import annotations

import re
from pathlib import Path

from .. import recovered
from ..storage.layout import Layout
from .grub_menu import CONFIGURATIONS
from .loader import below_boot

# grub-mkconfig writes it without hyphens up to GRUB 2.12.
CRYPTOMOUNT = re.compile(r"^\s*cryptomount\s+-u\s+([0-9a-fA-F-]+)", re.MULTILINE)


def problems(target: Path, layout: Layout) -> list[str]:
    """Which encrypted volumes below /boot the menu does not open, while it opens others.

    A menu that opens none is one of a GRUB that has opened them before, or that finds its kernels elsewhere.
    """
    files = [path for pattern in CONFIGURATIONS for _, path in recovered.find(target, pattern)]
    opened = {_plain(uuid) for path in files for uuid in CRYPTOMOUNT.findall(recovered.read(path))}
    volumes = [layout[id] for id in sorted(below_boot(layout)) if layout[id].has_passphrase]
    return [
        f"GRUB's menu opens other encrypted volumes, and not {volume}, in which /boot lies"
        for volume in volumes
        if opened and _plain(volume.identifiers.get("UUID", "")) not in opened
    ]


def _plain(uuid: str) -> str:
    return uuid.replace("-", "").lower()
