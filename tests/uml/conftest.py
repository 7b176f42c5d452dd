# SPDX-License-Identifier: GPL-3.0-or-later
"""`guest`, a Debian 12 with rear and blank disks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import cache, guests

from .disks import Lab, prepare

DISKS = [f"lab{number}" for number in range(1, 8)]


@pytest.fixture(scope="package")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[guests.Machine]:
    """A running Debian 12 with rear installed, at a root shell, shared by all tests that ask for it.

    Its root disk forgets what is written when it ends. Blank SCSI disks of 4 GiB have the serials lab1 to lab7 and
    are found as /dev/disk/lab/lab1. Network cards 52:54:00:00:00:01 to :04 share a wire with nothing else on it, :05
    has a wire to the namespace `guest.network`, where the other end is 10.0.2.2; all are down. Tests leave disks and
    network as they found them.
    """
    directory = tmp_path_factory.mktemp("guest")
    nics = [guests.Nic(f"52:54:00:00:00:0{number}", wire="lan") for number in range(1, 5)]
    with guests.Machine(
        root=guests.image(),
        disks=[guests.Disk(guests.blank(directory / serial, 4096), serial) for serial in DISKS],
        nics=[*nics, guests.Nic("52:54:00:00:00:05", nat=True)],
        transcript=cache.transcript("uml-guest"),
    ) as running:
        running.shell()
        running.install_rear()
        yield running
        running.power_off()


@pytest.fixture(scope="module")
def disks_guest() -> Iterator[guests.Machine]:
    """A Debian 12 with rear."""
    with guests.Machine(root=guests.image(), transcript=cache.transcript("uml-disks")) as running:
        prepare(running)
        yield running


@pytest.fixture
def lab(disks_guest: guests.Machine, tmp_path: Path) -> Iterator[Lab]:
    """The guest with disks, which are gone afterwards."""
    made = Lab(disks_guest, tmp_path)
    yield made
    made.unplug()
    disks_guest.check("cp /run/fstab /etc/fstab; rm -rf /root/lab /var/lib/rear/journal")
