# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives of a machine's files, for backup plugins: make one, prove one, restore one, in any folder."""
from __future__ import annotations

from .backup import check_tools, rescue_contents, save
from .restore import check, restore

__all__ = ["check", "check_tools", "rescue_contents", "restore", "save"]
