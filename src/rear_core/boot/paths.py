# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the files that a boot loader names lie in the recovered system."""

from __future__ import annotations

from pathlib import Path

from .. import recovered

# Where the file systems are mounted that loaders read kernels from, beside the root file system.
FOLDERS = ("", "boot/", "boot/efi/", "efi/", "boot/firmware/")


def locate(target: Path, path: str) -> str:
    """The path in the system of a file that a loader means, wherever the file system that holds it is mounted; of one
    that is not there, a place below /boot.

    Loaders name files from the root of a file system. On its own file system /boot is that root; on a subvolume of
    btrfs the path begins with the name of the subvolume.
    """
    parts = [part for part in path.split("/") if part]
    places = [f"/{folder}{'/'.join(parts[number:])}" for number in range(len(parts)) for folder in FOLDERS]
    lost = "/boot/" + path.rpartition("/")[2]
    return next((place for place in places if recovered.inside(target, place).is_file()), lost)
