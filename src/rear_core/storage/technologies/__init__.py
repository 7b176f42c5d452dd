# SPDX-License-Identifier: GPL-3.0-or-later
"""The storage technologies that the core knows, each complete in its own file or folder.

They import the rest of the core by its full name, as the packages of other people do.
"""

from __future__ import annotations

from rear_core.storage import disk, mount

from . import btrfs, ext, iscsi, luks, lvm, md, multipath, swap, vfat, xfs

CORE_KINDS = (
    disk.KIND, iscsi.KIND, multipath.KIND, md.KIND, luks.KIND, lvm.KIND, ext.KIND, xfs.KIND, btrfs.KIND, vfat.KIND,
    mount.KIND, swap.KIND,
)  # fmt: skip
