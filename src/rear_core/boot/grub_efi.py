# SPDX-License-Identifier: GPL-3.0-or-later
"""GRUB 2 for UEFI, with or without shim: recognised on the EFI system partition and in the EFI variables."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import grub_conversion, grub_efi_install, grub_menu, grub_references, grub_rescue
from .efi_partitions import child, describe
from .loader import BootLoader, Facts

if TYPE_CHECKING:
    from ..run import Run

# A function that GRUB's modules are linked to by its name: all images have it, from 2.06 to 2.14, signed or not. Its
# greeting is gone since 2.12.
MARK = b"grub_dl_load"
# openSUSE gives systemd-boot the name of GRUB where shim starts it; so does rEFInd's installer.
SYSTEMD_BOOT = b"#### LoaderInfo: systemd-boot"
OTHERS = (SYSTEMD_BOOT, "refind.conf".encode("utf-16-le"))


@dataclass(frozen=True)
class Installation:
    """A folder of the EFI system partition with GRUB in it; paths are relative to the partition's root.

    `loader` is what the firmware starts: shim when there is one, else GRUB itself.
    """

    vendor: str
    loader: str
    grub: str
    shim: bool


def find_installations(esp: Path) -> list[Installation]:
    """Every GRUB below EFI/ of a mounted EFI system partition, sorted by folder."""
    efi = child(esp, "EFI")
    if efi is None:
        return []
    folders = sorted(path for path in efi.iterdir() if path.is_dir())
    return [found for found in (_installation(esp, folder) for folder in folders) if found]


def _installation(esp: Path, folder: Path) -> Installation | None:
    programs = {path.name.lower(): path for path in sorted(folder.iterdir()) if path.suffix.lower() == ".efi"}
    shim = next((path for name, path in programs.items() if name.startswith("shim")), None)
    named = [path for name, path in programs.items() if name.startswith("grub")]
    contents = {path: path.read_bytes() for path in named}
    grub = next((path for path in named if not any(mark in contents[path] for mark in OTHERS)), None)
    fallback = next((path for name, path in programs.items() if name.startswith("boot")), None)
    if folder.name.upper() == "BOOT" and fallback:
        # What the firmware starts without a boot entry is either GRUB itself, or shim with GRUB beside it.
        if MARK in fallback.read_bytes():
            grub = fallback
        elif grub:
            shim = fallback
    if grub is None:
        return None
    return Installation(
        vendor=folder.name,
        loader=(shim or grub).relative_to(esp).as_posix(),
        grub=grub.relative_to(esp).as_posix(),
        shim=shim is not None,
    )


def detect(run: Run) -> Facts | None:
    """GRUB on the mounted EFI system partitions, and the boot entries that lead to it."""
    facts = describe(run, find_installations, "GRUB")
    return facts and {**facts, "platforms": grub_conversion.platforms(os.uname().machine)}


GRUB_EFI = BootLoader(
    "GRUB EFI",
    detect,
    "uefi",
    grub_efi_install.install,
    grub_efi_install.verify,
    grub_menu.entries,
    grub_menu.notes,
    grub_references.files,
    rescue_menu=grub_rescue.MENU,
    adopt=grub_conversion.for_efi,
)
