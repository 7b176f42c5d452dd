# SPDX-License-Identifier: GPL-3.0-or-later
"""Boot loaders on mounted EFI system partitions, and the boot entries by which the firmware starts them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any, Protocol

from .efi_variables import BootEntries, BootEntry, read_boot_entries, read_loader_info
from .loader import Facts

if TYPE_CHECKING:
    from ..run import Run


class Installed(Protocol):
    """A boot loader in a folder, as a dataclass; `loader` is what the firmware starts, from the partition's root."""

    @property
    def loader(self) -> str: ...


def describe(run: Run, find: Callable[[Path], Sequence[Installed]], announced: str) -> Facts | None:
    """The loaders that `find` sees on mounted EFI system partitions, each with its boot entries; None without any.

    `started` says whether the firmware started this machine by one of them: its boot entry leads to it, or the loader
    `announced` itself by the variable LoaderInfo (https://systemd.io/BOOT_LOADER_INTERFACE).
    """
    variables = read_boot_entries()
    partitions = []
    for mount in mounted_fat(run):
        try:
            installations = find(Path(mount["target"]))
        except OSError as error:
            run.report.warn(f"cannot read the EFI system partition on {mount['target']}: {error.strerror}")
            continue
        if installations:
            partitions.append(_partition(mount, installations, variables, _partuuids(run, mount)))
    if not partitions:
        return None
    known = {entry["number"] for part in partitions for found in part["installations"] for entry in found["entries"]}
    return {
        "partitions": partitions,
        "boot_order": list(variables.order),
        "boot_current": variables.current,
        "secure_boot": run.system.firmware.secure_boot,
        "started": variables.current in known or read_loader_info().startswith(announced),
    }


def _partition(
    mount: dict[str, Any], installations: Sequence[Any], variables: BootEntries, partuuids: list[str]
) -> dict[str, Any]:
    return {
        "mountpoint": mount["target"],
        "device": mount["source"],
        "partuuid": mount["partuuid"] or "",
        "installations": [
            {
                **asdict(found),
                "entries": [
                    {"number": entry.number, "label": entry.label, "active": entry.active}
                    for entry in entries_for(found, partuuids, variables)
                ],
            }
            for found in installations
        ],
    }


def entries_for(found: Installed, partuuids: Sequence[str], variables: BootEntries) -> Iterator[BootEntry]:
    """The boot entries that start this installation on that partition, or on the several of a mirror."""
    folder = PureWindowsPath("/", found.loader).parent
    here = {"", *(partuuid.lower() for partuuid in partuuids)}  # "" where an entry tells none
    for entry in variables.entries:
        # PureWindowsPath compares as FAT does, without regard to case.
        on_it = entry.partition in here
        if on_it and PureWindowsPath(entry.loader).parent == folder:
            yield entry


def mounted_fat(run: Run) -> list[dict[str, Any]]:
    """The mounted FAT file systems: `target`, `source`, and the `partuuid`, which an array has none of."""
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


def child(directory: Path, name: str) -> Path | None:
    """An entry of a directory without regard to case, as FAT is mounted in either way."""
    return next((path for path in directory.iterdir() if path.name.upper() == name.upper()), None)
