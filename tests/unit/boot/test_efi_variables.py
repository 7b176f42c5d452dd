# SPDX-License-Identifier: GPL-3.0-or-later
"""UEFI boot entries read from variables."""

from __future__ import annotations

import contextlib
import struct
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rear_core.boot.efi_variables import BootEntries, BootEntry, parse_load_option, read_boot_entries
from rear_core.system.firmware import GLOBAL_VARIABLE

ESP = "1f3b7c3e-6a54-4a3a-9f5e-0d2c5b7f9a11"
END = struct.pack("<BBH", 0x7F, 0xFF, 4)
SHIM = "\\EFI\\debian\\shimx64.efi"


def node(kind: int, subkind: int, content: bytes) -> bytes:
    return struct.pack("<BBH", kind, subkind, 4 + len(content)) + content


def hard_drive(guid: str = ESP) -> bytes:
    return node(4, 1, struct.pack("<IQQ", 1, 2048, 1048576) + uuid.UUID(guid).bytes_le + bytes([2, 2]))


def mbr_partition(disk_id: int, number: int) -> bytes:
    """What efibootmgr writes for a disk with an MBR."""
    return node(4, 1, struct.pack("<IQQI12x", number, 2048, 1048576, disk_id) + bytes([1, 1]))


def file_path(path: str) -> bytes:
    return node(4, 4, (path + "\0").encode("utf-16-le"))


def load_option(label: str, paths: bytes, attributes: int = 1, data: bytes = b"") -> bytes:
    return struct.pack("<IH", attributes, len(paths)) + (label + "\0").encode("utf-16-le") + paths + data


def write_variable(root: Path, name: str, value: bytes) -> None:
    directory = root / "sys/firmware/efi/efivars"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{name}-{GLOBAL_VARIABLE}").write_bytes(b"\x07\0\0\0" + value)


def test_an_entry_tells_label_loader_and_partition() -> None:
    option = load_option("debian", hard_drive() + file_path(SHIM) + END, data=b"\x01\x02")
    assert parse_load_option("0003", option) == BootEntry("0003", "debian", True, SHIM, ESP)


@pytest.mark.parametrize(
    ("disk_id", "number", "partuuid"),
    [(0x12345678, 1, "12345678-01"), (0x00AB12CD, 11, "00ab12cd-0b"), (0, 1, "")],
    ids=["primary", "logical", "disk without an id"],
)
def test_a_partition_of_an_mbr_is_told_as_the_kernel_does(disk_id: int, number: int, partuuid: str) -> None:
    option = load_option("debian", mbr_partition(disk_id, number) + file_path(SHIM) + END)
    assert parse_load_option("0003", option) == BootEntry("0003", "debian", True, SHIM, partuuid)


def test_an_entry_without_a_file_has_neither_loader_nor_partition() -> None:
    network = node(3, 11, bytes(33)) + END
    option = load_option("PXE", network, attributes=0)
    assert parse_load_option("0001", option) == BootEntry("0001", "PXE", active=False)


def test_a_path_in_several_nodes_is_joined() -> None:
    paths = hard_drive() + file_path("\\EFI\\debian") + file_path("\\grubx64.efi") + END
    assert parse_load_option("0000", load_option("x", paths)).loader == "\\EFI\\debian\\grubx64.efi"


def test_entries_order_and_current_are_read_from_the_variables(tmp_path: Path) -> None:
    write_variable(tmp_path, "Boot0003", load_option("debian", hard_drive() + file_path(SHIM) + END))
    write_variable(tmp_path, "Boot00A0", load_option("Setup", END))
    write_variable(tmp_path, "Boot0004", b"\x01")
    write_variable(tmp_path, "BootOrder", struct.pack("<HH", 3, 0xA0))
    write_variable(tmp_path, "BootCurrent", struct.pack("<H", 3))
    write_variable(tmp_path, "BootOptionSupport", struct.pack("<I", 3))
    found = read_boot_entries(tmp_path)
    assert [entry.label for entry in found.entries] == ["debian", "Setup"]
    assert (found.order, found.current) == (("0003", "00A0"), "0003")
    assert found.get("0003") == BootEntry("0003", "debian", True, SHIM, ESP)
    assert found.get("0004") is None


def test_a_machine_without_efi_has_no_entries(tmp_path: Path) -> None:
    assert read_boot_entries(tmp_path) == BootEntries()


@pytest.mark.parametrize("length", range(12))
def test_an_entry_that_is_cut_off_is_refused(length: int) -> None:
    with pytest.raises((ValueError, struct.error)):
        parse_load_option("0000", load_option("debian", END)[:length])


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(value: bytes) -> None:
    with contextlib.suppress(ValueError, struct.error):
        assert parse_load_option("0000", value).number == "0000"
