# SPDX-License-Identifier: GPL-3.0-or-later
"""Where backups are kept: folders, and what plugins for other media bring instead."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from .. import own_files
from ..errors import SCARCE, RearError, Refused
from ..pipes import BLOCK
from ..system.identity import computed, known
from . import generations, sample, signature
from .described import recorded, signers
from .manifest import LARGEST, NAME, OTHER_BACKUP, Manifest, loads
from .read_back import ReadBack, forget
from .volumes import CHUNK, Damaged, Target, Volume, checked, chunk_size

if TYPE_CHECKING:
    from ..run import Run


class Repository(Protocol):
    """Where the backups of one machine are kept; `str(place)` names it to the user.

    A medium that has to be put into its drive first is asked for by `manifest` and `volume`. They raise `Refused`, or
    `OSError`, when something is not there or cannot be read.
    """

    folder: Path | None
    """The folder of this machine's file systems that must not get into the backup, where there is one."""

    def new(self, archive: str, size: int) -> AbstractContextManager[Target]:
        """A new backup, whose archive has this name and is made of about so many bytes; it counts when the block ends
        well."""

    def names(self) -> list[str]:
        """The backups that are there, oldest first."""

    def manifest(self, name: str) -> str:
        """The text of the manifest of a backup."""

    def volume(self, name: str, found: Manifest, number: int) -> Iterator[memoryview]:
        """What is in a volume of the archive; the first has number 0."""


REPLACED = (
    "the archive was removed or replaced while rear wrote it",
    "find out what removes files in the place of the backups; earlier backups are unchanged",
)


