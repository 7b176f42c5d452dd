# SPDX-License-Identifier: GPL-3.0-or-later
"""The discs that a backup is on: found in any drive by what is on them, and asked for when they are in none."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from rear_core import Refused, Run, questions
from rear_core.archive import Target
from rear_core.archive.generations import choose
from rear_core.archive.manifest import Manifest
from rear_core.archive.repository import prefix, read

from . import pieces
from .drives import Disc, Found, look, release, title

# How long a drive may need for a disc that was just put in, or to be found at all after the machine has started.
DRIVE_SECONDS = 20


class Discs:
    """Where backups are kept (`rear_core.archive.Repository`): on the rescue media of this machine."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.owner = prefix(run)
        room = run.plugins.manager.hook.rear_media_room(run=run)
        # The media are made there: it must not get into the backup. On the healthy machine they may still be there.
        self.folder: Path | None = room.directory.resolve() if room else None

    def __str__(self) -> str:
        return f"the discs of {self.owner}"

    def new(self, archive: str, size: int) -> AbstractContextManager[Target]:
        return pieces.new(self.run, archive, self.owner)

    def names(self) -> list[str]:
        wanted = f"a disc with a backup of {self.owner}"
        found = self._wait(lambda disc: True)
        while not found.discs:
            self._ask(wanted, found)
            found = self._wait(lambda disc: True)
        made = {(disc.manifest.number, disc.manifest.created) for disc in found.discs}
        return list(dict.fromkeys(name for _, name in sorted(made)))

    def manifest(self, name: str) -> str:
        for disc in self._look().discs:
            if disc.manifest.created == name:
                return disc.text
        raise Refused(f"the discs of the backup {name} are missing", "put one of them into a drive and run it again")

    def volume(self, name: str, found: Manifest, number: int) -> Iterator[memoryview]:
        def is_it(disc: Disc) -> bool:
            return disc.manifest == found and disc.number == number + 1

        there = self._look()
        while not any(map(is_it, there.discs)):
            self._ask(title(found, number + 1), there)
            there = self._wait(is_it)
        return read(next(filter(is_it, there.discs)).path)

    def find(self) -> None:
        """Mount what is there, which also keeps it from being taken for a disk to recover to.

        Raises `Refused` when a disc of the chosen backup is missing and nobody can be asked for it.
        """
        name = choose(self.names(), self.run.options.backup, str(self))
        found = self._look()
        chosen = [disc for disc in found.discs if disc.manifest.created == name]
        for disc in chosen:
            self.run.report.say(f"Found {disc}")
        there = {disc.number for disc in chosen}
        missing = [title(chosen[0].manifest, n) for n in range(1, chosen[0].count + 1) if n not in there]
        if missing and not questions.is_interactive(self.run):
            self._refuse(", ".join(missing), found)

    def _look(self) -> Found:
        return look(self.run, self.owner, self.folder)

    def _wait(self, wanted: Callable[[Disc], bool]) -> Found:
        """What is there when the wanted disc is, or a drive that somebody has put another one into."""
        deadline = time.monotonic() + DRIVE_SECONDS
        while True:
            found = self._look()
            ended = time.monotonic() > deadline or (found.drive_ready and questions.is_interactive(self.run))
            if ended or any(map(wanted, found.discs)):
                return found
            time.sleep(1)

    def _ask(self, wanted: str, found: Found) -> None:
        """Have somebody change the disc; the drives are opened for it."""
        if not questions.is_interactive(self.run):
            self._refuse(wanted, found)
        release(self.run)
        self.run.report.say(f"Needed: {wanted}")
        self.run.report.say(f"Found: {found}")
        questions.wait(self.run, "Put it into a drive", quits=f"stopped while waiting for {wanted}, as requested")

    def _refuse(self, wanted: str, found: Found) -> None:
        raise Refused(
            f"this run is unattended and cannot ask for {wanted}; found: {found}",
            "put each disc into a drive of its own, or copy it to a stick, or recover without -n",
        )
