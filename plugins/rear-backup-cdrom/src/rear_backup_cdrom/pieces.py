# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes an archive in pieces, each for one medium, and hands them to the output that makes the media."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path

from rear_core import RearError, Refused, Run, durable, own_files
from rear_core.archive.dates import FORMAT
from rear_core.archive.generations import write
from rear_core.archive.manifest import LARGEST, NAME, is_count
from rear_core.archive.repository import new_file
from rear_core.archive.volumes import Volume
from rear_core.media.carried import ROOT, Carried, CarriedFile, Room, room
from rear_core.removal import discard, remove_tree

MIB = 1 << 20
# On each medium, for the manifest and the coverage report.
SMALL_FILES = MIB
# Where the pieces wait for their medium.
FOLDER = ".rear-backup.part"
# What a compressor hardly ever surpasses on the files of a machine: with less room a backup is not even begun.
BEST_RATIO = 4


def part_name(archive: str, number: int, count: int) -> str:
    """What the piece of a medium is called there; `cat backup.tar.zst.*` joins them."""
    return archive if count == 1 else f"{archive}.{number:02d}"


def check_space(run: Run, found: Room, amount: int) -> None:
    """Raise `Refused` when `amount` bytes of files, however well compressed, need more room than there is.

    While an image is made its piece is there, too; it goes when the image is proven.
    """
    pieces = amount if run.settings["BACKUP_COMPRESSION"] == "none" else amount // BEST_RATIO
    largest = pieces if found.first is None or found.further is None else min(pieces, max(found.first, found.further))
    existing = next(path for path in (found.directory, *found.directory.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free < pieces + largest:
        raise Refused(
            f"{existing} has {free // MIB} MiB free; the backup and its images need at least"
            f" {(pieces + largest) // MIB} MiB",
            "make room there, or create the media in another place (ISO_DIR); BACKUP_PROG_EXCLUDE leaves files out",
        )


@contextmanager
def new(run: Run, archive: str, home: str) -> Iterator[Pieces]:
    """A new backup in pieces, which `run.carried` names in the end; `home` is its machine's folder on the media.

    The pieces are gone when the run ends, and so is what a killed one left.
    """
    found = room(run)
    if found.first is not None and found.first <= SMALL_FILES:
        raise RearError("the rescue system leaves no room for a backup on the first medium", "use larger media")
    directory = found.directory / FOLDER
    with suppress(FileNotFoundError):
        remove_tree(directory)
    run.undo.callback(discard, directory)
    try:
        directory.mkdir(mode=0o700, parents=True)
        with closing(Pieces(datetime.now(timezone.utc).strftime(FORMAT), archive, found, directory)) as pieces:
            pieces.number = count(run.recovery_dir / "discs.json")
            yield pieces
        run.carried = pieces.carried(f"{ROOT}/{home}/{pieces.name}")
    except OSError as error:
        raise RearError(
            f"cannot write the backup to {directory}: {error.strerror}",
            "make room there; the previous media are unchanged",
        ) from error


def count(path: Path) -> int:
    """The number of a new backup, one more than that of the last one.

    No earlier one need be in reach, and clocks are set back. It is kept before anything is saved, and so comes back
    with what is saved.
    """
    try:
        last = json.loads(own_files.read_text(path))["backups"]
    except (OSError, ValueError, KeyError, TypeError):
        last = 0
    number = min(last + 1, LARGEST) if is_count(last) else 1
    durable.write(path, json.dumps({"backups": number}) + "\n")
    return number


class Pieces:
    """A backup while it is written (`rear_core.archive.Target`): piece after piece as the media have room."""

    block_size = 0
    chunk_size = 0
    number = 0

    def __init__(self, name: str, archive: str, found: Room, directory: Path) -> None:
        self.name = name
        self.archive = archive
        self.room = found
        self.directory = directory
        self.volumes: list[Volume] = []
        self.texts: dict[str, str] = {}
        self._begin()

    def write(self, block: memoryview) -> int:
        limit = self.room.further if self.volumes else self.room.first
        if limit is not None:
            block = block[: max(limit - SMALL_FILES - self._written, 0)]
        self._file.write(block)
        self._written += len(block)
        return len(block)

    def end_volume(self, volume: Volume, *, last: bool) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self.close()
        self.volumes.append(volume)
        if not last:
            if self.room.further is not None and self.room.further <= SMALL_FILES:
                raise RearError(
                    "the backup is larger than the medium, and this output supports only one", "use larger media"
                )
            self._begin()

    def close(self) -> None:
        """Close the piece that is being written."""
        self._file.close()

    def add(self, name: str, text: str) -> None:
        self.texts[name] = text

    def carried(self, home: str) -> Carried:
        """What goes onto each medium, in the folder `home`: its piece and the manifest, which tells the set."""
        media = []
        for number, volume in enumerate(self.volumes, start=1):
            part = part_name(self.archive, number, len(self.volumes))
            files = {f"{home}/{part}": CarriedFile(self._path(number), volume.sha256)}
            for name, text in self.texts.items():
                if name == NAME or number == 1:
                    copy = self.directory / f"{number}.{name}"
                    write(copy, text)
                    files[f"{home}/{name}"] = CarriedFile(copy, hashlib.sha256(text.encode()).hexdigest())
            media.append(files)
        return Carried(self.name, tuple(media))

    def _begin(self) -> None:
        self._file = os.fdopen(new_file(self._path(len(self.volumes) + 1)), "wb")
        self._written = 0

    def _path(self, number: int) -> Path:
        return self.directory / f"{number}.piece"
