# SPDX-License-Identifier: GPL-3.0-or-later
"""What was built is compared with what was planned, without what comes by itself."""

from __future__ import annotations

from dataclasses import replace

from rear_core.storage.disk import Disk
from rear_core.storage.layout import make
from rear_core.storage.outcome import outcome
from rear_core.storage.technologies.btrfs import Btrfs

DISK = Disk("disk:S1", (), 1 << 30)
MOUNTED = Btrfs("fs:u", ("disk:S1",), "u", features=("EXTENDED_IREF", "BIG_METADATA", "COMPRESS_ZSTD"))


def test_a_btrfs_that_was_only_just_mounted_has_not_lost_its_features() -> None:
    fresh = replace(MOUNTED, features=("EXTENDED_IREF",))
    assert outcome(make([DISK, MOUNTED]), make([DISK, fresh])) == ({}, [])
    lost = replace(MOUNTED, features=("BIG_METADATA",))
    said = ["file system u: features no longer EXTENDED_IREF"]
    assert outcome(make([DISK, MOUNTED]), make([DISK, lost])) == ({}, said)