class FolderRepository:
    """The backups of a machine below a folder, each one a folder with the archive in one volume."""

    def __init__(self, run: Run, directory: Path) -> None:
        self.run = run
        self.folder: Path | None = Path(os.path.realpath(directory))
        self.home = directory / prefix(run)

    def __str__(self) -> str:
        url = self.run.settings.get("BACKUP_URL")
        # What is mounted for this run alone is at a path that nobody knows.
        mounted = url is not None and url.scheme != "file"
        return f"{url}/{prefix(self.run)}" if mounted else str(self.home)

    @contextmanager
    def new(self, archive: str, size: int) -> Iterator[Target]:
        try:
            with generations.locked(self.home) as alone:
                if not alone:
                    self.run.report.warn(f"{self} supports no locks: no other machine may save there")
                before = self.check_owner()
                number = min(1 + max((old.number for old in before), default=0), LARGEST)
                there = [old.name for old in before][-generations.MOST :]
                with generations.new(self.home) as (partial, name), ExitStack() as stack:
                    file = stack.enter_context(open(new_file(partial / archive), "wb"))
                    reads = self.run.settings["BACKUP_READ_BACK"]
                    chunk = chunk_size(size)
                    back = stack.enter_context(ReadBack(partial / archive, chunk).running()) if reads else None
                    yield FolderTarget(name, number, partial, file, back, chunk, (*there, name))
                    made = generations.Identity.of(partial / archive)
                    if not made or made != generations.Identity.of(file.fileno()):
                        raise RearError(*REPLACED)
                if generations.Identity.of(self.home / name / archive) != made:
                    generations.withdraw(self.home / name)
                    raise RearError(*REPLACED)
                if not reads:
                    self.run.report.say("Compared only the size of the backup: BACKUP_READ_BACK is no")
                self._check_made(name, generations.found(self.home))
                self._prune(name)
        except OSError as error:
            if error.errno in SCARCE:
                raise
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise RearError(
                f"cannot write the backup to {self}: {self._inside(error)}{error.strerror}",
                "make room there: rear keeps the previous backup until a new one is complete"
                if full
                else "check its server or disk; earlier backups are unchanged",
            ) from error

    def _inside(self, error: OSError) -> str:
        """What an error is about, when that is not all of the folder."""
        name = str(error.filename or "")
        return f"{name}: " if name not in ("", str(self.home)) else ""

    def check_owner(self) -> list[generations.Generation]:
        """The backups that are there; `Refused` when another machine keeps its own there: it would lose them."""
        try:
            own, found = identity(self.run), generations.found(self.home)
        except OSError as error:
            raise Refused(
                f"cannot look for backups in {self}: {self._inside(error)}{error.strerror}",
                "it must be a folder that this machine can read; check it, its server or disk",
            ) from error
        others = {other.machine: other.name for other in found if other.machine not in ("", own)}
        if own and others:
            machine, name = next(iter(others.items()))
            raise Refused(
                f"{self} has backups of another machine, as {name} (identity {machine}, this one is {own})",
                "set BACKUP_PREFIX; or if they are of this machine on other hardware, move them to another folder",
            )
        return found

    def _check_made(self, name: str, found: Sequence[generations.Generation]) -> None:
        """Warn of those that nobody can restore; raise `RearError` when it is the new one, before an older one goes
        for it."""
        for other in (other for other in found if not other.whole):
            if other.name == name:
                # One more each night, none of which ever counts, would fill the place.
                generations.withdraw(self.home / name)
                raise RearError(f"the new backup {self.home / name} is damaged: {other.flaw}", "check its disk")
            self.run.report.warn(f"{self.home / other.name} is not a valid backup, but takes up room: {other.flaw}")

    def _prune(self, made: str) -> None:
        """Remove old backups, and tell of what takes the room of one."""
        keep = self.run.settings["BACKUP_KEEP"]
        gone, problems = generations.prune(self.home, keep, made, self._signed_here(), self._looks_good)
        for old in gone:
            self.run.report.detail(f"Removed the backup {old}: BACKUP_KEEP is {keep}")
        for problem in problems:
            self.run.report.warn(f"an old backup could not be removed and takes up room: {problem}")
        for left in generations.unfinished(self.home):
            self.run.report.warn(f"an unfinished backup takes up room: {left}")

    def _looks_good(self, old: generations.Generation, many: int) -> bool:
        """Whether parts of an archive, of one of so many backups, are as its manifest says; otherwise rear warns."""
        try:
            found = loads(generations.read_small(self.home / old.name / NAME)).manifest
            path = self._archive(old.name, found)
            (volume,) = found.parts
            if not volume.chunk_size:
                raise Damaged("parts of it have no checksums")
            wanted = sample.parts_of_many(volume.chunk_size, many)
            few = volume.count <= wanted
            forgotten(path)
            for number in range(volume.count) if few else sample.drawn(volume.count, wanted):
                chunk = volume.chunk(number)
                for _ in checked(read(path, number * volume.chunk_size, chunk.size), str(path), chunk):
                    pass
        except (OSError, ValueError, Refused, Damaged) as error:
            reason = error.message if isinstance(error, RearError) else str(error)
            self.run.report.warn(
                f"{self.home / old.name} is not a valid backup, so rear removes no other for it: {reason}"
            )
            return False
        return True

    def _signed_here(self) -> generations.Proof:
        """What tells whether this machine has made a backup; any may be its own while it has no key."""
        return self._signed_by([key for key in (signature.public_key(self.run), *signers(self.run)) if key])

    def _signed_by(self, keys: Sequence[str]) -> generations.Proof:
        return lambda sealed: (
            not keys or (bool(sealed.signature) and signature.verify(self.run, sealed.text, sealed.signature, keys))
        )

    def names(self) -> list[str]:
        """The backups that are there; those that nobody can restore are told of, and never the newest."""
        known = signers(self.run)
        found = generations.found(self.home, self._signed_by(known))
        for other in (other for other in found if other.foreign):
            self.run.report.warn(f"{self.home / other.name} cannot be restored: {other.flaw}")
        return [generation.name for generation in sorted(found, key=lambda each: not each.foreign)]

    def manifest(self, name: str) -> str:
        path = self.home / name / NAME
        try:
            return generations.read_small(path)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise Refused(f"the manifest {path} cannot be read: {error.strerror}", OTHER_BACKUP) from error

    def checksum(self, name: str, file: str) -> str:
        """The SHA-256 of a small file beside an archive, "" when it cannot be read."""
        try:
            return hashlib.sha256(generations.read_small(self.home / name / file).encode()).hexdigest()
        except (OSError, UnicodeDecodeError):
            return ""

    def volume(self, name: str, found: Manifest, number: int) -> Iterator[memoryview]:
        return read(self._archive(name, found))

    def part(self, name: str, found: Manifest, begin: int, size: int) -> Iterator[memoryview]:
        """A part of the archive."""
        return read(self._archive(name, found), begin, size)

    def _archive(self, name: str, found: Manifest) -> Path:
        path = self.home / name / found.archive
        try:
            status = path.lstat()
        except FileNotFoundError:
            raise Refused(f"the backup {path.parent} has no archive {found.archive}", OTHER_BACKUP) from None
        if not stat.S_ISREG(status.st_mode):
            raise Refused(f"the archive {path} is not a file", OTHER_BACKUP)
        there = status.st_size
        if there < found.size:
            raise Refused(f"the archive {path} is truncated: it has {there} of {found.size} bytes", OTHER_BACKUP)
        if there > found.size:
            raise Refused(f"the archive {path} is too long: it has {there} bytes, not {found.size}", OTHER_BACKUP)
        return path


