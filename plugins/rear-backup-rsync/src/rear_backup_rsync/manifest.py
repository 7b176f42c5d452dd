# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backup says of itself, and which backups of a machine are there: folders DATE with tree/ and manifest.json."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from rear_core.archive import generations
from rear_core.archive.dates import FORMAT

from .client import ATTRIBUTES

NAME = "manifest.json"
TREE = "tree"
VERSION = 1
# Of a manifest; and what a number or a word in it can be: whoever writes to the place could write anything.
LARGEST = 1 << 20
LARGEST_NUMBER = 1 << 62
LONGEST = 4096


@dataclass(frozen=True)
class Generation:
    """A backup: of which host, machine and paths, and the sum of its files as `listing` counts them.

    `number` orders the backups of a machine, as clocks can be set back. With `fake_super` the server keeps owners and
    the like in extended attributes. `layout` is the SHA-256 of the storage it belongs to, `missed` are files that
    could not be read, `attributes` what was saved of each file besides. `flaw` says why nobody can restore it.
    """

    name: str
    host: str = ""
    machine: str = ""
    number: int = 0
    paths: tuple[str, ...] = ()
    files: int = 0
    bytes: int = 0
    digest: str = ""
    fake_super: bool = False
    missed: int = 0
    attributes: tuple[str, ...] = ATTRIBUTES
    layout: str = ""
    tools: Mapping[str, str] = field(default_factory=dict)
    flaw: str = ""

    @property
    def moment(self) -> datetime:
        """Its time."""
        return datetime.strptime(self.name, FORMAT).replace(tzinfo=timezone.utc)


@dataclass(frozen=True)
class There:
    """The backups of a folder, the newest last; those that nobody can restore; and what was never finished."""

    whole: Sequence[Generation]
    flawed: Sequence[Generation]
    unfinished: Sequence[str]

    @property
    def names(self) -> set[str]:
        """All dates that are taken."""
        partial = {name[: -len(generations.PARTIAL)] for name in self.unfinished}
        return {*(each.name for each in (*self.whole, *self.flawed)), *partial}


def dumps(made: Generation) -> str:
    """The text of a manifest."""
    facts = {name: value for name, value in asdict(made).items() if name not in ("name", "flaw")}
    return json.dumps({"rear-rsync": VERSION, "created": made.name, **facts}, indent=2) + "\n"


def found(home: Path) -> There:
    """What is in a folder of backups; raises `OSError` for one that cannot be read."""
    try:
        names = sorted(os.listdir(home))
    except FileNotFoundError:
        names = []
    there = [_generation(home / name) for name in names if _is_date(name)]
    whole = sorted((each for each in there if not each.flaw), key=lambda each: (each.number, each.name))
    unfinished = [
        name for name in names if name.endswith(generations.PARTIAL) and _is_date(name[: -len(generations.PARTIAL)])
    ]
    return There(whole, [each for each in there if each.flaw], unfinished)


def _is_date(name: str) -> bool:
    try:
        return bool(generations.PATTERN.fullmatch(name) and datetime.strptime(name, FORMAT))
    except ValueError:
        return False


def _generation(path: Path) -> Generation:
    """A backup by its manifest, which only counts where it is a file and the backup a folder."""
    if path.is_symlink() or not path.is_dir():
        return Generation(path.name, flaw="it is a link or a file in the place of a backup")
    if (path / TREE).is_symlink() or not (path / TREE).is_dir():
        return Generation(path.name, flaw="its files are not there")
    try:
        text = generations.read_small(path / NAME)
    except FileNotFoundError:
        return Generation(path.name, flaw="it has no manifest")
    except (OSError, ValueError) as error:
        return Generation(path.name, flaw=f"its manifest cannot be read: {getattr(error, 'strerror', '') or 'no text'}")
    try:
        return loads(path.name, text)
    except (ValueError, KeyError, TypeError, RecursionError):
        return Generation(path.name, flaw="its manifest is damaged")


def loads(name: str, text: str) -> Generation:
    """The backup that a manifest describes, with a flaw where it is another one; `ValueError` and the like when it is
    damaged."""
    if len(text) > LARGEST:
        raise ValueError("it is too large")
    facts = json.loads(text)
    if facts["rear-rsync"] != VERSION:
        return Generation(name, flaw=f"its version is {facts['rear-rsync']!r:.20}, this rear reads {VERSION}")
    paths = tuple(_text(path) for path in _all(facts, "paths", list))
    if not all(path.startswith("/") for path in paths):
        raise ValueError("a path is not absolute")
    tools = {_text(key): _text(value) for key, value in _all(facts, "tools", dict).items()}
    attributes = tuple(word for word in ATTRIBUTES if word in _all(facts, "attributes", list))
    made = Generation(
        name,
        host=_text(facts["host"]),
        machine=_text(facts["machine"]),
        number=_count(facts["number"]),
        paths=paths,
        files=_count(facts["files"]),
        bytes=_count(facts["bytes"]),
        digest=_text(facts["digest"]),
        fake_super=facts["fake_super"] is True,
        missed=_count(facts["missed"]),
        attributes=attributes,
        layout=_text(facts["layout"]),
        tools=tools,
    )
    created = _text(facts["created"])
    return made if created == name else replace(made, flaw=f"it was created as {created:.40}: someone renamed it")


def _all(facts: Mapping[str, Any], name: str, kind: type) -> Any:
    if not isinstance(facts[name], kind):
        raise TypeError(name)
    return facts[name]


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > LONGEST:
        raise TypeError("no text")
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LARGEST_NUMBER:
        raise TypeError("no number")
    return value
