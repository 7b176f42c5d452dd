# SPDX-License-Identifier: GPL-3.0-or-later
"""PCs, with 64 and 32 bits."""

from __future__ import annotations

from .architecture import Architecture

CONSOLES = "console=ttyS0,115200 console=tty0"

ALL = (
    Architecture(("x86_64",), "x64", "x86_64-efi", bios=True, consoles=CONSOLES),
    Architecture(("i686", "i586", "i386"), "ia32", "i386-efi", bios=True, consoles=CONSOLES),
)
