# SPDX-License-Identifier: GPL-3.0-or-later
"""The MBR before a GPT, where it is more than the usual protection: with a boot flag, or with partitions of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .inventory import Device, partition_number
from .survey import Survey

# What says "a GPT" in an MBR, and the most that one of its sector numbers can say.
PROTECTIVE = "ee"
MOST = 0xFFFFFFFF


@dataclass(frozen=True)
class MbrEntry:
    """A partition of such an MBR, in sectors, 0 for all that there are; `partition` is the number of the one of the
    GPT that it is, too."""

    number: int
    start: int
    size: int
    code: str
    bootable: bool = False
    partition: int = 0


def read(survey: Survey, device: Device, places: Mapping[tuple[int, int], int]) -> tuple[str, tuple[MbrEntry, ...]]:
    """The identifier and the entries of the MBR of a disk with a GPT; nothing where they are the usual ones.

    `places` are the numbers of the partitions of the GPT by start and size.

    >>> sh.query("sfdisk", "--json", "--label-nested", "dos", "/dev/sda")
    {"partitiontable": {"label": "dos", "id": "0x00000000", "device": "/dev/sda", "unit": "sectors", "partitions": [
        {"node": "/dev/sda1", "start": 1, "size": 2047, "type": "ee"},
        {"node": "/dev/sda2", "start": 2048, "size": 40960, "type": "83", "bootable": true}]}}
    """
    lost = f"{device.path}: rear does not know whether its MBR does more than protect its GPT"
    text = survey.ask("sfdisk", "--json", "--label-nested", "dos", device.path, lost=lost)
    if not text.strip():
        return "", ()
    try:
        table = json.loads(text)["partitiontable"]
        entries = tuple(_entry(row, device.path, places) for row in table.get("partitions", ()))
    except (ValueError, KeyError, TypeError):
        survey.warn(f"{lost}: sfdisk said {text.strip()[:60]!r}")
        return "", ()
    if not any(entry.start > 1 for entry in entries):
        entries = tuple(replace(entry, size=0) if entry.code == PROTECTIVE else entry for entry in entries)
    usual = [(entry.start, entry.code, entry.bootable) for entry in entries] == [(1, PROTECTIVE, False)]
    return ("", ()) if usual or not entries else (str(table.get("id", "")), entries)


def _entry(row: Mapping[str, Any], path: str, places: Mapping[tuple[int, int], int]) -> MbrEntry:
    start, size, code = int(row["start"]), int(row["size"]), str(row["type"]).lower()
    number = partition_number(row["node"], path)
    return MbrEntry(number, start, size, code, bool(row.get("bootable")), places.get((start, size), 0))


def script(id: str, entries: Sequence[MbrEntry], places: Mapping[int, tuple[int, int]], sectors: int) -> str:
    """The input of sfdisk; entries follow the partitions of the GPT, whose places are given by their numbers.

    The protection of a whole disk ends where the disk does, or as far as an MBR can count.
    """
    lines = ["label: dos", *([f"label-id: {id}"] if id else []), "unit: sectors", "grain: 512", ""]
    for entry in entries:
        start, size = places.get(entry.partition, (entry.start, entry.size))
        size = size or min(sectors - start, MOST)
        fields = [f"start={start}", f"size={size}", f"type={entry.code}", *["bootable"] * entry.bootable]
        lines.append(f"{entry.number} : " + ", ".join(fields))
    return "\n".join(lines) + "\n"
