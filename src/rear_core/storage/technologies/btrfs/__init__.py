# SPDX-License-Identifier: GPL-3.0-or-later
"""btrfs: file systems on one or several devices, and their subvolumes."""

from __future__ import annotations

from .capture import Btrfs, Subvolume
from .recreate import KIND

__all__ = ["KIND", "Btrfs", "Subvolume"]
