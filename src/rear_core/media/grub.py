# SPDX-License-Identifier: GPL-3.0-or-later
"""GRUB for rescue media: the distribution's signed loaders as they are, or images made from its modules."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..architectures import Architecture
from ..shell import Shell
from .iso import BiosLoader

MKIMAGE = ("grub-mkimage", "grub2-mkimage")
MODULE_FOLDERS = ("usr/lib/grub", "usr/share/grub2", "usr/lib/grub2")

# {efi} is x64 or aa64. The GRUB has to be the one made for removable media, which finds its menu on them.
SIGNED_PLACES = (
    # Debian, Ubuntu and their kin: shim-signed, grub-efi-amd64-signed
    (
        "usr/lib/shim/shim{efi}.efi.signed",
        "usr/lib/grub/{platform}-signed/gcd{efi}.efi.signed",
        "usr/lib/shim/mm{efi}.efi.signed",
    ),
    # RHEL, Fedora and their kin: shim-x64, grub2-efi-x64-cdboot
    ("boot/efi/EFI/*/shim{efi}.efi", "boot/efi/EFI/*/gcd{efi}.efi", "boot/efi/EFI/*/mm{efi}.efi"),
    # SUSE: shim, grub2-x86_64-efi
    (
        "usr/share/efi/{machine}/shim.efi",
        "usr/share/efi/{machine}/grub.efi",
        "usr/share/efi/{machine}/MokManager.efi",
    ),
)

MENU_MODULES = (
    "normal", "configfile", "linux", "chain", "boot", "search", "search_fs_file", "test", "regexp", "echo",
    "ls", "cat", "sleep", "halt", "reboot", "minicmd", "iso9660", "part_msdos", "part_gpt", "fat",
    "ext2",
)  # fmt: skip
BIOS_MODULES = ("biosdisk", "serial", "terminal", *MENU_MODULES)
EFI_MODULES = ("all_video", *MENU_MODULES)


@dataclass(frozen=True)
class SignedLoaders:
    """The loaders that firmware with Secure Boot accepts; `mok_manager` enrols keys and may be absent."""

    shim: Path
    grub: Path
    mok_manager: Path | None = None


def find_signed_loaders(architecture: Architecture, root: Path = Path("/")) -> SignedLoaders | None:
    """The distribution's signed shim and GRUB, None unless both are installed."""
    words = words_for(architecture)
    for places in SIGNED_PLACES:
        shim, grub, mok_manager = (_first(root, place.format(**words)) for place in places)
        if shim and grub:
            return SignedLoaders(shim, grub, mok_manager)
    return None


def words_for(architecture: Architecture) -> dict[str, str]:
    """What places of loaders are written with."""
    return {"efi": architecture.efi, "platform": architecture.grub_efi, "machine": architecture.machines[0]}


def find_modules(platform: str, root: Path = Path("/")) -> Path | None:
    """The folder of GRUB's modules for a platform like "i386-pc", None when they are not installed."""
    folders = (root / folder / platform for folder in MODULE_FOLDERS)
    return next((folder for folder in folders if (folder / "moddep.lst").is_file()), None)


def mkimage_program(sh: Shell) -> str:
    """The name this distribution gives to grub-mkimage; the plain one when there is none."""
    return next((name for name in MKIMAGE if sh.which(name)), MKIMAGE[0])


def make_bios_loader(sh: Shell, modules: Path, config: Path, image: Path) -> BiosLoader:
    """GRUB for BIOS, started from El Torito or a stick; `config` is what it does first."""
    make_image(sh, "i386-pc-eltorito", modules, config, image, BIOS_MODULES)
    return BiosLoader(image, modules / "boot_hybrid.img")


def efi_files(
    sh: Shell, architecture: Architecture, loaders: SignedLoaders | Path, config: Path, work: Path
) -> dict[str, Path]:
    """The files of an EFI boot image, by path in it.

    Signed loaders are taken unmodified; from a folder of GRUB's modules one is made in the folder `work`.
    """
    boot = f"EFI/BOOT/{architecture.fallback}"
    if isinstance(loaders, SignedLoaders):
        # GRUB of RHEL and SUSE reads the configuration beside it; Debian's looks for the medium by itself.
        # SUSE's shim asks for grub.efi, and so its GRUB is named.
        grub = "grub.efi" if loaders.grub.name == "grub.efi" else f"grub{architecture.efi}.efi"
        files = {boot: loaders.shim, f"EFI/BOOT/{grub}": loaders.grub, "EFI/BOOT/grub.cfg": config}
        if loaders.mok_manager:
            files[f"EFI/BOOT/{_plain(loaders.mok_manager)}"] = loaders.mok_manager
        return files
    program = work / f"grub{architecture.efi}.efi"
    make_image(sh, architecture.grub_efi, loaders, config, program, EFI_MODULES)
    return {boot: program}


def make_image(sh: Shell, target: str, modules: Path, config: Path, image: Path, wanted: tuple[str, ...]) -> None:
    """GRUB for a target of grub-mkimage, with these modules and what they need; `config` is what it does first."""
    sh.run(
        mkimage_program(sh),
        "--format",
        target,
        "--directory",
        modules,
        "--prefix",
        "/boot/grub",
        "--config",
        config,
        "--output",
        image,
        *wanted,
    )


def _plain(path: Path) -> str:
    return path.name[: -len(".signed")] if path.name.endswith(".signed") else path.name


def _first(root: Path, pattern: str) -> Path | None:
    return next((path for path in sorted(root.glob(pattern)) if path.is_file()), None)
