# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that a boot loader names, in the recovered system."""

from __future__ import annotations

from pathlib import Path

import pytest

from rear_core.boot.paths import locate


@pytest.mark.parametrize("path", ["/boot/vmlinuz", "/vmlinuz", "/@/boot/vmlinuz", "/@/.snapshots/1/boot/vmlinuz"])
def test_a_kernel_is_found_wherever_the_file_system_of_boot_begins(tmp_path: Path, path: str) -> None:
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot/vmlinuz").write_text("kernel")
    assert locate(tmp_path, path) == "/boot/vmlinuz"
    assert locate(tmp_path, path + "-lost") == "/boot/vmlinuz-lost"


def test_a_kernel_is_found_on_an_efi_system_partition(tmp_path: Path) -> None:
    (tmp_path / "efi/debian").mkdir(parents=True)
    (tmp_path / "efi/debian/vmlinuz").write_text("kernel")
    assert locate(tmp_path, "/debian/vmlinuz") == "/efi/debian/vmlinuz"
