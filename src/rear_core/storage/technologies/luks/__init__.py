# SPDX-License-Identifier: GPL-3.0-or-later
"""LUKS1 and LUKS2: encrypted volumes."""

from __future__ import annotations

from .capture import Luks, Slot
from .recreate import KIND

__all__ = ["KIND", "Luks", "Slot"]
