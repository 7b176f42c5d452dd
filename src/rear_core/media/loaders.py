# SPDX-License-Identifier: GPL-3.0-or-later
"""The boot loaders that a medium gets on this machine, and what has to be installed for them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .. import architectures
from ..errors import Refused
from .grub import SignedLoaders, find_modules, find_signed_loaders, mkimage_program

if TYPE_CHECKING:
    from ..run import Run


@dataclass(frozen=True)
class Medium:
    """What the loaders are for: its `name` in messages ("the ISO image"), the `programs` that it always needs."""

    name: str
    programs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Loaders:
    """GRUB's modules for BIOS; for UEFI the signed loaders or GRUB's modules. Not all are missing."""

    bios: Path | None
    efi: SignedLoaders | Path | None

    @property
    def signed(self) -> bool:
        """Whether machines with Secure Boot will boot the medium."""
        return isinstance(self.efi, SignedLoaders)


def find_loaders(run: Run, medium: Medium, root: Path = Path("/"), *, warn: bool = True) -> Loaders:
    """The boot loaders that are installed.

    Raises `Refused` with what to install when a program is missing, or a loader for the firmware of this very
    machine; a missing one for the other firmware is a warning.
    """
    loaders = find_installed(run, root)
    absent = missing(run, medium, loaders)
    if absent:
        raise Refused(f"{medium.name} needs: {', '.join(absent)}", run.plugins.install_advice(absent))
    if warn:
        warn_of_limits(run, medium, loaders)
    return loaders


def find_installed(run: Run, root: Path = Path("/")) -> Loaders:
    """The boot loaders that are installed; raise `Refused` on an architecture that rear does not support."""
    own = architectures.supported(run.system.machine)
    return Loaders(
        bios=find_modules("i386-pc", root) if own.bios else None,
        efi=find_signed_loaders(own, root) or find_modules(own.grub_efi, root),
    )


def missing(run: Run, medium: Medium, loaders: Loaders) -> list[str]:
    """What has to be installed before a medium can be made that boots on this machine."""
    return required_here(run, loaders) + missing_programs(run, medium, loaders)


def required_here(run: Run, loaders: Loaders) -> list[str]:
    """The packages without which the medium would not boot on this machine."""
    firmware, own = run.system.firmware, architectures.supported(run.system.machine)
    if own.media_firmware(firmware.mode) == "bios":
        return [] if loaders.bios else ["grub-i386-pc"]
    if firmware.secure_boot and not loaders.signed:
        return ["shim-signed"]
    return [] if loaders.efi else [f"grub-{own.grub_efi}"]


def missing_programs(run: Run, medium: Medium, loaders: Loaders) -> list[str]:
    """The programs that are needed and not installed."""
    wanted = [*medium.programs]
    if loaders.efi:
        wanted += ["mkfs.vfat", "mmd", "mcopy"]
    if loaders.bios or (loaders.efi and not loaders.signed):
        wanted.append(mkimage_program(run.sh))
    return [program for program in wanted if not run.sh.which(program)]


def warn_of_limits(run: Run, medium: Medium, loaders: Loaders) -> None:
    """Say on which machines the medium will not boot."""
    if not loaders.bios and architectures.supported(run.system.machine).bios:
        advice = run.plugins.install_advice(["grub-i386-pc"])
        run.report.warn(f"{medium.name} will not boot on machines with BIOS; for that: {advice}")
    if not loaders.efi:
        advice = run.plugins.install_advice(["shim-signed"])
        run.report.warn(f"{medium.name} will not boot on machines with UEFI; for that: {advice}")
    elif not loaders.signed:
        advice = run.plugins.install_advice(["shim-signed"])
        run.report.warn(f"{medium.name} will not boot where Secure Boot is on; for that: {advice}")
