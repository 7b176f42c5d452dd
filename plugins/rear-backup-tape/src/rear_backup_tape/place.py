# SPDX-License-Identifier: GPL-3.0-or-later
"""The tapes of one machine as a place of backups: a set of tapes holds one backup, volume by volume."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from rear_core import RearError, Refused, Run, questions
from rear_core.archive import Target, signature
from rear_core.archive.generations import OTHER_KEY
from rear_core.archive.manifest import NAME as MANIFEST
from rear_core.archive.manifest import Manifest
from rear_core.archive.repository import identity, prefix
from rear_core.archive.restore import agree
from rear_core.media.tape import EJECT, Drive, Label, Tape, go_to_data, has_data, now, opened
from rear_core.system.identity import may_be_one

from .volume import CONTINUED, Header, Unreadable, read_header, read_texts

Found = TypeVar("Found")

# What may be written over, as somebody has said in this run: it is asked before the work is begun.
GIVEN_UP: set[Header | Label] = set()


class Tapes:
    """The tapes that are put into the drive of this machine, one after the other."""

    folder: Path | None = None

    def __init__(self, run: Run, drive: Drive = opened) -> None:
        self.run = run
        self.drive = drive
        self.device = Path(run.settings["TAPE_DEVICE"])
        self.machine = prefix(run)
        self.identity = identity(run)

    def __str__(self) -> str:
        return f"the tape in {self.device}"

    @contextmanager
    def new(self, archive: str, size: int) -> Iterator[Target]:
        from .writing import Writing

        writing = Writing(self, now())
        try:
            writing.begin()
            yield writing
            writing.prove()
        except OSError as error:
            raise RearError(
                f"cannot write to {self}: {error.strerror}",
                "clean the drive, or use another tape; if even the first record fails, set TAPE_BLOCK_SIZE to a"
                " smaller size",
            ) from error
        finally:
            writing.close()

    def names(self) -> list[str]:
        with self.drive(self.device) as tape:
            header = self.header(tape)
        if header is None:
            return []
        self.run.report.say(f"{self.device}: {header}")
        if header.machine != self.machine:
            raise Refused(f"{self} belongs to {header.machine}, not to {self.machine}", "insert a tape of this machine")
        return [header.backup]

    def manifest(self, name: str) -> str:
        def texts(header: Header, tape: Tape) -> dict[str, str] | None:
            found = read_texts(tape, header.block_size) if has_data(tape) else {}
            return None if CONTINUED in found else found

        found = self.wanted(f"the last volume of the backup {name}", name, texts)
        if MANIFEST not in found:
            raise FileNotFoundError(f"no manifest on {self}")
        return found[MANIFEST]

    def volume(self, name: str, found: Manifest, number: int) -> Iterator[memoryview]:
        def right(header: Header, tape: Tape) -> Header | None:
            is_it = header.volume == number + 1 and header.identity in ("", found.machine)
            return header if is_it else None

        header = self.wanted(f"volume {number + 1} of the backup {name}", name, right)
        with self.drive(self.device) as tape:
            self.header(tape)
            yield from tape.records(header.block_size)

    def header(self, tape: Tape) -> Header | None:
        """The header of a tape, behind which the archive begins; `Refused` for one without rear's label, and for one
        that cannot be read."""
        go_to_data(tape, self.device)
        try:
            return read_header(tape)
        except Unreadable as error:
            raise Unreadable(f"{self} may hold a backup: {error.message}", error.hint) from error

    def holds(self, tape: Tape, name: str) -> bool:
        """Whether a tape, with or without label, belongs to a backup of this machine."""
        try:
            header = self.header(tape)
        except Refused:
            return False
        return header is not None and self._is_ours(header) and header.backup == name

    def _is_ours(self, header: Header) -> bool:
        """Whether a tape belongs to this machine, as far as both have an identity."""
        return header.machine == self.machine and may_be_one(header.identity, self.identity)

    def check_writable(self, tape: Tape, name: str = "") -> None:
        """Raise `Refused` when a tape holds what must not be lost; an older backup of this machine may."""
        advice = f"insert a tape of {self.machine}; if you no longer need that backup: rear format {self.device}"
        label = go_to_data(tape, self.device)
        try:
            header = read_header(tape)
        except Unreadable as error:
            self._give_up(label, f"{self} may hold a backup: {error.message}", f"{error.hint}; or {advice}")
            return
        if header is None:
            return
        if not self._is_ours(header):
            named = f" (identity {header.identity}, this one is {self.identity})" if header.identity else ""
            raise Refused(f"{self} holds {header}, which is another machine{named}", advice)
        if signature.is_other(header.signer, signature.known_marks(self.run)):
            raise Refused(f"{self} holds {header}, and {OTHER_KEY}", advice)
        if header.backup == name:
            raise Refused(f"{self} holds {header}, which this run wrote", "insert another tape")
        if self.identity and not header.identity:
            problem = f"{self} holds {header}, which may be of this machine or of another with the same name"
            self._give_up(header, problem, advice)

    def _give_up(self, tape: Header | Label, problem: str, advice: str) -> None:
        """Have somebody agree, once for each tape, that what is on it gets lost; raise `Refused` otherwise."""
        if tape not in GIVEN_UP:
            agree(self.run, problem, advice, "Overwrite it")
            GIVEN_UP.add(tape)

    def wanted(self, title: str, name: str, found: Callable[[Header, Tape], Found | None]) -> Found:
        """What `found` makes of the right tape; one that is not in the drive is asked for, as often as it takes."""
        while True:
            try:
                with self.drive(self.device) as tape:
                    header = self.header(tape)
                    if header and (header.machine, header.backup) == (self.machine, name):
                        result = found(header, tape)
                        if result is not None:
                            return result
                reason = f"{self} holds {header or 'no backup'}"
            except Refused as refusal:
                reason = refusal.message
            self.ask(reason, title, Refused if self.run.backup is None else RearError)

    def ask(self, reason: str, title: str, error: type[RearError], *, may_erase: bool = False) -> bool:
        """Have the user change the tape; whether what another one holds may be lost. Raises `error` without a user."""
        if not questions.is_interactive(self.run):
            raise error(
                f"{reason}; {title} is needed, but this run is unattended",
                "run it on a terminal and without -n",
            )
        self.eject()
        self.run.report.say(f"{reason}.")
        quits = f"stopped before {title} was inserted into {self.device}, as requested"
        more = ", or type erase to overwrite the tape that is in it, or quit: " if may_erase else ", or type quit: "
        answers = {"": False, "erase": True} if may_erase else {"": False}
        question = f"Put {title} into {self.device} and press Enter{more}"
        return questions.choose(self.run, question, answers, quits=quits)

    def eject(self) -> None:
        """Give the tape back; a drive that cannot do that has a button."""
        try:
            with self.drive(self.device) as tape:
                tape.do(EJECT)
        except (OSError, Refused) as error:
            self.run.report.log(f"Not ejected: {error}")
