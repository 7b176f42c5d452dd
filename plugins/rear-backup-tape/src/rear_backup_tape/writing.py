# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup while it is written to tapes; each tape is read back before the next one is asked for."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from rear_core import RearError, Refused
from rear_core.archive import Volume, signature
from rear_core.archive.progress import Progress, size
from rear_core.archive.volumes import checked
from rear_core.media.tape import Label, go_to_data, now, write_label

from .volume import CONTINUED, Header, Unreadable, read_header, read_texts, write_header, write_text

if TYPE_CHECKING:
    from .place import Tapes


class Writing:
    """The volumes of a new backup, one to a tape, as a target for its archive; `name` is its time."""

    number = 0
    chunk_size = 0

    def __init__(self, tapes: Tapes, name: str) -> None:
        self.tapes = tapes
        self.run = tapes.run
        self.name = name
        self.block_size: int = self.run.settings["TAPE_BLOCK_SIZE"]
        self.header = Header(tapes.machine, name, 0, self.block_size, tapes.identity, signature.own_mark(self.run))
        self.part = Volume(0, "")
        self.texts: dict[str, str] = {}
        self._loaded = ExitStack()

    def begin(self, *, erase: bool = False) -> None:
        """Begin the next volume on the tape in the drive; `Refused` unless it may be overwritten, or shall be."""
        self.tape = self._loaded.enter_context(self.tapes.drive(self.tapes.device, write=True))
        # The first tape may well hold a backup that was made in this very second.
        name = self.name if self.header.volume else ""
        if erase and not self.tapes.holds(self.tape, name):
            write_label(self.tape, Label(now()))
        self.tapes.check_writable(self.tape, name)
        header = replace(self.header, volume=self.header.volume + 1)
        go_to_data(self.tape, self.tapes.device)
        write_header(self.tape, header)
        self.header, self.texts = header, {}

    def write(self, block: memoryview) -> int:
        return self.tape.write(block)

    def end_volume(self, volume: Volume, *, last: bool) -> None:
        self.tape.mark()
        self.part = volume
        if not last:
            self.add(CONTINUED, f"on volume {self.header.volume + 1}\n")
            self.prove()
            self.close()
            self.go_on()

    def add(self, name: str, text: str) -> None:
        write_text(self.tape, name, text, self.block_size)
        self.texts[name] = text

    def prove(self) -> None:
        """Compare what is on the tape now with what was sent to it."""
        if self.run.settings["TAPE_VERIFY"]:
            go_to_data(self.tape, self.tapes.device)
            try:
                same = read_header(self.tape) == self.header
            except Unreadable as error:
                raise RearError(f"{self.header}: {error.message}", "clean the drive, or use another tape") from error
            progress = Progress(self.run.report, "Reading back", self.part.size, events=self.run.options.json_progress)
            done = 0
            for record in checked(self.tape.records(self.block_size), str(self.header), self.part):
                done += len(record)
                progress.at(done)
            progress.end()
            if not same or read_texts(self.tape, self.block_size) != self.texts:
                raise RearError(f"{self.header} differs from what was written", "clean the drive, or use another tape")
        self.tape.rewind()
        self.run.report.say(f"{self.tapes} holds {self.header} now ({size(self.part.size)})")

    def go_on(self) -> None:
        """Begin the next volume on another tape, which the user puts in."""
        reason = f"{self.tapes} is full"
        title = f"a tape for volume {self.header.volume + 1} of the backup {self.name}"
        while True:
            erase = self.tapes.ask(reason, title, RearError, may_erase=True)
            try:
                return self.begin(erase=erase)
            except (Refused, OSError) as error:
                self.close()
                reason = (
                    error.message if isinstance(error, Refused) else f"{self.tapes} cannot be used: {error.strerror}"
                )

    def close(self) -> None:
        """Let go of the tape."""
        self._loaded.close()
