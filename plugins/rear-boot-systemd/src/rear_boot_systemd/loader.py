# SPDX-License-Identifier: GPL-3.0-or-later
"""systemd-boot as the core asks for it."""

from __future__ import annotations

from rear_core.boot.loader import BootLoader
from rear_core.storage.references import NamingFile, Reader

from . import menu, partition, rescue

# Beside those that the core knows whatever the boot loader. What unified kernel images name is in `renew`.
NAMING = ("/usr/lib/kernel/cmdline", "/etc/kernel/uki.conf")


def naming_files(words: Reader) -> list[NamingFile]:
    """The files with words for the kernel of which kernel-install(8) and ukify(1) make entries."""
    return [NamingFile(pattern, words) for pattern in NAMING]


SYSTEMD_BOOT = BootLoader(
    partition.NAME, partition.detect, "uefi", partition.install, partition.verify, menu.entries, menu.notes,
    naming_files, rescue_menu=rescue.MENU,
)  # fmt: skip
