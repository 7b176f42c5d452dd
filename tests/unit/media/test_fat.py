# SPDX-License-Identifier: GPL-3.0-or-later
"""A FAT file system within a disk is brought up to date: only what differs is written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rear_core.media.fat import update_fat
from rear_core.shell import Shell

MIB = 1 << 20
START = 3 * MIB

pytestmark = pytest.mark.skipif(
    not (Shell().which("mcopy") and Shell().which("mkfs.vfat")), reason="mtools or dosfstools are not installed"
)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk"
    path.touch()
    os.truncate(path, 8 * MIB)
    Shell().run("mkfs.vfat", "-n", "REAR-EFI", f"--offset={START // 512}", path, str(5 * MIB // 1024))
    return path


def files(tmp_path: Path, **contents: bytes) -> dict[str, Path]:
    """Files by the name they get; `__` stands for a slash and `_` for a dot."""
    found = {}
    for name, content in contents.items():
        source = tmp_path / f"{name}.source"
        source.write_bytes(content)
        found[name.replace("__", "/").replace("_", ".")] = source
    return found


def listed(disk: Path) -> list[str]:
    return sorted(Shell().query("mdir", "-/", "-b", "-i", f"{disk}@@{START}", "::").lower().split())


def held(disk: Path, name: str, tmp_path: Path) -> bytes:
    copy = tmp_path / "held"
    Shell().run("mcopy", "-n", "-i", f"{disk}@@{START}", f"::{name}", copy)
    return copy.read_bytes()


def test_files_and_folders_are_made(tmp_path: Path, disk: Path) -> None:
    # ^Z and line ends must come through.
    wanted = files(tmp_path, EFI__BOOT__BOOTX64_EFI=b"shim\x1a\r\n" * 50000, boot__grub__grub_cfg=b"menu\n")
    assert update_fat(Shell(), disk, START, wanted, tmp_path) == ["EFI/BOOT/BOOTX64.EFI", "boot/grub/grub.cfg"]
    for name, source in wanted.items():
        assert held(disk, name, tmp_path) == source.read_bytes()
    assert disk.read_bytes()[:START] == bytes(START)


def test_only_what_differs_is_written(tmp_path: Path, disk: Path) -> None:
    update_fat(Shell(), disk, START, files(tmp_path, EFI__BOOT__a_efi=b"one", EFI__BOOT__b_efi=b"two"), tmp_path)
    before = disk.read_bytes()
    same = files(tmp_path, EFI__BOOT__a_efi=b"one", EFI__BOOT__b_efi=b"two")
    assert update_fat(Shell(), disk, START, same, tmp_path) == []
    assert disk.read_bytes() == before
    other = files(tmp_path, EFI__BOOT__a_efi=b"one", EFI__BOOT__b_efi=b"three")
    assert update_fat(Shell(), disk, START, other, tmp_path) == ["EFI/BOOT/b.efi"]
    assert held(disk, "EFI/BOOT/b.efi", tmp_path) == b"three"
    assert listed(disk) == ["::/efi/", "::/efi/boot/", "::/efi/boot/a.efi", "::/efi/boot/b.efi"]


def test_what_a_killed_run_left_is_taken_over(tmp_path: Path, disk: Path) -> None:
    update_fat(Shell(), disk, START, files(tmp_path, a_efi_new=b"half a"), tmp_path)
    update_fat(Shell(), disk, START, files(tmp_path, a_efi=b"whole"), tmp_path)
    assert held(disk, "a.efi", tmp_path) == b"whole"
    assert listed(disk) == ["::/a.efi"]
