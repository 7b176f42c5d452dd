# SPDX-License-Identifier: GPL-3.0-or-later
"""POWER, little endian: machines that start by Open Firmware or by petitboot."""

from __future__ import annotations

from .architecture import Architecture

PPC64LE = Architecture(
    ("ppc64le",),
    consoles="console=hvc0 console=tty0",
    missing="media need GRUB for powerpc-ieee1275, and a recovery the PReP partition and the boot list of the firmware",
)
