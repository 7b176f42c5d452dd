# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups in a folder on a server: rsync moves the files, and a few commands of its shell, by ssh, do the rest."""

from __future__ import annotations

import os
import re
import shlex
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO

from rear_core import ConfigurationError, ProgramFailed, RearError, Refused, Run
from rear_core.archive import generations
from rear_core.shell import Running

from . import attributes, manifest
from .address import PLAIN, Address
from .client import COARSE, LISTING, PARTIAL, copying, patience, problem
from .failures import EARLIER, failure

SHORT, LONG = 120, 7 * 24 * 3600
# Statuses of our scripts.
NO_FOLDER, NO_PROGRAM, IN_USE, NOT_WRITTEN = 66, 69, 75, 73
# Seconds for which a lock is waited for: one whose holder is gone is free within two.
LOCK_SECONDS = 20

# Each gets the names it works on as arguments.
CHECK = """\
cd -- "$1" || exit 66
shift
for program in flock mv mkdir sync find; do
    command -v $program >/dev/null || { echo "$program: not found" >&2; exit 69; }
done
id -u
"$@" --version
exit 0
"""
# What writes a line every two seconds dies soon after the connection does, and the kernel frees the lock with it. The
# one who sleeps must not have it.
LOCK = """\
umask 077
cd -- "$1" || exit 66
mkdir -p -- "$2" && cd -- "$2" || exit 73
exec 9>>.lock || exit 73
tries=0
until flock -n 9; do
    tries=$((tries + 1))
    [ $tries -le $3 ] || exit 75
    sleep 1 9>&-
done
id -u
while sleep 2 9>&-; do echo; done
"""
BEGIN = 'cd -- "$1" || exit 66; mkdir -m 700 -- "$2" || exit 73\n'
RENAME = """\
cd -- "$1" || exit 66
if [ -e "$3" ] || [ -L "$3" ]; then echo "$3 is there already" >&2; exit 73; fi
if [ -L "$2" ] || [ ! -d "$2" ]; then echo "$2 is no folder" >&2; exit 73; fi
sync -f . 2>/dev/null || sync
mv -- "$2" "$3" || exit 73
sync -f . 2>/dev/null || sync
"""
READ = 'cd -- "$1" || exit 66; find . -xdev -type f -exec cat -- {} + >/dev/null\n'
DIGIT = "[0-9]"
DATE = f"{DIGIT * 4}-{DIGIT * 2}-{DIGIT * 2}T{DIGIT * 6}Z"


