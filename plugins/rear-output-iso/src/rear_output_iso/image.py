# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the ISO image together: rescue system, boot menu and boot loaders."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rear_core import Run
from rear_core.media.carried import CarriedFile
from rear_core.media.delivery import checksum
from rear_core.media.fat import make_fat_image
from rear_core.media.grub import efi_files, make_bios_loader
from rear_core.media.iso import make_iso
from rear_core.media.loaders import Loaders
from rear_core.media.menu import grub_menu
from rear_core.template import render

from . import discs

KERNEL = "/boot/vmlinuz"
INITRAMFS = "/boot/initramfs.img"


def payload(run: Run) -> dict[str, Path]:
    """The rescue system by path in the image."""
    assert run.image is not None
    return {KERNEL: run.image.kernel, INITRAMFS: run.image.initramfs}


def carried(run: Run) -> Mapping[str, CarriedFile]:
    """What the image takes along of a backup."""
    return run.carried.media[0] if run.carried else {}


def efi_image_path(run: Run) -> Path:
    """The EFI boot image while the ISO image is made; absent when it gets none."""
    return run.build_dir / "iso/efi.img"


def write_image(run: Run, path: Path, loaders: Loaders, timeout: int) -> None:
    """Write the image; the same rescue system and SOURCE_DATE_EPOCH give the same bytes."""
    assert run.image is not None
    epoch = discs.epoch()
    work = run.build_dir / "iso"
    work.mkdir(exist_ok=True)
    identity = checksum(run.image.initramfs)[:16]
    # A file that only this very rescue system has, so that GRUB does not take the menu of another medium.
    marker = f"/rear/{identity}"
    menu = _write(
        work / "grub.cfg",
        grub_menu(
            run,
            title=run.system.hostname,
            kernel=KERNEL,
            initramfs=INITRAMFS,
            command_line=run.image.command_line,
            timeout=timeout,
        ),
    )
    find = _write(work / "find.cfg", render(run, "grub-find.cfg.j2", marker=marker))
    name = _write(work / "info", f"Rescue system of {run.system.hostname}\n")
    bios = make_bios_loader(run.sh, loaders.bios, find, work / "bios.img") if loaders.bios else None
    efi_image = None
    if loaders.efi:
        efi_image = efi_image_path(run)
        files = efi_files(run.sh, run.system.machine, loaders.efi, find, work)
        make_fat_image(run.sh, efi_image, files, label="REAR-EFI", volume_id=identity[:8], epoch=epoch)
    make_iso(
        run.sh,
        path,
        # The signed GRUB of Debian looks for /.disk/info and reads /boot/grub/grub.cfg there.
        {**payload(run), **discs.sources(carried(run)), "/boot/grub/grub.cfg": menu, "/.disk/info": name, marker: name},
        volume_id=run.settings["ISO_VOLID"],
        epoch=epoch,
        bios=bios,
        efi_image=efi_image,
    )


def _write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path
