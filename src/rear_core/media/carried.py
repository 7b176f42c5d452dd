# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup that travels on the rescue media: how much of it they can carry, and what they shall carry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import Refused

if TYPE_CHECKING:
    from ..run import Run

# Everything that is carried lies below this folder of its medium.
ROOT = "/backup"


@dataclass(frozen=True)
class Room:
    """How many bytes of a backup the rescue media can carry, None for as many as there are.

    `first` is the room beside the rescue system, `further` that on each further medium that the output makes of the
    rest, 0 where it makes none. The files wait below `directory`, which is where the media are made.
    """

    directory: Path
    first: int | None = None
    further: int | None = 0


@dataclass(frozen=True)
class CarriedFile:
    """A file for a medium, and the SHA-256 that its contents had when they were made."""

    source: Path
    sha256: str


@dataclass(frozen=True)
class Carried:
    """What the rescue media shall carry: the files of each by absolute path on it, the one that boots first.

    `name` tells one such set of media from another, in the names of their files. The output removes the files as soon
    as they are proven to be on their medium.
    """

    name: str
    media: tuple[Mapping[str, CarriedFile], ...]

    def __post_init__(self) -> None:
        assert all(path.startswith(f"{ROOT}/") for files in self.media for path in files)


def room(run: Run) -> Room:
    """The room on the rescue media of this run; `Refused` when their kind carries no backup.

    Before the phase pack is over, when the rescue system is there, its size is a guess.
    """
    found: Room | None = run.plugins.manager.hook.rear_media_room(run=run)
    if found is None:
        methods = " ".join(run.settings["BACKUP"])
        raise Refused(
            f"OUTPUT={run.settings['OUTPUT']} cannot hold a backup, which BACKUP={methods} puts on the rescue media",
            "set OUTPUT=ISO, or choose a BACKUP method that keeps its backups elsewhere",
        )
    return found
