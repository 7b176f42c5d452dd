# SPDX-License-Identifier: GPL-3.0-or-later
"""What rear asks of every plugin."""

from __future__ import annotations

from pathlib import Path

import pytest

from rear_boot_systemd.partition import MARK, NAME
from rear_core.storage.disk import Disk, Partition, PartitionTable
from rear_core.storage.layout import make
from rear_core.storage.mount import Mount
from rear_core.storage.technologies.ext import Ext
from rear_core.storage.technologies.vfat import Fat
from rear_core.testing.conformance import *  # noqa: F403
from rear_core.testing.harness import Installed, Supply

DISTRIBUTION = "rear-boot-systemd"

ROOT, PARTUUID = "0a1b2c3d-0001-4a5b-8c6d-7e8f9a0b1c2d", "0a1b2c3d-0002-4a5b-8c6d-7e8f9a0b1c2d"
LOADER = "EFI/systemd/systemd-bootx64.efi"
ENTRY = f"title Debian\noptions root=UUID={ROOT} ro\nlinux /linux\ninitrd /initrd\n"
FILES = {
    f"efi/{LOADER}": MARK,
    "efi/loader/loader.conf": b"default debian*\n",
    "efi/loader/entries/debian.conf": ENTRY.encode(),
    "efi/linux": b"kernel",
    "efi/initrd": b"archive",
    "etc/fstab": f"UUID={ROOT} / ext4 defaults 0 1\n".encode(),
    "etc/kernel/cmdline": f"root=UUID={ROOT} ro\n".encode(),
}
LAYOUT = make(
    [
        Disk("disk:a", (), 10 << 30, "/dev/sda"), PartitionTable("table:a", ("disk:a",), "gpt"),
        Partition("partition:1", ("table:a",), 1, 1 << 20, 1 << 30, "c1", uuid=PARTUUID, device="/dev/sda1"),
        Partition("partition:2", ("table:a",), 2, 2 << 30, 4 << 30, "c2", device="/dev/sda2"),
        Fat("fs:efi", ("partition:1",), "AB-CD"), Ext("fs:root", ("partition:2",), ROOT),
        Mount("mount:/", ("fs:root",), "/", "ext4"), Mount("mount:/efi", ("fs:efi", "mount:/"), "/efi", "vfat"),
    ]
)  # fmt: skip
INSTALLATION = {"vendor": "systemd", "loader": LOADER, "program": LOADER, "shim": False, "entries": []}
FACTS = {"partitions": [{"mountpoint": "/efi", "installations": [INSTALLATION]}], "boot_order": [], "started": True}


@pytest.fixture
def supply(tmp_path: Path) -> Supply:
    """A system with one entry, whose loader the firmware starts by its fallback path as well."""
    for name, content in {**FILES, "efi/EFI/BOOT/BOOTX64.EFI": MARK}.items():
        path = tmp_path / "systemd-boot" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return Supply(systems=[Installed(NAME, tmp_path / "systemd-boot", LAYOUT, FACTS, [f"/efi/{LOADER}"])])
