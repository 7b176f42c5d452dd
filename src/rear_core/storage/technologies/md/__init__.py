# SPDX-License-Identifier: GPL-3.0-or-later
"""md: software RAID of all levels, and its spares."""

from __future__ import annotations

from .capture import Array
from .recreate import KIND

__all__ = ["KIND", "Array"]
