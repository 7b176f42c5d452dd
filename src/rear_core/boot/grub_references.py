# SPDX-License-Identifier: GPL-3.0-or-later
"""Where GRUB's own files name devices."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..storage.references import NamingFile, Reader, Reference, at
from .grub_menu import padded

GRUB_CFG = (
    "/boot/grub/grub.cfg", "/boot/grub2/grub.cfg", "/boot/efi/EFI/*/grub.cfg",
    "/boot/grub/custom.cfg", "/boot/grub2/custom.cfg", "/boot/efi/EFI/*/custom.cfg", "/etc/grub.d/*custom*",
)  # fmt: skip
ENVIRONMENTS = ("/boot/grub/grubenv", "/boot/grub2/grubenv", "/boot/efi/EFI/*/grubenv")
DEFAULTS = ("/etc/default/grub", "/etc/default/grub.d/*.cfg")


def searches(text: str) -> Iterator[Reference]:
    """The file systems that grub.cfg searches by their UUIDs."""
    for match in re.finditer(r"(?:--fs-uuid\b[^\n]*?|search\.fs_uuid)[ \t]+([0-9a-fA-F-]{8,})(?=\s|$)", text):
        yield Reference(match.start(1), match.end(1), "UUID", match[1], optional=True)


def device_map(text: str) -> Iterator[Reference]:
    """GRUB's names of disks."""
    for match in re.finditer(r"^\(\w+\)\s+(/dev/\S+)", text, re.MULTILINE):
        yield from at(match, 1, True)


def install_devices(text: str) -> Iterator[Reference]:
    """The devices of /etc/default/grub_installdevice, one a line among words like `activate` (SUSE)."""
    for match in re.finditer(r"^(/dev/\S+)", text, re.MULTILINE):
        yield from at(match, 1, True)


def files(words: Reader) -> list[NamingFile]:
    """All of them; `words` finds the devices in words for the kernel."""
    return [
        *(NamingFile(pattern, words) for pattern in DEFAULTS),
        *(NamingFile(pattern, words, whole=padded) for pattern in ENVIRONMENTS),
        *(NamingFile(pattern, lambda text: [*words(text), *searches(text)]) for pattern in GRUB_CFG),
        NamingFile("/boot/grub/device.map", device_map),
        NamingFile("/boot/grub2/device.map", device_map),
        NamingFile("/etc/default/grub_installdevice", install_devices),
    ]
