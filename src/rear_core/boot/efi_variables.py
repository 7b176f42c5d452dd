# SPDX-License-Identifier: GPL-3.0-or-later
"""The boot entries that UEFI keeps in its variables.

The formats are those of the UEFI Specification 2.10: "Globally Defined Variables" (3.3), "Load Options"
(3.1.3) and "EFI Device Path Protocol" (10.3). All numbers are little endian.
"""

from __future__ import annotations

import re
import struct
import uuid
from dataclasses import dataclass
from pathlib import Path

from ..system.firmware import GLOBAL_VARIABLE, LOADER_VARIABLE, read_efi_variable

ACTIVE = 1
MEDIA, HARD_DRIVE, FILE_PATH = 4, 1, 4
END_OF_PATH = 0x7F
# How the node of a partition tells which one it is.
MBR_SIGNATURE, GUID_SIGNATURE = 1, 2


@dataclass(frozen=True)
class BootEntry:
    """A Boot#### variable.

    `loader` is a path as in `\\EFI\\debian\\shimx64.efi`, `partition` the PARTUUID of the partition it is on: on GPT
    its GUID, on an MBR the id of the disk and the number (`12345678-01`). Entries for network cards and the like have
    neither.
    """

    number: str
    label: str
    active: bool
    loader: str = ""
    partition: str = ""


@dataclass(frozen=True)
class BootEntries:
    """All boot entries; `current` started this system, `order` is what the firmware tries in turn."""

    entries: tuple[BootEntry, ...] = ()
    order: tuple[str, ...] = ()
    current: str = ""

    def get(self, number: str) -> BootEntry | None:
        """The entry of a number like "0003"."""
        return next((entry for entry in self.entries if entry.number == number), None)


def read_boot_entries(root: Path = Path("/")) -> BootEntries:
    """The boot entries of this machine, none on BIOS; a variable that breaks the rules is left out."""
    directory = root / "sys/firmware/efi/efivars"
    entries = []
    for path in sorted(directory.glob(f"Boot*-{GLOBAL_VARIABLE}")):
        name = path.name.partition("-")[0]
        value = read_efi_variable(name, root) if re.fullmatch("Boot[0-9A-F]{4}", name) else None
        if value is not None:
            try:
                entries.append(parse_load_option(name[4:], value))
            except (struct.error, ValueError):
                continue
    current = _numbers(read_efi_variable("BootCurrent", root))
    return BootEntries(tuple(entries), _numbers(read_efi_variable("BootOrder", root)), current[0] if current else "")


def read_loader_info(root: Path = Path("/")) -> str:
    """What the boot loader that started this machine calls itself, as `systemd-boot 252.39`; "" where it does not say.

    GRUB does since 2.12. The variable is gone when the machine is switched off.
    """
    return read_loader_variable("LoaderInfo", root)


def read_loader_variable(name: str, root: Path = Path("/")) -> str:
    """A text of the Boot Loader Interface, "" when it is not set."""
    value = read_efi_variable(name, root, LOADER_VARIABLE) or b""
    return value.decode("utf-16-le", errors="replace").rstrip("\0")


def _numbers(value: bytes | None) -> tuple[str, ...]:
    value = value or b""
    return tuple(f"{number:04X}" for (number,) in struct.iter_unpack("<H", value[: len(value) // 2 * 2]))


def parse_load_option(number: str, value: bytes) -> BootEntry:
    """Read an EFI_LOAD_OPTION: attributes, length of the paths, label, device paths, data for the loader.

    Raises `ValueError` or `struct.error` for one that is cut off.
    """
    attributes, paths_length = struct.unpack_from("<IH", value)
    label, offset = _utf16(value, 6)
    loader, partition = _parse_device_path(value[offset : offset + paths_length])
    return BootEntry(number, label, bool(attributes & ACTIVE), loader, partition)


def _parse_device_path(path: bytes) -> tuple[str, str]:
    """Loader and PARTUUID of a device path; each is empty when the path does not say."""
    loader = partition = ""
    offset = 0
    while offset + 4 <= len(path):
        kind, subkind, length = struct.unpack_from("<BBH", path, offset)
        if kind == END_OF_PATH or length < 4:
            break
        node = path[offset + 4 : offset + length]
        if (kind, subkind) == (MEDIA, HARD_DRIVE) and len(node) >= 38:
            partition = _partuuid(node)
        elif (kind, subkind) == (MEDIA, FILE_PATH):
            loader += _utf16(node + b"\0\0", 0)[0]
        offset += length
    return loader, partition


def _partuuid(node: bytes) -> str:
    """What the kernel calls the partition of a Hard Drive media device path; "" when it has neither GUID nor disk id.

    On an MBR only the first four bytes of the signature count.
    """
    # partition number (4 bytes), start (8), size (8), signature (16), format (1), signature type (1)
    if node[37] == GUID_SIGNATURE:
        return str(uuid.UUID(bytes_le=node[20:36]))
    number, disk = struct.unpack_from("<I16xI", node)
    return f"{disk:08x}-{number:02x}" if node[37] == MBR_SIGNATURE and disk else ""


def _utf16(value: bytes, offset: int) -> tuple[str, int]:
    """The text that starts at an offset and ends with a zero, and the offset behind it."""
    for end in range(offset, len(value) - 1, 2):
        if value[end : end + 2] == b"\0\0":
            return value[offset:end].decode("utf-16-le", errors="replace"), end + 2
    raise ValueError("text without an end")
