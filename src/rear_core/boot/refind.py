# SPDX-License-Identifier: GPL-3.0-or-later
"""rEFInd on EFI system partitions: its program, its drivers for file systems, and its boot entry."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .. import recovered
from . import efi_programs, refind_menu
from .efi_install import esp_of, made_again, problems
from .efi_partitions import describe
from .loader import BootLoader, Facts

if TYPE_CHECKING:
    from ..run import Run

NAME = "rEFInd"
# The file that it reads, in the text of UEFI: all its versions have it, signed or not, whatever the program is called.
MARK = "refind.conf".encode("utf-16-le")
ADVICE = "in a chroot reinstall the package of rEFInd, and run `refind-install`"


def is_ours(content: bytes) -> bool:
    """Whether an EFI program is rEFInd."""
    return MARK in content


def find_installations(esp: Path) -> list[efi_programs.Program]:
    """Every rEFInd of a mounted EFI system partition."""
    return efi_programs.find(esp, is_ours)


def detect(run: Run) -> Facts | None:
    """rEFInd on the mounted EFI system partitions, and the drivers by which it reads other file systems."""
    facts = describe(run, find_installations, NAME)
    if facts is None:
        return None
    folders = [
        Path(partition["mountpoint"], found["program"]).parent
        for partition in facts["partitions"]
        for found in partition["installations"]
    ]
    return {**facts, "drivers": sorted(str(path) for folder in folders for path in folder.glob("drivers*/*.efi"))}


def install(run: Run, facts: Facts) -> list[str]:
    """Make the firmware start it; its files came with the backup."""
    return efi_programs.install(run, facts, NAME, ADVICE)


def verify(run: Run, facts: Facts) -> list[str]:
    """What keeps the firmware from starting it, and it from reading kernels."""
    found = problems(run, facts, NAME, "loader", "program")
    mounted = [f"{esp_of(run, partition)}" for partition in made_again(run, facts)]
    drivers = {name: recovered.inside(run.target, name) for name in facts.get("drivers", ())}
    found += [
        f"{name}, with which {NAME} reads a file system, is missing: {ADVICE}"
        for name, path in drivers.items()
        if not path.is_file() and str(path).startswith(tuple(mounted))
    ]
    return found


REFIND = BootLoader(
    NAME, detect, "uefi", install, verify, refind_menu.entries, refind_menu.notes, refind_menu.naming_files
)
