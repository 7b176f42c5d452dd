# SPDX-License-Identifier: GPL-3.0-or-later
"""The laboratory: a real Debian tree, a chroot that leaves nothing behind, and virtual machines."""

from __future__ import annotations
