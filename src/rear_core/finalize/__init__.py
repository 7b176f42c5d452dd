# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a restored system bootable and proves it; one concern each, on the tree below the target."""

from __future__ import annotations
