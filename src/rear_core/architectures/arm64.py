# SPDX-License-Identifier: GPL-3.0-or-later
"""ARM with 64 bits: servers and virtual machines that start by UEFI.

The serial console of the Server Base System Architecture is a PL011, ttyAMA0, and the main one: most of them have no
screen. Firmware hands a device tree or tables of ACPI to the kernel, so media carry no device trees; boards whose
firmware wants one from a disk need their own image.
"""

from __future__ import annotations

from .architecture import Architecture

ARM64 = Architecture(("aarch64",), "aa64", "arm64-efi", consoles="console=tty0 console=ttyAMA0,115200")