class Server:
    """A `Store` behind ssh."""

    folder: Path | None = None
    home: Path | None = None

    def __init__(self, run: Run, address: Address, prefix: str) -> None:
        if not PLAIN.fullmatch(prefix):
            raise ConfigurationError(
                f"BACKUP_PREFIX is {prefix!r}, which cannot be a folder on a server",
                "use letters, digits and . _ - + @ % = , / alone",
            )
        self.run = run
        self.address = address
        self.prefix = prefix
        self.place = f"{address.path.rstrip('/')}/{prefix}"
        self._ssh = shlex.split(run.settings["RSYNC_RSH"])
        if address.port:
            self._ssh += ["-p", str(address.port)]
        self._holder: Running | None = None
        self._uid: int | None = None

    def __str__(self) -> str:
        return f"{self.address.host}:{self.place}"

    def look(self) -> manifest.There:
        """Fetch all manifests, and of all else the kind."""
        with self._work() as mirror:
            names = ("", generations.PARTIAL, f"/{manifest.NAME}", f"/{manifest.TREE}")
            options = [
                "--recursive", "--links", f"--max-size={manifest.LARGEST}",
                *(f"--include=/{DATE}{name}" for name in names), "--exclude=*",
            ]  # fmt: skip
            try:
                self._copy(options, f"{self._rsync(self.place)}/", f"{mirror}/")
            except ProgramFailed as error:
                if error.status == PARTIAL and re.search(r"change_dir .*failed: No such file", error.output):
                    return manifest.There((), (), ())
                raise self.failed(error) from error
            return manifest.found(mirror)

    @contextmanager
    def locked(self) -> Iterator[None]:
        argv = self._command(LOCK, self.address.path, self.prefix, str(LOCK_SECONDS))
        with TemporaryFile() as said, self.run.sh.background(*argv, output=said) as holder:
            deadline = time.monotonic() + SHORT + LOCK_SECONDS
            while (uid := _answer(said)) is None:
                if holder.process.poll() is not None or time.monotonic() > deadline:
                    said.seek(0)
                    output = said.read().decode(errors="replace")
                    status = holder.process.poll()
                    raise self._refused(ProgramFailed(argv, 124 if status is None else status, output))
                time.sleep(0.02)
            self._holder, self._uid = holder, uid
            try:
                yield
            finally:
                self._holder = None

    def check(self) -> None:
        """Look for what is needed there, then put a file there with all that belongs to it, and get it back."""
        said = self._ask()
        # Nobody may be allowed to ask for it, as by sudo(8).
        if "version" in said and (lacking := problem(said)):
            raise Refused(f"{self.address.host}: {lacking}", "install a newer rsync on the server")
        fake = self.keeps_in_attributes()
        name = f".rear-{uuid.uuid4().hex}"
        with self._work() as work:
            there, back = work / name, work / "back"
            for folder in (there, back):
                folder.mkdir()
            attributes.make(there)
            settings = self.run.settings
            wanted, coarse = settings["RSYNC_ATTRIBUTES"], COARSE in settings["RSYNC_OPTIONS"]
            try:
                self._copy(copying(wanted), f"{there}", f"{self._rsync(self.address.path)}/", fake=fake)
                self._copy(copying(wanted), f"{self._rsync(f'{self.address.path}/{name}')}/", f"{back}/", fake=fake)
            except ProgramFailed as error:
                raise self.failed(error) from error
            finally:
                self._forget(self.address.path, name)
            if lost := attributes.lost(back, there, coarse=coarse, wanted=wanted):
                other = "use a file system of Linux there; if rsync is not root on the server: RSYNC_FAKE_SUPER=yes"
                raise Refused(f"{self} keeps no {lost} of files", attributes.advice(lost, other))

    def _ask(self) -> str:
        """Look for what is needed there, and note who we are; what its rsync says of its version."""
        remote = shlex.split(self.run.settings["RSYNC_REMOTE_PATH"]) or ["rsync"]
        user, _, version = self._do(CHECK, self.address.path, *remote).strip().partition("\n")
        self._uid = int(user) if user.isdigit() else None
        return version

    def keeps_in_attributes(self) -> bool:
        chosen = str(self.run.settings["RSYNC_FAKE_SUPER"])
        if chosen == "auto" and self._uid is None:
            self._ask()
        return chosen == "yes" or (chosen == "auto" and self._uid != 0)

    def at(self, name: str) -> str:
        return self._rsync(f"{self.place}/{name}/{manifest.TREE}")

    def base(self, name: str) -> str:
        return f"{self.place if self.place.startswith('/') else '../..'}/{name}/{manifest.TREE}"

    def writing(self, *, fake: bool) -> Sequence[str]:
        remote = str(self.run.settings["RSYNC_REMOTE_PATH"])
        return [
            f"--rsh={shlex.join(self._ssh)}", *([f"--rsync-path={remote}"] if remote else []),
            *(["--remote-option=--fake-super"] if fake else []), *self.run.settings["RSYNC_OPTIONS"],
        ]  # fmt: skip

    reading = writing

    def listing(self, name: str, *, fake: bool) -> tuple[list[str], bytes]:
        argv = ["rsync", *LISTING, *patience(self.run), *self.reading(fake=fake), "--", f"{self.at(name)}/"]
        return argv, b"\n"

    def begin(self, name: str) -> None:
        self._do(BEGIN, self.place, name)

    def settle(self, name: str, files: Iterable[bytes]) -> None:
        """Nobody can have a server forget what is in its memory."""

    def publish(self, name: str, text: str) -> None:
        partial = name + generations.PARTIAL
        with self._work() as work:
            generations.write(work / manifest.NAME, text)
            try:
                self._copy(["--perms"], f"{work / manifest.NAME}", f"{self._rsync(f'{self.place}/{partial}')}/")
            except ProgramFailed as error:
                raise self.failed(error) from error
        if self._holder is not None and self._holder.process.poll() is not None:
            raise RearError(
                f"the connection that holds the lock in {self} was lost, so somebody else may save there",
                f"check the server and the network; {EARLIER}",
            )
        self._do(RENAME, self.place, partial, name, timeout=LONG)

    def hide(self, name: str) -> None:
        self._do(RENAME, self.place, name, name + generations.PARTIAL, timeout=LONG)

    def remove(self, unfinished: str) -> None:
        self._forget(self.place, unfinished)

    def read_data(self, name: str, total: int) -> str:
        self.run.report.say(f"{self.address.host} reads all files of {name}")
        try:
            self._do(READ, f"{self.place}/{name}/{manifest.TREE}", timeout=LONG)
        except ProgramFailed as error:
            return next(iter(error.output.splitlines()), error.message)
        return ""

    def failed(self, error: ProgramFailed) -> RearError:
        return failure(str(self), self.address.login, error)

    def _rsync(self, path: str) -> str:
        return f"{self.address.host}:{path}"

    def _command(self, script: str, *words: str) -> list[str]:
        """A command line that has a script run there; ssh hands over one line, which a shell splits."""
        return [*self._ssh, self.address.login, shlex.join(["sh", "-c", script, "sh", *words])]

    def _do(self, script: str, *words: str, timeout: float = SHORT) -> str:
        argv = self._command(script, *words)
        try:
            return self.run.sh.run(*argv, timeout=timeout).stdout
        except ProgramFailed as error:
            if script == READ and error.status == 1:
                raise
            raise self._refused(error) from error

    def _refused(self, error: ProgramFailed) -> RearError:
        """What the status of a script means."""
        said = next(iter(line for line in error.output.splitlines() if line.strip()), error.message)
        if error.status == IN_USE:
            return Refused(
                f"another run of rear saves to {self}", "wait until it ends, or give each machine a BACKUP_PREFIX"
            )
        if error.status == NO_FOLDER:
            path = shlex.quote(self.address.path)
            return Refused(
                f"there is no folder {self.address.path} on {self.address.host}: {said}",
                f"mount its disk there, or create it once: ssh {self.address.host} mkdir {path}",
            )
        if error.status == NO_PROGRAM:
            return Refused(f"{self.address.host} lacks a program: {said}", "install it there (flock is in util-linux)")
        if error.status == NOT_WRITTEN and not re.search(r"No space|quota|Read-only", error.output):
            return RearError(f"{self} cannot be written: {said}", f"check the rights of the user there; {EARLIER}")
        return self.failed(error)

    def _copy(self, options: Sequence[str], source: str, target: str, *, fake: bool = False) -> None:
        """Have rsync do something small."""
        words = [*patience(self.run), *options, *self.writing(fake=fake), "--", source, target]
        self.run.sh.run("rsync", *words, timeout=LONG)

    def _forget(self, path: str, name: str) -> None:
        """Make a folder there like an empty one, as far as this name goes; rsync deletes no mount point with -x, and
        has the rights of what has written it."""
        with self._work() as empty:
            options = ["--recursive", "--one-file-system", "--delete", f"--include=/{name}", "--exclude=/*"]
            try:
                self._copy(options, f"{empty}/", f"{self._rsync(path)}/")
            except ProgramFailed as error:
                raise self.failed(error) from error

    @contextmanager
    def _work(self) -> Iterator[Path]:
        with TemporaryDirectory(dir=self.run.build_dir) as folder:
            yield Path(folder)


def _answer(said: IO[bytes]) -> int | None:
    """The user that a locked script told, None while it has not."""
    found = re.match(rb"\s*(\d+)\n", os.pread(said.fileno(), 100, 0))
    return int(found[1]) if found else None
