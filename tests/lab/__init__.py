# SPDX-License-Identifier: GPL-3.0-or-later
"""The laboratory: a real Debian tree, a chroot that leaves nothing behind, and virtual machines."""

from __future__ import annotations

# The driver of virtual machines is a part of the product; tests were its first user.
from rear_drill import qemu as qemu
