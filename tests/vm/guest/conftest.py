# SPDX-License-Identifier: GPL-3.0-or-later
"""`guest`, a Debian 12 with rear and blank disks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab import cache, debian, qemu

GUEST_DISKS = {"lab1": "virtio", "lab2": "virtio", "lab3": "virtio", "lab4": "virtio",
               "lab5": "scsi", "lab6": "nvme", "lab7": "sata"}  # fmt: skip


@pytest.fixture(scope="package")
def guest(tmp_path_factory: pytest.TempPathFactory, accelerator: tuple[str, ...]) -> Iterator[qemu.Machine]:
    """A running Debian 12 with rear installed, at a root shell, shared by all tests that ask for it.

    Its root disk forgets what is written when the machine ends. Blank disks of 4 GiB have the serials lab1 to
    lab4 (virtio), lab5 (SCSI), lab6 (NVMe) and lab7 (SATA). Network cards 52:54:00:00:00:01 to :04 share a
    wire with nothing else on it, :05 is behind NAT (DHCP, the host is 10.0.2.2); all are down. Tests leave
    disks and network as they found them.
    """
    directory = tmp_path_factory.mktemp("guest")
    system = debian.disk()
    root = qemu.Disk(system.path, "root", snapshot=True)
    blanks = [qemu.Disk(qemu.blank(directory / serial, 4096), serial, bus) for serial, bus in GUEST_DISKS.items()]
    nics = [qemu.Nic(f"52:54:00:00:00:0{number}", wire="lan") for number in range(1, 5)]
    with qemu.Machine(
        disks=[root, *blanks],
        nics=[*nics, qemu.Nic("52:54:00:00:00:05", nat=True)],
        kernel=debian.kernel(),
        initrd=system.initrd,
        command_line=debian.COMMAND_LINE,
        accelerator=accelerator,
        transcript=cache.transcript("guest"),
    ) as running:
        running.shell("root@debian12:~# ")
        yield running
        running.power_off()
