# SPDX-License-Identifier: GPL-3.0-or-later
"""The snapshots that rear has made in a repository, of this machine and of others."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone

from rear_core import Run
from rear_core.archive.dates import FORMAT
from rear_core.archive.external import Found
from rear_core.archive.repository import identity
from rear_core.errors import understood

TAG = "rear"
MACHINE = "rear-machine-"


@dataclass(frozen=True)
class Snapshot:
    """A snapshot: when and of which host it was made, with which tags, and of which paths."""

    id: str
    moment: datetime
    host: str
    tags: tuple[str, ...]
    paths: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its time as the option --backup takes it, in UTC."""
        return self.moment.strftime(FORMAT)

    @property
    def machine(self) -> str:
        """The identity of the machine, "" where none is known."""
        return next((tag[len(MACHINE) :] for tag in self.tags if tag.startswith(MACHINE)), "")


@dataclass(frozen=True)
class Chosen(Found):
    """The snapshot to restore, with its bytes; `address` and `environment` are those by which restic reads it."""

    id: str = ""
    bytes: int = 0
    address: str = ""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


def tags(run: Run) -> list[str]:
    """The tags of this machine's snapshots."""
    machine = identity(run)
    return [TAG, *([f"{MACHINE}{machine}"] if machine else [])]


def read(text: str) -> list[Snapshot]:
    """What `restic snapshots --json` prints, oldest first.

    >>> text
    '[{"time":"2026-11-30T01:22:30.969301364+01:00","paths":["/"],"hostname":"web1","tags":["rear"],"id":"1767"}]'
    """
    with understood("restic snapshots"):
        found = [
            Snapshot(
                entry["id"], _moment(entry["time"]), entry["hostname"], tuple(entry.get("tags") or ()),
                tuple(entry["paths"]),
            )
            for entry in json.loads(text) or ()
        ]  # fmt: skip
    return sorted(found, key=lambda snapshot: snapshot.moment)


def _moment(text: str) -> datetime:
    """A time with nanoseconds, in UTC."""
    without = re.sub(r"\.\d+", "", text)
    return datetime.strptime(without, "%Y-%m-%dT%H:%M:%S%z").astimezone(timezone.utc)
