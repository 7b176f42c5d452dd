# SPDX-License-Identifier: GPL-3.0-or-later
"""The boot loaders that machines load from the server: the distribution's own, or GRUB made from its modules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rear_core import Run, architectures
from rear_core.architectures import Architecture
from rear_core.media.grub import MENU_MODULES, find_modules, mkimage_program, words_for

# PXELINUX and its modules: Debian and Ubuntu; Red Hat and SUSE; Red Hat's package for servers.
PXELINUX_PLACES = (
    ("usr/lib/PXELINUX/pxelinux.0", "usr/lib/syslinux/modules/bios"),
    ("usr/share/syslinux/pxelinux.0", "usr/share/syslinux"),
    ("tftpboot/pxelinux.0", "tftpboot"),
)
# The menu on screen and serial port, and what it needs; all of one version.
PXELINUX_MODULES = ("ldlinux.c32", "libutil.c32", "menu.c32")
# Shim, the GRUB that reads its menu from the server, MokManager. As above.
SIGNED_PLACES = (
    (
        "usr/lib/shim/shim{efi}.efi.signed",
        "usr/lib/grub/{platform}-signed/grubnet{efi}.efi.signed",
        "usr/lib/shim/mm{efi}.efi.signed",
    ),
    ("boot/efi/EFI/*/shim{efi}.efi", "boot/efi/EFI/*/grub{efi}.efi", "boot/efi/EFI/*/mm{efi}.efi"),
    ("usr/share/efi/{machine}/shim.efi", "usr/share/efi/{machine}/grub.efi", "usr/share/efi/{machine}/MokManager.efi"),
)
NET_MODULES = (*(name for name in MENU_MODULES if name != "iso9660"), "net", "tftp", "http", "smbios")
BIOS_MODULES = ("pxe", "biosdisk", "serial", "terminal", *NET_MODULES)
EFI_MODULES = ("efinet", "all_video", *NET_MODULES)
# Where every GRUB of ours looks for its menus; Debian's signed one does, too.
PREFIX = "/grub"


@dataclass(frozen=True)
class Loader:
    """A boot loader in the tree: `boot_file` is what the DHCP server tells machines with that firmware to load.

    `files` are taken as they are; without any, GRUB is made of `modules` for `target`. `signed` is for Secure Boot.
    """

    name: str
    firmware: str
    boot_file: str
    files: Mapping[str, Path]
    modules: Path | None = None
    target: str = ""
    signed: bool = False


def find_loaders(run: Run, root: Path = Path("/")) -> list[Loader]:
    """All that this machine can provide."""
    own = architectures.find(run.system.machine)
    loaders: list[Loader] = []
    if own is None:
        return loaders
    for program, modules in PXELINUX_PLACES if own.bios else ():
        files = {"pxelinux.0": root / program, **{name: root / modules / name for name in PXELINUX_MODULES}}
        if all(path.is_file() for path in files.values()):
            loaders.append(Loader("PXELINUX", "bios", "pxelinux.0", files))
            break
    made = run.sh.which(mkimage_program(run.sh)) is not None
    pc = find_modules("i386-pc", root) if own.bios and made else None
    if pc:
        loaders.append(Loader("GRUB", "bios", "grub/core.0", {}, pc, "i386-pc-pxe"))
    efi = find_modules(own.grub_efi, root) if made else None
    boot_file = loader_names(run, "uefi")[0]
    signed = _signed_files(own, root, boot_file)
    if signed:
        loaders.append(Loader("signed GRUB", "uefi", boot_file, signed, signed=True))
    elif efi:
        loaders.append(Loader("GRUB", "uefi", boot_file, {}, efi, own.grub_efi))
    return loaders


def files_of(run: Run, loader: Loader, work: Path) -> Mapping[str, Path]:
    """The files of a boot loader by their names in the tree; GRUB is made in the folder `work`."""
    if loader.files:
        return loader.files
    assert loader.modules is not None
    image = work / Path(loader.boot_file).name
    wanted = BIOS_MODULES if loader.firmware == "bios" else EFI_MODULES
    run.sh.run(
        mkimage_program(run.sh), "--format", loader.target, "--directory", loader.modules, "--prefix", PREFIX,
        "--output", image, *wanted,
    )  # fmt: skip
    return {loader.boot_file: image}


def firmware_of(run: Run) -> str:
    """The firmware, "bios" or "uefi", that a boot loader for this machine starts on."""
    own, mode = architectures.find(run.system.machine), run.system.firmware.mode
    return own.media_firmware(mode) if own else mode


def loader_names(run: Run, firmware: str) -> tuple[str, ...]:
    """What machines of this architecture with that firmware load from a server."""
    own = architectures.find(run.system.machine)
    return ("pxelinux.0", "grub/core.0") if firmware == "bios" else (f"grub/boot{own.efi if own else ''}.efi",)


def what_to_install(run: Run) -> str:
    """The package that provides a boot loader for the firmware of this machine."""
    if firmware_of(run) == "bios":
        return "pxelinux"
    own = architectures.find(run.system.machine)
    return "grubnet-signed" if run.system.firmware.secure_boot else f"grub-{own.grub_efi if own else 'efi'}"


def _signed_files(own: Architecture, root: Path, boot_file: str) -> dict[str, Path]:
    """Shim and GRUB, under the names that firmware and shim ask for; none unless both are installed."""
    words = words_for(own)
    for places in SIGNED_PLACES:
        shim, grub, mok_manager = (_first(root, place.format(**words)) for place in places)
        if shim and grub:
            name = "grub.efi" if grub.name == "grub.efi" else f"grub{own.efi}.efi"
            files = {boot_file: shim, f"grub/{name}": grub}
            if mok_manager:
                files[f"grub/{mok_manager.name.replace('.signed', '')}"] = mok_manager
            return files
    return {}


def _first(root: Path, pattern: str) -> Path | None:
    return next((path for path in sorted(root.glob(pattern)) if path.is_file()), None)
