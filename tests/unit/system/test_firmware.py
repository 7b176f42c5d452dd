# SPDX-License-Identifier: GPL-3.0-or-later
"""The firmware that started the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from rear_core.system.firmware import GLOBAL_VARIABLE, Firmware, read_efi_variable, read_firmware


def variables(root: Path) -> Path:
    directory = root / "sys/firmware/efi/efivars"
    directory.mkdir(parents=True)
    return directory


def test_without_efi_directory_it_is_bios(tmp_path: Path) -> None:
    assert read_firmware(tmp_path) == Firmware("bios", None)


@pytest.mark.parametrize(("value", "state"), [(b"\x01", True), (b"\x00", False)])
def test_secure_boot_is_read_behind_the_attributes(tmp_path: Path, value: bytes, state: bool) -> None:
    (variables(tmp_path) / f"SecureBoot-{GLOBAL_VARIABLE}").write_bytes(b"\x06\x00\x00\x00" + value)
    assert read_firmware(tmp_path) == Firmware("uefi", state)


def test_secure_boot_is_unknown_without_the_variable_or_with_an_empty_one(tmp_path: Path) -> None:
    directory = variables(tmp_path)
    assert read_firmware(tmp_path) == Firmware("uefi", None)
    (directory / f"SecureBoot-{GLOBAL_VARIABLE}").write_bytes(b"\x06\x00")
    assert read_firmware(tmp_path) == Firmware("uefi", None)


def test_an_unset_variable_is_none(tmp_path: Path) -> None:
    assert read_efi_variable("BootNext", tmp_path) is None
