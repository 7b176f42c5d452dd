# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines of /etc/fstab (fstab(5))."""

from __future__ import annotations

import json
from dataclasses import dataclass

from .errors import understood
from .shell import Shell


@dataclass(frozen=True)
class FstabEntry:
    """A line of /etc/fstab; `spec` is its first field as it stands there."""

    spec: str
    target: str
    fstype: str
    options: str
    dump: int = 0
    passno: int = 0


def read_fstab(sh: Shell) -> list[FstabEntry]:
    """The lines of /etc/fstab.

    >>> sh.query("findmnt", "--fstab", "--json", ...)
    {"filesystems": [{"source": "UUID=f6d4...", "target": "/", "fstype": "ext4", "options":
    "errors=remount-ro",
                      "freq": 0, "passno": 1}]}

    Nothing is printed, with status 1, when there is no line or no such file.
    """
    columns = "SOURCE,TARGET,FSTYPE,OPTIONS,FREQ,PASSNO"
    text = sh.query("findmnt", "--fstab", "--json", "--list", "--output", columns, ok=(0, 1))
    with understood("findmnt"):
        rows = json.loads(text)["filesystems"] if text.strip() else []
        return [
            FstabEntry(
                spec=row.get("source") or "",
                target=row.get("target") or "",
                fstype=row.get("fstype") or "",
                options=row.get("options") or "",
                dump=int(row.get("freq") or 0),
                passno=int(row.get("passno") or 0),
            )
            for row in rows
        ]
