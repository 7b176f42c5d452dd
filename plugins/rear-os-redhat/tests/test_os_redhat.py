# SPDX-License-Identifier: GPL-3.0-or-later
"""The install advice of Red Hat Enterprise Linux, Fedora and their kin."""

from __future__ import annotations

import pytest

from rear_core.rescue.programs import base_contents
from rear_os_redhat import PACKAGES, rear_install_advice


def test_programs_of_one_package_are_named_once() -> None:
    assert rear_install_advice(["mmd", "xorriso", "mcopy"]) == "dnf install mtools xorriso"


@pytest.mark.parametrize(("machine", "efi"), [("x86_64", "x64"), ("aarch64", "aa64")])
def test_the_kernel_and_the_signed_boot_loader_have_their_packages(
    machine: str, efi: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    advice = rear_install_advice(["kernel", "shim-signed"])
    assert advice == f"dnf install kernel-core kernel-modules shim-{efi} grub2-efi-{efi}-cdboot"


def test_an_unknown_program_is_searched_for() -> None:
    advice = rear_install_advice(["xorriso", "frobnicate"])
    assert advice == "dnf install xorriso; dnf provides '*/bin/frobnicate'"


@pytest.mark.parametrize("program", ["mount.nfs", "lvm", "mkfs.xfs", "cryptsetup", "sshd", "sfdisk"])
def test_what_recovery_needs_is_known(program: str) -> None:
    assert rear_install_advice([program]).startswith("dnf install ")


def test_no_program_is_claimed_by_two_packages() -> None:
    things = [thing for words in PACKAGES.values() for thing in words.split()]
    assert len(things) == len(set(things))


def test_every_program_of_the_rescue_system_has_a_package() -> None:
    advice = rear_install_advice([*base_contents().programs, *base_contents().optional_programs])
    assert "search" not in advice
    assert "provides" not in advice
