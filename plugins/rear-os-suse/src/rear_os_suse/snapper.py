# SPDX-License-Identifier: GPL-3.0-or-later
"""What snapper(8) keeps about its snapshots, and what of it is wrong after a recovery.

Snapshot 12 of a subvolume is .snapshots/12/snapshot in it, with its description in .snapshots/12/info.xml. Of the
snapshots a layout has only the one that the system runs from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from rear_core import recovered
from rear_core.removal import remove_tree

CONFIGURATIONS = "/etc/snapper/configs"
# Boot entries for snapshots, as sdbootutil writes them: options ... rootflags=subvol=@/.snapshots/12/snapshot
ENTRIES = ("/boot/efi/loader/entries/*.conf", "/efi/loader/entries/*.conf", "/boot/loader/entries/*.conf")
SNAPSHOT = re.compile(r"\brootflags=(?:\S*,)?subvol=@?(/\S+)/snapshot(?=[\s,]|$)")
# A subvolume of Btrfs is a folder with this inode number, and a snapshot is a subvolume.
SUBVOLUME = 256


def configured(target: Path) -> dict[str, dict[str, str]]:
    """The settings of each configuration by its name, as in SUBVOLUME="/"."""
    found = {}
    for name, path in recovered.find(target, f"{CONFIGURATIONS}/*"):
        pairs = re.findall(r'^[ \t]*(\w+)="?([^"\n]*)"?[ \t]*$', recovered.read(path), re.MULTILINE)
        found[name.rpartition("/")[2]] = dict(pairs)
    return found


def with_quota(target: Path) -> list[str]:
    """The configurations whose snapshots are limited by what they take together."""
    return [name for name, settings in configured(target).items() if settings.get("QGROUP")]


def forget_lost(target: Path) -> list[str]:
    """Remove the records of snapshots of which nothing is left; returns what was removed, as /.snapshots/12."""
    gone = []
    for settings in configured(target).values():
        folder = settings.get("SUBVOLUME", "/").rstrip("/") + "/.snapshots"
        here = recovered.inside(target, folder)
        numbers = [path for path in here.iterdir() if path.name.isdigit()] if here.is_dir() else []
        for path in sorted(numbers, key=lambda path: int(path.name)):
            if is_lost(path):
                remove_tree(path)
                gone.append(f"{folder}/{path.name}")
    return gone


def is_lost(record: Path) -> bool:
    """Whether a folder of snapper describes a snapshot that is not there: no subvolume, and nothing in its place."""
    snapshot = record / "snapshot"
    if not (record / "info.xml").is_file():
        return False
    return not snapshot.is_dir() or (snapshot.stat().st_ino != SUBVOLUME and not any(snapshot.iterdir()))


def forget_entries(target: Path, gone: Iterable[str]) -> list[str]:
    """Remove boot entries that start snapshots of which nothing is left; returns their paths."""
    lost = set(gone)
    found = [each for pattern in ENTRIES for each in recovered.find(target, pattern)]
    entries = {path: name for name, path in found if lost.intersection(SNAPSHOT.findall(recovered.read(path)))}
    for path in entries:
        path.unlink()
    return list(entries.values())
