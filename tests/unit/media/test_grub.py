# SPDX-License-Identifier: GPL-3.0-or-later
"""Where distributions keep GRUB and shim for media."""

from __future__ import annotations

from pathlib import Path

import pytest

from rear_core.architectures import supported
from rear_core.media.grub import SignedLoaders, efi_files, find_modules, find_signed_loaders
from rear_core.shell import Shell


def tree(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.mark.parametrize(
    ("machine", "shim", "grub"),
    [
        ("x86_64", "usr/lib/shim/shimx64.efi.signed", "usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed"),
        ("aarch64", "usr/lib/shim/shimaa64.efi.signed", "usr/lib/grub/arm64-efi-signed/gcdaa64.efi.signed"),
        ("x86_64", "boot/efi/EFI/rocky/shimx64.efi", "boot/efi/EFI/rocky/gcdx64.efi"),
        ("x86_64", "usr/share/efi/x86_64/shim.efi", "usr/share/efi/x86_64/grub.efi"),
    ],
)
def test_signed_loaders_are_found(tmp_path: Path, machine: str, shim: str, grub: str) -> None:
    tree(tmp_path, shim, grub)
    assert find_signed_loaders(supported(machine), tmp_path) == SignedLoaders(tmp_path / shim, tmp_path / grub)
    (tmp_path / grub).unlink()
    assert find_signed_loaders(supported(machine), tmp_path) is None


def test_signed_loaders_get_the_names_that_shim_asks_for(tmp_path: Path) -> None:
    debian = SignedLoaders(Path("shimx64.efi.signed"), Path("gcdx64.efi.signed"), Path("mmx64.efi.signed"))
    assert efi_files(Shell(), supported("x86_64"), debian, Path("find.cfg"), tmp_path) == {
        "EFI/BOOT/BOOTX64.EFI": debian.shim,
        "EFI/BOOT/grubx64.efi": debian.grub,
        "EFI/BOOT/mmx64.efi": debian.mok_manager,
        "EFI/BOOT/grub.cfg": Path("find.cfg"),
    }
    suse = SignedLoaders(Path("shim.efi"), Path("grub.efi"), Path("MokManager.efi"))
    names = set(efi_files(Shell(), supported("x86_64"), suse, Path("find.cfg"), tmp_path))
    assert names == {
        "EFI/BOOT/BOOTX64.EFI",
        "EFI/BOOT/grub.efi",
        "EFI/BOOT/MokManager.efi",
        "EFI/BOOT/grub.cfg",
    }


def test_modules_are_found_where_distributions_put_them(tmp_path: Path) -> None:
    assert find_modules("i386-pc", tmp_path) is None
    tree(tmp_path, "usr/share/grub2/i386-pc/moddep.lst")
    assert find_modules("i386-pc", tmp_path) == tmp_path / "usr/share/grub2/i386-pc"
