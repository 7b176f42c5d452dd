# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders behind an ssh server, reached by sftp: with keys, to hosts that root's known_hosts knows."""

from __future__ import annotations

import os
import re
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


def words(url: Url, options: str) -> list[str]:
    """Options of ssh as arguments."""
    own = [f"User={url.user}"] if url.user else []
    own += [f"Port={url.port}"] if url.port else []
    # The first value counts, and so what the administrator says goes before ours.
    chosen = [*options.split(","), *own, *OPTIONS]
    return [word for option in chosen if option for word in ("-o", option)]


@dataclass(frozen=True)
class Sftp:
    """The folder must exist; a server that keeps to files alone (ForceCommand internal-sftp) is enough."""

    run: Run
    url: Url
    options: str
    mode: int

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
        argv = ["sftp", "-b", "-", *words(self.url, self.options), self.url.host]
        self.run.sh.run(*argv, input=batch, timeout=SECONDS)

    def _remote(self, name: str) -> str:
        return f"{self.url.path.rstrip('/')}/{name}"

    @contextmanager
    def _work(self) -> Iterator[Path]:
        with TemporaryDirectory(dir=self.run.build_dir) as folder:
            yield Path(folder)


def _folders(name: str) -> list[PurePosixPath]:
    """The folders that a file is in, the outermost first."""
    return list(PurePosixPath(name).parents)[-2::-1]


def _quoted(path: str | os.PathLike[str]) -> str:
    """A path for sftp(1), which knows double quotes, and patterns in what is not escaped."""
    return '"' + re.sub(r'(["\\])', r"\\\1", os.fspath(path)) + '"'
