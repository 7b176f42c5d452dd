# SPDX-License-Identifier: GPL-3.0-or-later
"""The records of runs: one small JSON file for each below VAR_DIR/runs, for root alone, also of runs that failed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from . import durable, own_files
from .errors import RearError

FOLDER = "runs"
# So many are kept of each command and result: those that failed never push out the last one that did not.
KEPT = 30
# How a moment is written, in UTC.
FORMAT = "%Y-%m-%dT%H%M%SZ"
NAME = re.compile(r"(?P<began>\d{4}-\d\d-\d\dT\d{6}Z)(?:\.\d+)?-(?P<of>[a-z-]+)\.json", re.ASCII)


@dataclass(frozen=True)
class Medium:
    """What an output made: its path, and its bytes, 0 where it is no file of this machine."""

    path: str
    bytes: int = 0


@dataclass(frozen=True)
class Saved:
    """A backup: its method, its `name`, which chooses it, and its place.

    `files` and `bytes` are what was saved, `size` the bytes that it takes up, each 0 where the method does not say.
    """

    method: str
    name: str
    place: str = ""
    files: int = 0
    bytes: int = 0
    size: int = 0


@dataclass(frozen=True)
class LeftOut:
    """What is mounted, or a part of it, and is not in the backup: why not, and its bytes, 0 where nobody counted.

    `missed` says that no setting asked for that.
    """

    name: str
    reason: str
    bytes: int = 0
    missed: bool = False


@dataclass(frozen=True)
class Rehearsal:
    """A recovery that was measured, in seconds: as a whole, and the restore of so many bytes of files in it; `plan` is
    the id of the plan of its storage."""

    seconds: int
    restore_seconds: int
    bytes: int
    emulated: bool = False
    report: str = ""
    plan: str = ""


@dataclass(frozen=True)
class Phase:
    """How long a phase took, in seconds."""

    name: str
    seconds: int


@dataclass
class Outcome:
    """What a run came to besides its result: steps add to it, and its record has it.

    `read` are the names of backups that were read from beginning to end and are as they were made.
    """

    saved: list[Saved] = field(default_factory=list)
    left_out: dict[str, LeftOut] = field(default_factory=dict)
    read: list[str] = field(default_factory=list)
    rehearsal: Rehearsal | None = None

    def leave_out(self, entry: LeftOut) -> None:
        """Note what is not in a backup, once, however often it is looked at."""
        self.left_out[entry.name] = entry


@dataclass(frozen=True)
class Record:
    """A run that has ended.

    `began` is in UTC, as in 2026-11-22T183000Z; `result` is "done", "failed", "refused" or "interrupted", and `status`
    the exit status. `error` and `hint` are what the user was told, `log` is where there is more. `machine` is the
    identity of this machine, `layout` the SHA-256 of its described storage, `kernel` that of the rescue system that
    was made. `methods` are those of BACKUP; `only` is the one of them that was to work, "" for all; `forgotten` the
    name of the backup that was removed.
    """

    command: str
    began: str
    seconds: int
    result: str
    status: int
    version: str = ""
    hostname: str = ""
    machine: str = ""
    error: str = ""
    hint: str = ""
    log: str = ""
    layout: str = ""
    kernel: str = ""
    methods: tuple[str, ...] = ()
    only: str = ""
    forgotten: str = ""
    warnings: tuple[str, ...] = ()
    phases: tuple[Phase, ...] = ()
    media: tuple[Medium, ...] = ()
    saved: tuple[Saved, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    read: tuple[str, ...] = ()
    rehearsals: tuple[Rehearsal, ...] = ()

    @property
    def done(self) -> bool:
        """Whether the command did what it is for."""
        return self.result == "done"

    @property
    def ended(self) -> float:
        """When it ended, in seconds since 1970."""
        return datetime.strptime(self.began, FORMAT).replace(tzinfo=timezone.utc).timestamp() + self.seconds


def dumps(record: Record) -> str:
    """The record on one line of JSON, with all of its fields."""
    return json.dumps(asdict(record))


def keep(var_dir: Path, record: Record) -> Path:
    """Write a new record, and remove the oldest of the same command and result; `RearError` when that cannot be."""
    folder, of = var_dir / FOLDER, f"{record.command}-{record.result}"
    for old in sorted(path for path, name in _files(folder) if name["of"] == of)[: 1 - KEPT]:
        with suppress(OSError):
            old.unlink()
    path, number = folder / f"{record.began}-{of}.json", 0
    while path.exists():
        number += 1
        path = folder / f"{record.began}.{number}-{of}.json"
    rewrite(path, record)
    return path


def rewrite(path: Path, record: Record) -> None:
    """Write a record in the place of one that `keep` wrote."""
    durable.write(path, dumps(record) + "\n")


def load(var_dir: Path) -> list[Record]:
    """The records that are there, oldest first; one that is damaged, or of another version of rear, is passed over."""
    from .encoding import Source, decode

    found = []
    for path, _ in sorted(_files(var_dir / FOLDER)):
        with suppress(OSError, ValueError, RearError):
            source = Source(path.name, own_files.read_text(path))
            record = decode(source, Record, source.parse())
            # A moment that is none is a `ValueError`.
            found.append((record.ended, record))
    return [record for _, record in sorted(found, key=lambda pair: pair[0])]


def _files(folder: Path) -> Iterator[tuple[Path, re.Match[str]]]:
    if folder.is_dir():
        for path in folder.iterdir():
            if name := NAME.fullmatch(path.name):
                yield path, name
