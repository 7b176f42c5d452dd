# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups in a folder of this machine: a disk that is plugged in, a share, or any other folder."""

from __future__ import annotations

import os
import stat
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from rear_core import ProgramFailed, RearError, Refused, Run
from rear_core.archive import generations
from rear_core.archive.progress import Progress
from rear_core.archive.repository import forgotten
from rear_core.durable import flush
from rear_core.places.room import check_writable
from rear_core.removal import discard, remove_tree

from . import attributes, manifest
from .client import COARSE
from .failures import EARLIER, failure

# Of find: as rsync lists a file, but for its name, which is as it is.
FORM = "%M %s %TY/%Tm/%Td %TH:%TM:%TS %P"
SYNC_SECONDS = 4 * 3600


class Folder:
    """A `Store` below a folder that is there or mounted; the user knows it as `shown`."""

    def __init__(self, run: Run, directory: Path, name: str, prefix: str, shown: str) -> None:
        self.run = run
        self.directory = directory
        self.place = directory / name / prefix
        self.folder: Path | None = Path(os.path.realpath(directory))
        real = Path(os.path.realpath(self.place))
        self.home: Path | None = real if real.is_mount() or self.folder not in real.parents else None
        self._shown = f"{shown}/{name}/{prefix}"

    def __str__(self) -> str:
        return self._shown

    def look(self) -> manifest.There:
        try:
            return manifest.found(self.place)
        except OSError as error:
            raise self._error("cannot be read", error) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        with ExitStack() as held:
            with self._at_work():
                alone = held.enter_context(generations.locked(self.place))
            if not alone:
                self.run.report.warn(f"{self} supports no locks: no other machine may save there")
            yield

    def check(self) -> None:
        check_writable(self.place, str(self))
        self.keeps_in_attributes()

    def keeps_in_attributes(self) -> bool:
        self.writing(fake=self.run.settings["RSYNC_FAKE_SUPER"] == "yes")
        there = next(path for path in (self.place, *self.place.parents) if path.is_dir())
        probe = there / f".rear-{uuid.uuid4().hex}"
        with self._at_work():
            probe.mkdir(mode=0o700)
        try:
            with self._at_work():
                attributes.make(probe)
            self._judge(probe)
        finally:
            discard(probe)
        return False

    def _judge(self, probe: Path) -> None:
        """`Refused` where a file of this folder has not all that it should."""
        settings = self.run.settings
        coarse = COARSE in settings["RSYNC_OPTIONS"]
        if lost := attributes.lost(probe, coarse=coarse, wanted=settings["RSYNC_ATTRIBUTES"]):
            other = "use a file system of Linux, or a server by ssh (RSYNC_REPOSITORY)"
            raise Refused(f"{self} keeps no {lost} of files", attributes.advice(lost, other))

    def at(self, name: str) -> str:
        return os.fspath(self.place / name / manifest.TREE)

    base = at

    def writing(self, *, fake: bool) -> Sequence[str]:
        if fake:
            # Told to do so on one side of a local copy alone, rsync 3.2.7 writes to a folder with a name by chance.
            raise Refused(
                f"owners of files are in extended attributes, or should be, which {self} cannot do without a server",
                "reach it by ssh, as RSYNC_REPOSITORY=user@server:/folder; to save in a folder: RSYNC_FAKE_SUPER=auto",
            )
        return list(self.run.settings["RSYNC_OPTIONS"])

    reading = writing

    def listing(self, name: str, *, fake: bool) -> tuple[list[str], bytes]:
        # rsync needs twice the time for it, which counts where nothing changed.
        tree = f"{self.at(name)}/"
        return ["find", tree, "-type", "l", "-printf", f"{FORM} -> %l\\0", "-o", "-printf", f"{FORM}\\0"], b"\0"

    def begin(self, name: str) -> None:
        with self._at_work():
            (self.place / name).mkdir(mode=0o700)

    def settle(self, name: str, files: Iterable[bytes]) -> None:
        self._flush(self.place / name)
        tree = os.fsencode(self.at(name))
        for file in files:
            with suppress(OSError):
                forgotten(Path(os.fsdecode(tree + b"/" + file)))

    def publish(self, name: str, text: str) -> None:
        partial = self.place / (name + generations.PARTIAL)
        with self._at_work():
            generations.write(partial / manifest.NAME, text)
            self._flush(partial)
            flush(partial)
            partial.rename(self.place / name)
            flush(self.place)

    def hide(self, name: str) -> None:
        with self._at_work():
            (self.place / name).rename(self.place / (name + generations.PARTIAL))

    def remove(self, unfinished: str) -> None:
        path = self.place / unfinished
        with self._at_work():
            if stat.S_ISDIR(path.lstat().st_mode):
                remove_tree(path)
            else:
                path.unlink()

    def read_data(self, name: str, total: int) -> str:
        progress = Progress(self.run.report, "Checking", total, events=self.run.options.json_progress)
        done = 0

        def take(block: memoryview) -> None:
            nonlocal done
            done += len(block)
            progress.at(done)

        argv = ["find", self.at(name), "-xdev", "-type", "f", "-exec", "cat", "--", "{}", "+"]
        try:
            self.run.sh.pipe(argv, take=take)
        except ProgramFailed as error:
            return next(iter(error.output.splitlines()), error.message)
        progress.end()
        return ""

    def failed(self, error: ProgramFailed) -> RearError:
        return failure(str(self), "", error)

    def _flush(self, path: Path) -> None:
        self.run.sh.run("sync", "--file-system", path, timeout=SYNC_SECONDS)

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._error("cannot be written", error) from error

    def _error(self, what: str, error: OSError) -> RearError:
        name = f"{error.filename}: " if error.filename else ""
        return RearError(f"{self} {what}: {name}{error.strerror}", f"check its disk or server; {EARLIER}")
