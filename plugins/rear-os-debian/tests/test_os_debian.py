# SPDX-License-Identifier: GPL-3.0-or-later
"""The install advice of Debian, Ubuntu and their kin."""

from __future__ import annotations

import pytest

from rear_core.rescue.programs import base_contents
from rear_os_debian import PACKAGES, kernel_package, rear_install_advice


def test_programs_of_one_package_are_named_once() -> None:
    assert rear_install_advice(["mmd", "xorriso", "mcopy"]) == "apt-get install mtools xorriso"


@pytest.mark.parametrize(
    ("machine", "package"),
    [("x86_64", "grub-efi-amd64-signed"), ("aarch64", "grub-efi-arm64-signed"), ("i686", "grub-efi-ia32-signed")],
)
def test_the_signed_boot_loader_comes_in_two_packages(
    machine: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert rear_install_advice(["shim-signed"]) == f"apt-get install shim-signed {package}"


@pytest.mark.parametrize(
    ("ids", "machine", "package"),
    [
        (("debian",), "x86_64", "linux-image-amd64"),
        (("debian",), "aarch64", "linux-image-arm64"),
        (("linuxmint", "ubuntu", "debian"), "x86_64", "linux-image-generic"),
    ],
)
def test_the_kernel_has_a_package(ids: tuple[str, ...], machine: str, package: str) -> None:
    assert kernel_package(ids, machine) == package


def test_an_unknown_program_is_searched_for() -> None:
    advice = rear_install_advice(["xorriso", "frobnicate"])
    assert advice == "apt-get install xorriso; apt-file search bin/frobnicate"


@pytest.mark.parametrize("program", ["mount.nfs", "lvm", "mkfs.xfs", "cryptsetup", "sshd", "sfdisk"])
def test_what_recovery_needs_is_known(program: str) -> None:
    assert rear_install_advice([program]).startswith("apt-get install ")


def test_no_program_is_claimed_by_two_packages() -> None:
    things = [thing for words in PACKAGES.values() for thing in words.split()]
    assert len(things) == len(set(things))


def test_every_program_of_the_rescue_system_has_a_package() -> None:
    advice = rear_install_advice([*base_contents().programs, *base_contents().optional_programs])
    assert "search" not in advice
    assert "provides" not in advice
