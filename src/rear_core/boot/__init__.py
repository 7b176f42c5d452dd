# SPDX-License-Identifier: GPL-3.0-or-later
"""Boot loaders: one file each."""

from __future__ import annotations