class FolderTarget:
    """A generation while it is written, and read back by `back`."""

    block_size = 0

    def __init__(
        self, name: str, number: int, partial: Path, file: IO[bytes], back: ReadBack | None, chunk_size: int = CHUNK,
        there: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self.chunk_size = chunk_size
        self.there = there
        self.name = name
        self.number = number
        self.partial = partial
        self.file = file
        self.back = back

    def write(self, block: memoryview) -> int:
        count = self.file.write(block)
        if self.back:
            self.back.written(self.file.tell())
        return count

    def end_volume(self, volume: Volume, *, last: bool) -> None:
        self.file.flush()
        os.fsync(self.file.fileno())
        same = os.fstat(self.file.fileno()).st_size == volume.size
        if not same or (self.back and self.back.end(volume.size) != volume):
            raise RearError(
                f"the backup in {self.partial} differs from what rear wrote",
                "do not trust its disk or server; earlier backups are unchanged",
            )

    def add(self, name: str, text: str) -> None:
        generations.write(self.partial / name, text)

    def add_bytes(self, name: str, data: bytes) -> None:
        """Write a small file that is no text; it is what it was when it is read back."""
        path = self.partial / name
        with os.fdopen(new_file(path), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        forgotten(path)
        if b"".join(map(bytes, read(path))) != data:
            raise RearError(
                f"{path} differs from what rear wrote",
                "do not trust its disk or server; earlier backups are unchanged",
            )


@contextmanager
def in_use(run: Run, directory: Path) -> Iterator[None]:
    """A block in which what holds the chosen backup of a folder cannot be unmounted, wherever links lead to it."""
    assert run.backup is not None
    place = directory / prefix(run) / run.backup.name
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield
    finally:
        os.close(descriptor)


def prefix(run: Run) -> str:
    """The folder of this machine's backups below the URL: BACKUP_PREFIX, or the host name that was recorded."""
    return str(run.settings["BACKUP_PREFIX"]) or hostname(run)


def hostname(run: Run) -> str:
    """The recorded host name, this machine's when nothing was recorded yet."""
    path = run.recovery_dir / "system.json"
    if not os.path.lexists(path):
        return run.system.hostname
    try:
        # The rescue system may not have the name of the machine.
        return str(json.loads(own_files.read_text(path))["system"]["hostname"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise own_files.unreadable(path, error) from error


def identity(run: Run) -> str:
    """The identity of the machine that the run is about: when recovering the recorded one, "" when none is known."""
    return str(recorded(run, "identity") or "") if "verify" in run.phases else known(run.var_dir, computed())


def opened(run: Run, place: Path | Repository) -> Repository:
    """A place; a folder, which most are, may be given by its path."""
    return FolderRepository(run, place) if isinstance(place, Path) else place


def new_file(path: Path) -> int:
    """A descriptor of a file that was not there, for its owner alone."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)


def forgotten(path: Path) -> None:
    """Have a file on its disk or server and not in memory, as far as its file system can."""
    descriptor = generations.open_file(path)
    try:
        forget(descriptor)
    finally:
        os.close(descriptor)


def read(path: Path, begin: int = 0, size: int = sys.maxsize) -> Iterator[memoryview]:
    """What is in a file, or in a part of it; `OSError` for a link, and for what is no file."""
    buffer = memoryview(bytearray(BLOCK))
    with os.fdopen(generations.open_file(path), "rb", buffering=0) as file:
        file.seek(begin)
        while count := file.readinto(buffer[: min(BLOCK, size)]):
            yield buffer[:count]
            size -= count
