# SPDX-License-Identifier: GPL-3.0-or-later
"""What a place of backups is to those who save and restore: a folder of this machine, or one on a server."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from rear_core import ProgramFailed, RearError

from .manifest import There


class Store(Protocol):
    """The backups of one machine; `str(store)` names the place to the user.

    All methods raise `RearError` where the place does not do what it should.
    """

    folder: Path | None
    """The folder of this machine's file systems that must not get into the backup, where there is one."""

    home: Path | None
    """Where the backups of this machine really are, if a link leads out of that folder."""

    def look(self) -> There:
        """What is there."""

    def locked(self) -> AbstractContextManager[None]:
        """A block in which nobody else saves here; `Refused` when somebody does."""

    def check(self) -> None:
        """Raise `Refused` unless backups can be kept here with all that belongs to files."""

    def keeps_in_attributes(self) -> bool:
        """Whether owners and the like have to be kept in extended attributes (`--fake-super`)."""

    def at(self, name: str) -> str:
        """The files of a backup, as rsync knows them."""

    def base(self, name: str) -> str:
        """Likewise, for a new backup to be compared with: from the root where that is known, which costs rsync less."""

    def writing(self, *, fake: bool) -> Sequence[str]:
        """The options by which rsync writes here."""

    def reading(self, *, fake: bool) -> Sequence[str]:
        """The options by which rsync reads from here."""

    def listing(self, name: str, *, fake: bool) -> tuple[list[str], bytes]:
        """What lists all files of a backup, as `listing` reads it, and what ends each entry."""

    def begin(self, name: str) -> None:
        """Make the folder of a new backup that does not count yet."""

    def settle(self, name: str, files: Iterable[bytes]) -> None:
        """Have these files of it on their disk and not in memory, as far as that can be."""

    def publish(self, name: str, text: str) -> None:
        """Write its manifest, wait until all is on its disk, and let it count."""

    def hide(self, name: str) -> None:
        """Let a backup count no more."""

    def remove(self, unfinished: str) -> None:
        """Remove what does not count; nothing that is mounted in it, and nothing that a link in it leads to."""

    def read_data(self, name: str, total: int) -> str:
        """Read the contents of all files; what could not be read, "" when all could."""

    def failed(self, error: ProgramFailed) -> RearError:
        """What an error of rsync means here."""
