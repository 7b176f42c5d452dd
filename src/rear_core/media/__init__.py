# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of bootable media that output plugins share: boot loaders, menus, images, delivery."""

from __future__ import annotations
