# SPDX-License-Identifier: GPL-3.0-or-later
"""The install advice of SUSE Linux Enterprise and openSUSE."""

from __future__ import annotations

import pytest

from rear_core.rescue.programs import base_contents
from rear_os_suse import PACKAGES, rear_install_advice


def test_programs_of_one_package_are_named_once() -> None:
    assert rear_install_advice(["mmd", "xorriso", "mcopy"]) == "zypper install mtools xorriso"


@pytest.mark.parametrize(("machine", "grub"), [("x86_64", "grub2-x86_64-efi"), ("aarch64", "grub2-arm64-efi")])
def test_the_kernel_and_the_signed_boot_loader_have_their_packages(
    machine: str, grub: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    advice = rear_install_advice(["kernel", "shim-signed"])
    assert advice == f"zypper install kernel-default shim {grub}"


def test_an_unknown_program_is_searched_for() -> None:
    advice = rear_install_advice(["xorriso", "frobnicate"])
    assert advice == "zypper install xorriso; zypper search --provides --file-list bin/frobnicate"


@pytest.mark.parametrize("program", ["mount.nfs", "lvm", "mkfs.xfs", "cryptsetup", "sshd", "sfdisk"])
def test_what_recovery_needs_is_known(program: str) -> None:
    assert rear_install_advice([program]).startswith("zypper install ")


def test_no_program_is_claimed_by_two_packages() -> None:
    things = [thing for words in PACKAGES.values() for thing in words.split()]
    assert len(things) == len(set(things))


def test_every_program_of_the_rescue_system_has_a_package() -> None:
    advice = rear_install_advice([*base_contents().programs, *base_contents().optional_programs])
    assert "search" not in advice
    assert "provides" not in advice
