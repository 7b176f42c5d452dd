# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders behind an ssh server, reached by sftp or rsync: with keys, to hosts that root's known_hosts knows."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ..errors import ProgramFailed, RearError
from .delivery import beside, checksum
from .url import Url

if TYPE_CHECKING:
    from ..run import Run

# Nobody answers questions, and a server that falls silent is an error.
OPTIONS = ("BatchMode=yes", "ConnectTimeout=30", "ServerAliveInterval=15", "ServerAliveCountMax=4")
SECONDS = 12 * 60 * 60
# rsync(1): partial transfer due to error, as when a file is not there
PARTIAL = 23


@dataclass(frozen=True)
class _Ssh:
    run: Run
    url: Url
    options: str
    mode: int

    def _words(self) -> list[str]:
        """Options of ssh as arguments."""
        own = [f"User={self.url.user}"] if self.url.user else []
        own += [f"Port={self.url.port}"] if self.url.port else []
        # The first value counts, and so what the administrator says goes before ours.
        chosen = [*self.options.split(","), *own, *OPTIONS]
        return [word for option in chosen if option for word in ("-o", option)]

    def _remote(self, name: str) -> str:
        return f"{self.url.path.rstrip('/')}/{name}"

    @contextmanager
    def _work(self) -> Iterator[Path]:
        with TemporaryDirectory(dir=self.run.build_dir) as folder:
            yield Path(folder)


class Sftp(_Ssh):
    """The folder must exist; a server that keeps to files alone (ForceCommand internal-sftp) is enough."""

    def put(self, source: Path, name: str, sha256: str) -> None:
        """Write beside the place, read back, rename."""
        part = os.fspath(beside(Path(self._remote(name))))
        folders = [f"-mkdir {_quoted(self._remote(os.fspath(parent)))}" for parent in _folders(name)]
        with self._work() as work:
            self._do(
                *folders,
                f"put -f {_quoted(source)} {_quoted(part)}",
                f"chmod {self.mode:o} {_quoted(part)}",
                f"get {_quoted(part)} {_quoted(work / 'back')}",
            )
            if checksum(work / "back") != sha256:
                self._do(f"rm {_quoted(part)}")
                raise RearError(f"{self.url}/{name} differs from {source}", "check the storage of that server")
        self._do(f"rename {_quoted(part)} {_quoted(self._remote(name))}")

    def read(self, name: str) -> bytes | None:
        """Get a file."""
        with self._work() as work:
            try:
                self._do(f"get {_quoted(self._remote(name))} {_quoted(work / 'file')}")
            except ProgramFailed as error:
                if re.search("not found|No such file", error.output):
                    return None
                raise
            return (work / "file").read_bytes()

    def remove(self, folder: str, names: Sequence[str]) -> None:
        """Remove the files; a folder that is not empty stays."""
        commands = [f"-rm {_quoted(self._remote(f'{folder}/{name}'))}" for name in names]
        self._do(*commands, *([f"-rmdir {_quoted(self._remote(folder))}"] if folder else []))

    def _do(self, *commands: str) -> None:
        batch = "".join(f"{command}\n" for command in commands)
        self.run.sh.run("sftp", "-b", "-", *self._words(), self.url.host, input=batch, timeout=SECONDS)


class Rsync(_Ssh):
    """The folder must exist, and rsync on the server."""

    def put(self, source: Path, name: str, sha256: str) -> None:
        """rsync writes beside the place and renames; both sides then sum up what they have on their disks."""
        if checksum(source) != sha256:
            raise RearError(f"{source} has changed", "check the storage of this machine")
        with self._work() as work:
            link = work / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(source)
            copy = (
                "--copy-links", "--perms", f"--chmod=F{self.mode:o}", "--relative", "--no-implied-dirs",
                f"{work}/./{name}", self._target(""),
            )  # fmt: skip
            self._rsync("--ignore-times", *copy)
            if self._rsync("--checksum", "--dry-run", "--out-format=%i %n", *copy).startswith("<f"):
                raise RearError(f"{self.url}/{name} differs from {source}", "check the storage of that server")

    def read(self, name: str) -> bytes | None:
        """Fetch a file."""
        with self._work() as work:
            try:
                self._rsync(self._target(name), f"{work}/file")
            except ProgramFailed as error:
                if error.status == PARTIAL and "No such file" in error.output:
                    return None
                raise
            return (work / "file").read_bytes()

    def remove(self, folder: str, names: Sequence[str]) -> None:
        """Make the folder like an empty one, as far as these names go."""
        self._forget(folder, names)
        if folder:
            parent, _, leaf = folder.rpartition("/")
            self._forget(parent, [leaf])

    def _forget(self, folder: str, names: Sequence[str]) -> None:
        with self._work() as work:
            only = [f"--include=/{name}" for name in names]
            # 23: a folder that is not empty stays.
            self._rsync(
                "--recursive", "--delete", *only, "--exclude=*", f"{work}/", self._target(f"{folder}/"),
                ok=(0, PARTIAL),
            )  # fmt: skip

    def _target(self, name: str) -> str:
        return f"{self.url.host}:{self._remote(name)}"

    def _rsync(self, *words: str, ok: Sequence[int] = (0,)) -> str:
        ssh = shlex.join(["ssh", *self._words()])
        done = self.run.sh.run("rsync", "--protect-args", f"--rsh={ssh}", *words, timeout=SECONDS, ok=ok)
        return done.stdout


def _folders(name: str) -> list[PurePosixPath]:
    """The folders that a file is in, the outermost first."""
    return list(PurePosixPath(name).parents)[-2::-1]


def _quoted(path: str | os.PathLike[str]) -> str:
    """A path for sftp(1), which knows double quotes, and patterns in what is not escaped."""
    return '"' + re.sub(r'(["\\])', r"\\\1", os.fspath(path)) + '"'
