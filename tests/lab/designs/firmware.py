# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines of Debian 12 that are recovered by the other kind of firmware."""

from __future__ import annotations

from dataclasses import replace

from ..machines import Design, Drive
from .debian import BIOS, SECURE_BOOT
from .facts import (
    COMMON,
    FILES,
    IDENTIFIERS,
    block_devices,
)

# Recovered by the other kind of firmware: the plan adds what that needs, and swap becomes smaller for it.
OF_BOTH = [fact for fact in COMMON if "swapon" not in fact]
MADE_BY_GRUB = ["/boot/grub/*", "/boot/grub"]
BIOS_TO_UEFI = replace(
    BIOS,
    name="bios-to-uefi",
    about="as `bios`; an EFI system partition is added, GRUB gets a boot entry",
    facts=[*OF_BOTH, "swapon --show=UUID,LABEL --noheadings",
           "findmnt --noheadings --list --output TARGET,FSTYPE,OPTIONS /", "sfdisk --disk-id /dev/vda",
           "grep -v /boot/efi /etc/fstab"],
    new_firmware="uefi",
    new_drives=BIOS.drives,
    may_differ=[*MADE_BY_GRUB, "/boot/efi", "/boot/efi/*", "/etc/fstab"],
)  # fmt: skip
UEFI_TO_BIOS = Design(
    name="uefi-to-bios",
    loader="GRUB",
    root="ext4",
    about="a BIOS boot partition is added",
    drives=[Drive("system", 4096)],
    firmware="uefi",
    boot_entry=False,
    storage=SECURE_BOOT.storage,
    files=SECURE_BOOT.files,
    settle="grub-install --target=x86_64-efi --efi-directory=/boot/efi --force-extra-removable; update-grub",
    facts=[*COMMON, FILES, "sfdisk --dump /dev/vda | grep -v -i -e first-lba -e 21686148",
           block_devices("/dev/vda1 /dev/vda2", IDENTIFIERS)],
    new_firmware="bios",
    new_drives=[Drive("system", 4096)],
    may_differ=MADE_BY_GRUB,
)  # fmt: skip

ALL = (BIOS_TO_UEFI, UEFI_TO_BIOS)
