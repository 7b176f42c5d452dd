# SPDX-License-Identifier: GPL-3.0-or-later
"""The firmware that started this machine, and the variables UEFI keeps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# UEFI Specification, "Globally Defined Variables": the vendor GUID of BootOrder, SecureBoot and the like.
GLOBAL_VARIABLE = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
# Boot Loader Interface (https://systemd.io/BOOT_LOADER_INTERFACE): that of LoaderInfo, LoaderEntryDefault and the like.
LOADER_VARIABLE = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"


@dataclass(frozen=True)
class Firmware:
    """`mode` is "bios" or "uefi"; `secure_boot` is None where it cannot be known, as on BIOS."""

    mode: str
    secure_boot: bool | None = None


def read_firmware(root: Path = Path("/")) -> Firmware:
    """How the running system was started."""
    if not (root / "sys/firmware/efi").is_dir():
        return Firmware("bios")
    try:
        value = read_efi_variable("SecureBoot", root)
    except OSError:
        value = None
    return Firmware("uefi", None if not value else value[0] == 1)


def read_efi_variable(name: str, root: Path = Path("/"), vendor: str = GLOBAL_VARIABLE) -> bytes | None:
    """The value of an EFI variable, None when it is not set or efivarfs is not mounted.

    A file of efivarfs is four bytes of attributes and then the value
    (Linux Documentation/filesystems/efivarfs.rst).
    """
    path = root / f"sys/firmware/efi/efivars/{name}-{vendor}"
    try:
        return path.read_bytes()[4:]
    except FileNotFoundError:
        return None
