# SPDX-License-Identifier: GPL-3.0-or-later
"""GRUB for UEFI by the files of the EFI system partition and the boot entries."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rear_core.boot import efi_partitions, loader
from rear_core.boot.efi_partitions import entries_for
from rear_core.boot.efi_variables import BootEntries, BootEntry
from rear_core.boot.grub_efi import GRUB_EFI, SYSTEMD_BOOT, Installation, detect, find_installations
from rear_core.boot.loader import detect_boot_loaders
from rear_core.plugins import Plugins
from rear_core.run import Run
from rear_core.settings import Sources, evaluate
from rear_core.shell import Outcome
from rear_core.system import Firmware, OperatingSystem, System
from rear_core.testing.fake_shell import FakeShell

FINDMNT = "findmnt --json --list --types vfat --output TARGET,SOURCE,PARTUUID"
GUID = "1f3b7c3e-6a54-4a3a-9f5e-0d2c5b7f9a11"
# What this machine's release of GRUB makes of it.
IMAGES = sorted(Path("/usr/lib/grub").glob("x86_64-efi*/**/grub*x64.efi*"))
SIGNED = Path("/usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed")


def esp(root: Path, *names: str, content: bytes = b"MZ") -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def test_shim_starts_grub_in_a_vendor_folder(tmp_path: Path) -> None:
    esp(tmp_path, "EFI/debian/shimx64.efi", "EFI/debian/grubx64.efi", "EFI/debian/mmx64.efi")
    assert find_installations(tmp_path) == [
        Installation("debian", "EFI/debian/shimx64.efi", "EFI/debian/grubx64.efi", shim=True)
    ]


def test_grub_alone_is_its_own_loader(tmp_path: Path) -> None:
    esp(tmp_path, "efi/Rocky/GRUBX64.EFI")
    assert find_installations(tmp_path) == [
        Installation("Rocky", "efi/Rocky/GRUBX64.EFI", "efi/Rocky/GRUBX64.EFI", shim=False)
    ]


@pytest.mark.parametrize("image", IMAGES, ids=lambda path: path.name)
def test_the_fallback_loader_can_be_grub_itself(tmp_path: Path, image: Path) -> None:
    esp(tmp_path, "EFI/BOOT/BOOTX64.EFI", content=image.read_bytes())
    assert find_installations(tmp_path) == [
        Installation("BOOT", "EFI/BOOT/BOOTX64.EFI", "EFI/BOOT/BOOTX64.EFI", shim=False)
    ]


def test_the_fallback_loader_can_be_shim_with_grub_beside_it(tmp_path: Path) -> None:
    esp(tmp_path, "EFI/BOOT/BOOTX64.EFI", "EFI/BOOT/grubx64.efi")
    assert find_installations(tmp_path) == [
        Installation("BOOT", "EFI/BOOT/BOOTX64.EFI", "EFI/BOOT/grubx64.efi", shim=True)
    ]


def test_other_boot_loaders_are_not_grub(tmp_path: Path) -> None:
    esp(tmp_path, "EFI/systemd/systemd-bootx64.efi", "EFI/BOOT/BOOTX64.EFI", "EFI/Microsoft/Boot/b.efi")
    assert find_installations(tmp_path) == []


def test_systemd_boot_under_the_name_of_grub_is_not_grub(tmp_path: Path) -> None:
    esp(tmp_path, "EFI/systemd/shim.efi", "EFI/systemd/grub.efi", content=b"MZ" + SYSTEMD_BOOT)
    assert find_installations(tmp_path) == []


def test_a_partition_without_efi_folder_has_none(tmp_path: Path) -> None:
    assert find_installations(tmp_path) == []


@pytest.mark.skipif(not SIGNED.is_file(), reason="the signed GRUB is not installed")
def test_the_installed_signed_grub_is_recognised_as_fallback(tmp_path: Path) -> None:
    esp(tmp_path, "EFI/BOOT/BOOTX64.EFI", content=SIGNED.read_bytes())
    assert [found.grub for found in find_installations(tmp_path)] == ["EFI/BOOT/BOOTX64.EFI"]


def test_entries_match_by_partition_and_folder_without_regard_to_case() -> None:
    installation = Installation("debian", "EFI/debian/shimx64.efi", "EFI/debian/grubx64.efi", shim=True)
    variables = BootEntries(
        (
            BootEntry("0001", "debian", True, "\\EFI\\DEBIAN\\SHIMX64.EFI", GUID),
            BootEntry("0002", "other disk", True, "\\EFI\\debian\\shimx64.efi", GUID.replace("1", "2")),
            BootEntry("0003", "other folder", True, "\\EFI\\fedora\\shimx64.efi", GUID),
            BootEntry("0004", "network", True),
            BootEntry("0005", "disk with MBR", True, "\\EFI\\debian\\grubx64.efi"),
        )
    )
    assert [entry.number for entry in entries_for(installation, [GUID.upper()], variables)] == ["0001", "0005"]


def test_a_mounted_partition_is_described(tmp_path: Path) -> None:
    esp(tmp_path, "EFI/debian/shimx64.efi", "EFI/debian/grubx64.efi")
    mounts = {"filesystems": [{"target": str(tmp_path), "source": "/dev/sda1", "partuuid": GUID}]}
    sh = FakeShell({FINDMNT: json.dumps(mounts)})
    run = Run(evaluate(Sources(), [], {}), Plugins([]), sh=sh)
    run.system = System(OperatingSystem("debian"), "web1", "x86_64", "6.1", Firmware("uefi", True))
    facts = detect(run)
    assert facts is not None
    assert facts["secure_boot"] is True
    [partition] = facts["partitions"]
    assert (partition["device"], partition["partuuid"]) == ("/dev/sda1", GUID)
    [installation] = partition["installations"]
    assert (installation["vendor"], installation["shim"]) == ("debian", True)


def test_entries_are_found_on_the_members_of_a_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    esp(tmp_path, "EFI/redhat/shimx64.efi", "EFI/redhat/grubx64.efi")
    second = GUID.replace("1", "2")
    entries = tuple(
        BootEntry(number, "Red Hat", True, "\\EFI\\redhat\\shimx64.efi", guid)
        for number, guid in (("0001", GUID), ("0002", second), ("0003", GUID.replace("1", "3")))
    )
    monkeypatch.setattr(efi_partitions, "read_boot_entries", lambda: BootEntries(entries, ("0001", "0002"), "0002"))
    mounts = {"filesystems": [{"target": str(tmp_path), "source": "/dev/md127", "partuuid": None}]}
    members = "lsblk --noheadings --list --inverse --output PARTUUID /dev/md127"
    sh = FakeShell({FINDMNT: json.dumps(mounts), members: f"\n{GUID}\n\n{second}\n\n"})
    run = Run(evaluate(Sources(), [], {}), Plugins([]), sh=sh)
    run.system = System(OperatingSystem("rhel"), "web1", "x86_64", "6.1", Firmware("uefi", True))
    facts = detect(run)
    assert facts is not None
    [installation] = facts["partitions"][0]["installations"]
    assert [entry["number"] for entry in installation["entries"]] == ["0001", "0002"]
    assert run.report.warnings == []


def test_a_uefi_machine_without_a_mounted_partition_is_warned_about() -> None:
    sh = FakeShell({FINDMNT: Outcome(("findmnt",), 1, "", "", 0)})
    run = Run(evaluate(Sources(), [], {}), Plugins([]), sh=sh)
    run.system = System(OperatingSystem("debian"), "web1", "x86_64", "6.1", Firmware("uefi", False))
    assert detect_boot_loaders(run, [GRUB_EFI]) == {}
    [warning] = run.report.warnings
    assert "no mounted EFI system partition" in warning


@pytest.mark.parametrize(
    ("current", "warned"), [("0001", False), ("0002", True), ("0003", False), ("", False)],
    ids=["GRUB", "another loader", "no file", "unknown"],
)  # fmt: skip
def test_a_machine_that_another_loader_has_started_is_warned_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, current: str, warned: bool
) -> None:
    esp(tmp_path, "EFI/debian/grubx64.efi", "EFI/systemd/systemd-bootx64.efi")
    entries = (
        BootEntry("0001", "debian", True, "\\EFI\\debian\\grubx64.efi", GUID),
        BootEntry("0002", "Linux Boot Manager", True, "\\EFI\\systemd\\systemd-bootx64.efi", GUID),
        BootEntry("0003", "UEFI disk", True),
    )
    for module in (efi_partitions, loader):
        monkeypatch.setattr(module, "read_boot_entries", lambda: BootEntries(entries, ("0002", "0001"), current))
    mounts = {"filesystems": [{"target": str(tmp_path), "source": "/dev/sda1", "partuuid": GUID}]}
    run = Run(evaluate(Sources(), [], {}), Plugins([]), sh=FakeShell({FINDMNT: json.dumps(mounts)}))
    run.system = System(OperatingSystem("debian"), "web1", "x86_64", "6.1", Firmware("uefi", True))
    assert detect_boot_loaders(run, [GRUB_EFI])["GRUB EFI"]["started"] == (current == "0001")
    assert [("Linux Boot Manager" in line) for line in run.report.warnings] == [True] * warned
