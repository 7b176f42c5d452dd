# SPDX-License-Identifier: GPL-3.0-or-later
"""ext2, ext3 and ext4, also with their journal on another device."""

from __future__ import annotations

from .capture import Ext, Journal
from .recreate import KIND

__all__ = ["KIND", "Ext", "Journal"]
