# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives of a machine's files, for backup plugins: make one, prove one, restore one, in any place."""

from __future__ import annotations

from .backup import check_tools, estimate, rescue_contents, save
from .repository import FolderRepository, Repository, in_use
from .restore import check, restore
from .volumes import Target, Volume

__all__ = [
    "FolderRepository", "Repository", "Target", "Volume", "check", "check_tools", "estimate", "in_use",
    "rescue_contents", "restore", "save",
]  # fmt: skip
