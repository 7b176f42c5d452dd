# SPDX-License-Identifier: GPL-3.0-or-later
"""GRUB 2 for UEFI, with or without shim: recognised on the EFI system partition and in the EFI variables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any

from . import grub_efi_install, grub_menu, grub_references
from .efi_variables import BootEntries, BootEntry, read_boot_entries
from .loader import BootLoader, Facts

if TYPE_CHECKING:
    from ..run import Run

# A function that GRUB's modules are linked to by its name: all images have it, from 2.06 to 2.14, signed or not. Its
# greeting is gone since 2.12.
MARK = b"grub_dl_load"


@dataclass(frozen=True)
class Installation:
    """A folder of the EFI system partition with GRUB in it; paths are relative to the partition's root.

    `loader` is what the firmware starts: shim when there is one, else GRUB itself.
    """

    vendor: str
    loader: str
    grub: str
    shim: bool


def find_installations(esp: Path) -> list[Installation]:
    """Every GRUB below EFI/ of a mounted EFI system partition, sorted by folder."""
    efi = _child(esp, "EFI")
    if efi is None:
        return []
    folders = sorted(path for path in efi.iterdir() if path.is_dir())
    return [found for found in (_installation(esp, folder) for folder in folders) if found]


def _installation(esp: Path, folder: Path) -> Installation | None:
    programs = {path.name.lower(): path for path in sorted(folder.iterdir()) if path.suffix.lower() == ".efi"}
    shim = next((path for name, path in programs.items() if name.startswith("shim")), None)
    grub = next((path for name, path in programs.items() if name.startswith("grub")), None)
    fallback = next((path for name, path in programs.items() if name.startswith("boot")), None)
    if folder.name.upper() == "BOOT" and fallback:
        # What the firmware starts without a boot entry is either GRUB itself, or shim with GRUB beside it.
        if MARK in fallback.read_bytes():
            grub = fallback
        elif grub:
            shim = fallback
    if grub is None:
        return None
    return Installation(
        vendor=folder.name,
        loader=(shim or grub).relative_to(esp).as_posix(),
        grub=grub.relative_to(esp).as_posix(),
        shim=shim is not None,
    )


def detect(run: Run) -> Facts | None:
    """GRUB on the mounted EFI system partitions, and the boot entries that lead to it."""
    variables = read_boot_entries()
    partitions = []
    for mount in _mounted_fat(run):
        try:
            installations = find_installations(Path(mount["target"]))
        except OSError as error:
            run.report.warn(f"cannot read the EFI system partition on {mount['target']}: {error.strerror}")
            continue
        if installations:
            partitions.append(_describe(mount, installations, variables, _partuuids(run, mount)))
    if not partitions:
        if run.system.firmware.mode == "uefi":
            run.report.warn("no mounted EFI system partition has GRUB on it; mount the one in use")
        return None
    started = variables.get(variables.current)
    known = {entry["number"] for part in partitions for found in part["installations"] for entry in found["entries"]}
    if started and started.loader and started.number not in known:
        run.report.warn(
            f"the firmware started this machine by {started.label} ({started.loader}), and not by the GRUB that is"
            " described: a recovery installs GRUB"
        )
    return {
        "partitions": partitions,
        "boot_order": list(variables.order),
        "boot_current": variables.current,
        "secure_boot": run.system.firmware.secure_boot,
    }


def _describe(
    mount: dict[str, Any], installations: list[Installation], variables: BootEntries, partuuids: list[str]
) -> dict[str, Any]:
    return {
        "mountpoint": mount["target"],
        "device": mount["source"],
        "partuuid": mount["partuuid"] or "",
        "installations": [
            {
                "vendor": found.vendor,
                "loader": found.loader,
                "grub": found.grub,
                "shim": found.shim,
                "entries": [
                    {"number": entry.number, "label": entry.label, "active": entry.active}
                    for entry in entries_for(found, partuuids, variables)
                ],
            }
            for found in installations
        ],
    }


def entries_for(found: Installation, partuuids: Sequence[str], variables: BootEntries) -> Iterator[BootEntry]:
    """The boot entries that start this installation on that partition, or on the several of a mirror."""
    folder = PureWindowsPath("/", found.loader).parent
    here = {"", *(partuuid.lower() for partuuid in partuuids)}  # "" where an entry tells none
    for entry in variables.entries:
        # PureWindowsPath compares as FAT does, without regard to case.
        on_it = entry.partition in here
        if on_it and PureWindowsPath(entry.loader).parent == folder:
            yield entry


def _mounted_fat(run: Run) -> list[dict[str, Any]]:
    # $ findmnt --json --list --types vfat --output TARGET,SOURCE,PARTUUID
    # {"filesystems": [{"target":"/boot/efi", "source":"/dev/sda1", "partuuid":"1f3b..."}]}
    # Exit status 1 and no output: nothing of that kind is mounted.
    command = ("findmnt", "--json", "--list", "--types", "vfat", "--output", "TARGET,SOURCE,PARTUUID")
    if not run.sh.query(*command, ok=(0, 1)).strip():
        return []
    mounts: list[dict[str, Any]] = run.sh.json(*command)["filesystems"]
    return mounts


def _partuuids(run: Run, mount: dict[str, Any]) -> list[str]:
    """The PARTUUID of the partition that is mounted, or those of all members of an array, which itself has none."""
    if mount["partuuid"]:
        return [mount["partuuid"]]
    # $ lsblk --noheadings --list --inverse --output PARTUUID /dev/md127
    #
    # 1f3b7c3e-6a54-4a3a-9f5e-0d2c5b7f9a11
    # 8d0c2a4f-77b1-4a0e-b0a6-5f1d2c3b4a59
    # Exit status 32: it is no block device.
    command = ("lsblk", "--noheadings", "--list", "--inverse", "--output", "PARTUUID", mount["source"])
    return run.sh.query(*command, ok=(0, 32)).split()


def _child(directory: Path, name: str) -> Path | None:
    """An entry of a directory without regard to case, as FAT is mounted in either way."""
    return next((path for path in directory.iterdir() if path.name.upper() == name), None)


GRUB_EFI = BootLoader(
    "GRUB EFI",
    detect,
    "uefi",
    grub_efi_install.install,
    grub_efi_install.verify,
    grub_menu.entries,
    grub_menu.notes,
    grub_references.files,
)
