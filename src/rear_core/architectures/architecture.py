# SPDX-License-Identifier: GPL-3.0-or-later
"""What an architecture is to rear."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Architecture:
    """A kind of processor, with the firmware and consoles that its machines have.

    `machines` are its names in uname(2). `efi` is what UEFI calls it in the names of files, as in BOOTX64.EFI (UEFI
    Specification 2.10, 3.5.1.1), and `grub_efi` what GRUB calls it there; both are empty where machines have no UEFI.
    `consoles` are words for the kernel. `missing` says why rear cannot make media for it, if it cannot.
    """

    machines: tuple[str, ...]
    efi: str = ""
    grub_efi: str = ""
    bios: bool = False
    consoles: str = "console=tty0"
    missing: str = ""

    @property
    def fallback(self) -> str:
        """The file that firmware starts from a medium or disk without a boot entry."""
        return f"BOOT{self.efi.upper()}.EFI"

    def media_firmware(self, mode: str) -> str:
        """The firmware, "bios" or "uefi", that media have to start on for a machine that was started in a `mode`.

        Where there is no BIOS, what starts a machine without UEFI is U-Boot or its like, which knows UEFI's way too.
        """
        return mode if self.bios or not self.efi else "uefi"
