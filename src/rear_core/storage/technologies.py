# SPDX-License-Identifier: GPL-3.0-or-later
"""The storage technologies that the core knows."""

from __future__ import annotations

from . import btrfs_recreate, disk, ext_recreate, luks_recreate, lvm_recreate, md, mount, multipath, swap, vfat, xfs

CORE_KINDS = (
    disk.KIND, multipath.KIND, md.KIND, luks_recreate.KIND, lvm_recreate.KIND, ext_recreate.KIND, xfs.KIND,
    btrfs_recreate.KIND, vfat.KIND, mount.KIND, swap.KIND,
)  # fmt: skip
