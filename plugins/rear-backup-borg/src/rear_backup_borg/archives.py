# SPDX-License-Identifier: GPL-3.0-or-later
"""The archives that rear has made in a repository, of this machine and of others: HOST-DATE, with facts as comment."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from rear_core import Run
from rear_core.archive.dates import FORMAT
from rear_core.archive.external import Found
from rear_core.archive.repository import hostname, identity
from rear_core.errors import understood

# Not what borg keeps of an interrupted save: HOST-DATE.checkpoint.
TITLE = re.compile(r"(.+)-(\d{4}-\d\d-\d\dT\d{6}Z)")
# The same as TITLE for one host, with what an interruption left, as borg takes patterns.
DIGITS = "[0-9]"
GLOB = f"{DIGITS * 4}-{DIGITS * 2}-{DIGITS * 2}T{DIGITS * 6}Z"


@dataclass(frozen=True)
class Archive:
    """An archive: when it was made, on which host and machine, and of which paths."""

    id: str
    host: str
    name: str
    machine: str
    paths: tuple[str, ...]

    @property
    def title(self) -> str:
        """What borg calls it."""
        return f"{self.host}-{self.name}"

    @property
    def moment(self) -> datetime:
        """Its time."""
        return datetime.strptime(self.name, FORMAT).replace(tzinfo=timezone.utc)


@dataclass(frozen=True)
class Listed:
    """What a repository has: archives of rear, oldest first, all titles, and how it is encrypted.

    `key_file` is the file that has the key, "" where the repository has it or there is none.
    """

    archives: Sequence[Archive]
    titles: frozenset[str]
    mode: str
    key_file: str


@dataclass(frozen=True)
class Chosen(Found):
    """The archive to restore, with its bytes; `address` and `environment` are those by which borg reads it."""

    title: str = ""
    bytes: int = 0
    address: str = ""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


def comment(run: Run, paths: Sequence[str]) -> str:
    """What an archive says of itself, as an argument: braces would be placeholders."""
    facts = {"rear": 1, "machine": identity(run), "paths": list(paths)}
    return json.dumps(facts).replace("{", "{{").replace("}", "}}")


def pattern(run: Run) -> str:
    """What matches the archives of this host name alone, as borg takes it, with what interrupted saves left."""
    literal = "".join(f"[{letter}]" if letter in "*?[" else letter for letter in hostname(run))
    return f"{literal}-{GLOB}*".replace("{", "{{").replace("}", "}}")


def new_title(run: Run, taken: frozenset[str], moment: datetime) -> str:
    """A title that no archive has."""
    while (title := f"{hostname(run)}-{moment.strftime(FORMAT)}") in taken:
        moment += timedelta(seconds=1)
    return title


def read(text: str) -> Listed:
    """What `borg list --json --format {comment}` prints.

    >>> text
    '{"archives": [{"name": "web1-2026-11-22T183000Z", "id": "df61", "comment": "{\\"rear\\": 1, \\"machine\\": ...}"}],
    "encryption": {"mode": "repokey-blake2"}, ...}'
    """
    with understood("borg list"):
        document = json.loads(text)
        found = [archive for entry in document["archives"] if (archive := _archive(entry))]
        titles = frozenset(str(entry["name"]) for entry in document["archives"])
        encryption = document["encryption"]
        return Listed(
            sorted(found, key=lambda archive: archive.name), titles, str(encryption["mode"]),
            str(encryption.get("keyfile", "")),
        )  # fmt: skip


def _archive(entry: Mapping[str, str]) -> Archive | None:
    """An archive of the list, None for one that rear has not made."""
    title = TITLE.fullmatch(entry["name"])
    try:
        facts = json.loads(entry["comment"])
        if title and facts["rear"]:
            return Archive(entry["id"], title[1], title[2], str(facts["machine"]), tuple(map(str, facts["paths"])))
    except (ValueError, KeyError, TypeError):
        pass
    return None
