# SPDX-License-Identifier: GPL-3.0-or-later
"""Storage that no test makes: what becomes of it is only compared, by what the tools say of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Compared:
    """What is run nowhere, what becomes of it, and why no test makes it.

    `test` names a file of tests, or the folder of a recorded machine.
    """

    storage: str
    outcome: str
    test: str
    reason: str


MACHINES = "tests/machines/"
ALL = (
    Compared("SD card of a board, with hardware partitions of flash memory beside it", "described and planned",
             f"{MACHINES}composed-board-sd-card", "the kernel of the tests has no SD cards; written by hand"),
    Compared("btrfs on LUKS with subvolumes of containers, loop devices of snaps, FUSE, compressed memory",
             "described and planned, containers and the like left out by name",
             f"{MACHINES}composed-laptop-luks-btrfs", "the technologies are run one by one; written by hand"),
    Compared("btrfs as SUSE lays it out, with snapshots of snapper", "described and planned, snapshots said",
             f"{MACHINES}composed-sles15-snapper", "no system of SUSE can be installed in the tests; written by hand"),
    Compared("btrfs over an NVMe and a SATA disk", "described and planned", f"{MACHINES}debian-btrfs-nvme-sata",
             "the kernel of the tests has neither; recorded in QEMU, where a machine with ext4 comes back on NVMe"),
    Compared("ZFS and an iSCSI disk beside a degraded array", "left out by name",
             f"{MACHINES}composed-degraded-array", "ZFS is no part of Linux; written by hand"),
    Compared("a disk in use that nobody may read, as in some containers", "described, with a warning",
             f"{MACHINES}micro-vm-unreadable-disk", "such a machine is recovered from outside"),
    Compared("VDO", "refused by name", "tests/unit/storage/technologies/test_lvm.py",
             "the kernel of the tests has no module for it"),
)  # fmt: skip
