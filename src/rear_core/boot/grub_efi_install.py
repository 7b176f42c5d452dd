# SPDX-License-Identifier: GPL-3.0-or-later
"""GRUB 2 for UEFI on a recovered system: its files, and what the firmware needs to start it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import architectures, recovered
from ..errors import RearError
from ..system.os_release import assignments
from . import grub_crypto
from .efi_install import esp_of, made_again, make_startable, problems
from .loader import Facts

if TYPE_CHECKING:
    from ..run import Run


def install(run: Run, facts: Facts) -> list[str]:
    """Bring back what the firmware starts; the files themselves came with the backup or are reinstalled."""
    done = []
    for partition in made_again(run, facts):
        for found in partition["installations"]:
            if not _has_files(run, partition, found):
                _install_files(run, partition, found)
                done.append(f"GRUB for UEFI installed to {partition['mountpoint']}/EFI/{found['vendor']}")
    return done + make_startable(run, facts)


def _has_files(run: Run, partition: dict[str, Any], found: dict[str, Any]) -> bool:
    return all((esp_of(run, partition) / found[name]).is_file() for name in ("loader", "grub"))


def _install_files(run: Run, partition: dict[str, Any], found: dict[str, Any]) -> None:
    from .chroot import run_inside

    run_inside(run, *install_command(run, partition["mountpoint"], found))


def install_command(run: Run, mountpoint: str, found: dict[str, Any]) -> tuple[str, ...]:
    """The recovered system's own command that brings GRUB's files; raises where that would break Secure Boot.

    Debian's grub-install copies the signed shim and GRUB where they are installed; SUSE has shim-install for that, and
    sdbootutil, which asks the running system for what it needs, for a GRUB that reads its entries beside kernels there.
    Red Hat's grub2-install writes an unsigned GRUB, and its signed one only comes with the packages.
    """
    from .chroot import has_program
    from .grub_bios import install_program

    lost = f"{mountpoint} lacks {found['loader']} or {found['grub']}"
    if _loader_type(run) == "grub2-bls":
        raise RearError(
            f"{lost}, and the kernels beside them",
            "`rear mountonly`, then in a chroot: sdbootutil install && sdbootutil add-all-kernels",
        )
    removable = found["vendor"].upper() == "BOOT"
    if found["shim"] and has_program(run, "shim-install"):
        return ("shim-install", "--config-file=/boot/grub2/grub.cfg", *(["--removable"] if removable else []))
    program = install_program(run)
    if found["shim"] and program == "grub2-install":
        raise RearError(
            f"{lost}, and {program} would not bring the signed ones",
            "`rear mountonly`, then in a chroot reinstall the packages of shim and GRUB:"
            " dnf reinstall 'shim-*' 'grub2-efi-*'",
        )
    platform = architectures.supported(run.system.machine).grub_efi
    place = "--removable" if removable else f"--bootloader-id={found['vendor']}"
    return (program, f"--target={platform}", f"--efi-directory={mountpoint}", "--no-nvram", place)


def _loader_type(run: Run) -> str:
    """What SUSE's configuration of the boot loader says: grub2-efi, grub2-bls, systemd-boot."""
    path = recovered.inside(run.target, "/etc/sysconfig/bootloader")
    return assignments(recovered.read(path)).get("LOADER_TYPE", "") if path.is_file() else ""


def verify(run: Run, facts: Facts) -> list[str]:
    """What keeps the firmware from starting GRUB."""
    found = problems(run, facts, "GRUB", "loader", "grub")
    shims = [one["shim"] for partition in made_again(run, facts) for one in partition["installations"]]
    if shims and run.system.firmware.secure_boot and not any(shims):
        found.append("Secure Boot is on, and GRUB is not started by a signed shim: switch it off in the firmware")
    assert run.rebuilt is not None
    return [*found, *grub_crypto.problems(run.target, run.rebuilt.site.layout)]
