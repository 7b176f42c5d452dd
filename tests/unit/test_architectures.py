# SPDX-License-Identifier: GPL-3.0-or-later
"""What rear knows of architectures, and what it says of those that it does not support."""

from __future__ import annotations

import pytest

from rear_core.architectures import ALL, find, supported
from rear_core.errors import Refused


@pytest.mark.parametrize(
    ("machine", "fallback", "platform"),
    [
        ("x86_64", "BOOTX64.EFI", "x86_64-efi"),
        ("i586", "BOOTIA32.EFI", "i386-efi"),
        ("aarch64", "BOOTAA64.EFI", "arm64-efi"),
    ],
)
def test_what_firmware_and_grub_call_an_architecture(machine: str, fallback: str, platform: str) -> None:
    found = supported(machine)
    assert (found.fallback, found.grub_efi) == (fallback, platform)


@pytest.mark.parametrize(
    ("machine", "started", "firmware"),
    [("x86_64", "bios", "bios"), ("x86_64", "uefi", "uefi"), ("aarch64", "bios", "uefi"), ("aarch64", "uefi", "uefi")],
)
def test_media_are_for_uefi_where_there_is_no_bios(machine: str, started: str, firmware: str) -> None:
    assert supported(machine).media_firmware(started) == firmware


@pytest.mark.parametrize(
    ("machine", "missing"), [("s390x", "zipl"), ("ppc64le", "PReP"), ("riscv64", "does not know how these machines")]
)
def test_what_is_not_supported_is_said_with_what_is_missing(machine: str, missing: str) -> None:
    with pytest.raises(Refused, match=f"does not support {machine} yet: .*{missing}"):
        supported(machine)


def test_a_machine_is_of_one_architecture() -> None:
    names = [name for each in ALL for name in each.machines]
    assert len({*names}) == len(names) and all(find(name) for name in names)
    assert all(each.missing or (each.efi and each.grub_efi) for each in ALL)
