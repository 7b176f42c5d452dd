# SPDX-License-Identifier: GPL-3.0-or-later
"""The rescue system as a bootable ISO image: its boot menu, boot loaders, and whatever else a plugin puts on it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .. import architectures
from ..places.delivery import checksum
from ..run import DRIVERS
from ..template import render
from .fat import make_fat_image
from .grub import efi_files, make_bios_loader
from .iso import make_iso
from .loaders import Loaders
from .menu import grub_menu

if TYPE_CHECKING:
    from ..run import Run

KERNEL = "/boot/vmlinuz"
INITRAMFS = "/boot/initramfs.img"
MENU_SECONDS = 10


def payload(run: Run) -> dict[str, Path]:
    """The rescue system by path in the image."""
    assert run.image is not None
    drivers = {f"/boot/{DRIVERS}": run.image.drivers} if run.image.drivers else {}
    return {KERNEL: run.image.kernel, INITRAMFS: run.image.initramfs, **drivers}


def efi_image_path(run: Run) -> Path:
    """The EFI boot image while the ISO image is made; absent when it gets none."""
    return run.build_dir / "iso/efi.img"


def epoch() -> int:
    """The time that images carry."""
    return int(os.environ.get("SOURCE_DATE_EPOCH") or time.time())


@dataclass(frozen=True)
class Start:
    """How GRUB starts the rescue system of a medium: `find` is what it does first, `files` it reads there, by path.

    `identity` has 16 hexadecimal digits, and is that of this very rescue system.
    """

    identity: str
    find: Path
    files: Mapping[str, Path]


def prepare_start(run: Run, work: Path, file_system: str, timeout: int = MENU_SECONDS) -> Start:
    """The menu of a medium with a kind of file system, and how GRUB finds it, in the folder `work`."""
    assert run.image is not None
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
            command_line=run.image.command_line_for(f"TYPE={file_system}:/boot/{DRIVERS}"),
            timeout=timeout,
        ),
    )
    find = _write(work / "find.cfg", render(run, "grub-find.cfg.j2", marker=marker))
    name = _write(work / "info", f"Rescue system of {run.system.hostname}\n")
    # The signed GRUB of Debian looks for /.disk/info and reads /boot/grub/grub.cfg there.
    return Start(identity, find, {"/boot/grub/grub.cfg": menu, "/.disk/info": name, marker: name})


def write_rescue_iso(
    run: Run,
    path: Path,
    loaders: Loaders,
    *,
    volume_id: str,
    timeout: int = MENU_SECONDS,
    more: Mapping[str, Path] | None = None,
) -> None:
    """Write the image, with more files by path in it; the same input and SOURCE_DATE_EPOCH give the same bytes."""
    made = epoch()
    work = run.build_dir / "iso"
    work.mkdir(exist_ok=True)
    start = prepare_start(run, work, "iso9660", timeout)
    bios = make_bios_loader(run.sh, loaders.bios, start.find, work / "bios.img") if loaders.bios else None
    efi_image = None
    if loaders.efi:
        efi_image = efi_image_path(run)
        files = efi_files(run.sh, architectures.supported(run.system.machine), loaders.efi, start.find, work)
        make_fat_image(run.sh, efi_image, files, label="REAR-EFI", volume_id=start.identity[:8], epoch=made)
    make_iso(
        run.sh,
        path,
        {**payload(run), **(more or {}), **start.files},
        volume_id=volume_id,
        epoch=made,
        bios=bios,
        efi_image=efi_image,
    )


def _write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path
