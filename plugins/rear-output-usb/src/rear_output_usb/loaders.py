# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts GRUB on the disk, for BIOS and for UEFI; what is there already is left alone."""

from __future__ import annotations

from pathlib import Path

from rear_core import Run, architectures
from rear_core.media import loaders
from rear_core.media.fat import update_fat
from rear_core.media.grub import efi_files
from rear_core.media.grub_disk import install as install_bios
from rear_core.media.grub_disk import make_core
from rear_core.media.loaders import Loaders, Medium
from rear_core.template import render

from .stick import Stick

USB_DISK = Medium("the USB disk", ("sfdisk", "blkid", "mdir", "mdel", "mren"))


def find_loaders(run: Run, root: Path = Path("/"), *, warn: bool = True) -> Loaders:
    """The boot loaders that are installed; `Refused` with what to install where this machine would not boot."""
    return loaders.find_loaders(run, USB_DISK, root, warn=warn)


def missing(run: Run) -> list[str]:
    """What has to be installed before a disk can be made that boots on this machine."""
    return loaders.missing(run, USB_DISK, loaders.find_installed(run))


def install(run: Run, stick: Stick) -> None:
    """Write the loaders that differ from those that are there; at every moment the disk has a whole one."""
    found = find_loaders(run, warn=False)
    work = run.build_dir / "usb"
    work.mkdir(exist_ok=True)
    find = work / "find.cfg"
    find.write_text(render(run, "grub-find.cfg.j2", marker=f"/{stick.marker}"))
    if found.efi:
        files = efi_files(run.sh, architectures.supported(run.system.machine), found.efi, find, work)
        # Signed GRUBs look beside themselves, or on their own partition where others keep their menu.
        files = {**files, "EFI/BOOT/grub.cfg": find, "boot/grub/grub.cfg": find}
        for name in update_fat(run.sh, stick.disk, stick.efi.start, files, work):
            run.report.detail(f"Wrote {name} to the EFI system partition of {stick.disk}")
    if found.bios:
        core = work / "core.img"
        make_core(run.sh, found.bios, find, core)
        if install_bios(stick.disk, stick.bios, found.bios, core):
            run.report.detail(f"Installed GRUB for BIOS on {stick.disk}")
