# SPDX-License-Identifier: GPL-3.0-or-later
"""LVM: physical volumes, volume groups and logical volumes."""

from __future__ import annotations

from .items import LogicalVolume, PhysicalVolume, VolumeGroup
from .recreate import KIND

__all__ = ["KIND", "LogicalVolume", "PhysicalVolume", "VolumeGroup"]
