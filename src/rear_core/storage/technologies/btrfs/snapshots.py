# SPDX-License-Identifier: GPL-3.0-or-later
"""Which subvolumes are snapshots that only show what others hold, and which have files of their own."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

# Number, parent, UUID of the origin and path of each subvolume.
LISTING = ("btrfs", "subvolume", "list", "-p", "-q", "-a")

# Subvolumes that a container engine makes as it needs them.
CONTAINERS = ("/docker/btrfs/subvolumes/", "/containers/storage/btrfs/subvolumes/")

# What snapper keeps there is a snapshot, also the first one, which the installation made as a plain subvolume.
SNAPPER = re.compile(r"(^|/)\.snapshots/\d+/snapshot$")

# Why a snapshot is lost with its disk.
ORIGIN_GONE = "a snapshot of what is no longer there or not described"
RECEIVED = "a snapshot that was received from elsewhere"


def read_subvolumes(text: str) -> list[tuple[int, str, str]]:
    """Number, UUID of the subvolume it is a snapshot of ("" for none) and path from the top.

    >>> sh.query("btrfs", "subvolume", "list", "-p", "-q", "-a", "/")
    ID 256 gen 7 parent 5 top level 5 parent_uuid -                                    path @
    ID 258 gen 7 parent 5 top level 5 parent_uuid 253f7859-2271-3548-b0bb-3454ce4b870e path <FS_TREE>/snap1
    """
    found = re.findall(r"^ID (\d+) .* parent_uuid (\S+)\s+path (?:<FS_TREE>/)?(.*)$", text, re.MULTILINE)
    return [(int(number), "" if parent == "-" else parent, path) for number, parent, path in found]


def read_identities(text: str) -> dict[int, tuple[str, bool]]:
    """The UUID of each subvolume by its number, and whether it was received from elsewhere.

    >>> sh.query("btrfs", "subvolume", "list", "-u", "-R", "-a", "/")
    ID 256 gen 7 top level 5 received_uuid -        uuid 253f7859-2271-3548-b0bb-3454ce4b870e path @
    """
    found = re.findall(r"^ID (\d+) .* received_uuid (\S+)\s+uuid (\S+)\s+path ", text, re.MULTILINE)
    return {int(number): (uuid, received != "-") for number, received, uuid in found}


def read_uuid(text: str) -> str:
    """The UUID of one subvolume, as of the top, which no list has.

    >>> sh.query("btrfs", "subvolume", "show", "/")
    /
            Name: 			<FS_TREE>
            UUID: 			1e8b5c7f-3a0d-4c56-9a53-6c1d2f0b9f11
            Parent UUID: 		-
    """
    found = re.search(r"^\s*UUID:\s+(\S+)", text, re.MULTILINE)
    return found[1] if found else ""


def unoriginal(
    snapshots: Mapping[int, str], identities: Mapping[int, tuple[str, bool]], described: Collection[str]
) -> dict[int, str]:
    """Why snapshots hold what no described subvolume has, by number; all others show what was in one of those.

    `snapshots` are the read-only ones, with the UUID of what each was taken of, "" for the first one of snapper;
    `described` are the UUIDs of what is. A snapshot of a snapshot shows the same as that.
    """
    known, waiting = {*described}, dict(snapshots)
    while True:
        shown = [
            number
            for number, origin in waiting.items()
            if not origin or (origin in known and not identities.get(number, ("", False))[1])
        ]
        for number in shown:
            del waiting[number]
            known |= {identities[number][0]} if number in identities else set()
        if not shown:
            break
    # What was received began as a snapshot of what was received before, and was filled then.
    return {n: RECEIVED if identities.get(n, ("", False))[1] else ORIGIN_GONE for n in waiting}


def sorted_out(
    rows: Iterable[tuple[int, str, str]], read_only: Collection[int], needed: Collection[str]
) -> tuple[list[tuple[int, str]], dict[int, str], list[str]]:
    """Subvolumes with files of their own by number and path, read-only snapshots with the UUIDs of their origins, and
    the paths of those of container engines; `needed` are paths that the system runs from."""
    kept: list[tuple[int, str]] = []
    snapshots: dict[int, str] = {}
    containers: list[str] = []
    for number, origin, path in rows:
        if any(part in f"/{path}" for part in CONTAINERS):
            containers.append(path)
        elif number in read_only and (origin or SNAPPER.search(path)) and path not in needed:
            snapshots[number] = origin
        else:
            kept.append((number, path))
    return kept, snapshots, containers
