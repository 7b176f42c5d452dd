# SPDX-License-Identifier: GPL-3.0-or-later
"""What guests need to have a disk on a SAN, at the other end of iSCSI."""

from __future__ import annotations

import subprocess
from pathlib import Path

from . import cache, debian

PACKAGES = ("open-iscsi", "multipath-tools-boot")
FILES = ("usr/sbin/iscsi*", "usr/lib/x86_64-linux-gnu/libopeniscsiusr.so*", "usr/lib/x86_64-linux-gnu/libisns*")
TARGET = "iqn.2026-11.lab:root"
INITIATOR = "iqn.2026-11.lab:debian12"
# tgtd makes it of the numbers of target and unit.
WWID = "360000000000000000e00000000010001"


def initiator() -> Path:
    """An archive with the initiator, for guests that have no such package."""
    tree = debian.tree(*PACKAGES)

    def make(path: Path) -> None:
        wanted = [name.relative_to(tree) for pattern in FILES for name in tree.glob(pattern)]
        argv = ["tar", "--create", "--numeric-owner", f"--file={path}", f"--directory={tree}"]
        subprocess.run([*argv, *wanted], check=True)

    return cache.cached("san-initiator", cache.digest(tree.name, *FILES), make)
