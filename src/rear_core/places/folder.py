# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder of this machine, or one that is mounted for the time being."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .. import own_files
from ..durable import flush
from ..errors import RearError
from .delivery import proven_copy, put_all_in_place, store
from .place import PRIVATE
from .room import check_still_mounted
from .url import Url

if TYPE_CHECKING:
    from ..run import Run


@contextmanager
def opened(run: Run, url: Url, _options: str, _patience: float) -> Iterator[Path]:
    """The folder that a URL names on this machine; `Refused` if that is no longer the one that was checked."""
    check_still_mounted(run, url)
    yield Path(url.path)


@dataclass(frozen=True)
class Folder:
    """A folder of this machine, or one that is mounted."""

    directory: Path
    mode: int = PRIVATE

    def put(self, source: Path, name: str, sha256: str) -> None:
        """Copy beside the place, read back, rename."""
        path = self.directory / name
        try:
            self._make(path.parent)
            store(source, path, sha256, self.mode)
        except OSError as error:
            raise RearError(f"cannot copy {source.name} to {path}: {error.strerror}") from error

    def put_all(self, files: Mapping[Path, str], medium: str, note: str, keep_old: bool) -> None:
        """Copy all beside their places and read them back; only then they get their names."""
        places = {self.directory / source.name: (source, sha256) for source, sha256 in files.items()}
        try:
            self._make(self.directory)
            with ExitStack() as parts:
                for path, (source, sha256) in places.items():
                    parts.enter_context(proven_copy(source, path, sha256)).chmod(self.mode)
                sums = {path: sha256 for path, (_, sha256) in places.items()}
                put_all_in_place(sums, self.directory / medium, note, keep_old=keep_old, mode=self.mode)
        except OSError as error:
            raise RearError(f"cannot copy {medium} to {self.directory}: {error.strerror}") from error

    def read(self, name: str) -> bytes | None:
        """The content of a file."""
        try:
            return own_files.read(self.directory / name)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RearError(f"cannot read {self.directory / name}: {error.strerror}") from error

    def remove(self, folder: str, names: Sequence[str]) -> None:
        """Unlink the files; the folder goes when it is empty."""
        directory = self.directory / folder
        try:
            for name in names:
                (directory / name).unlink(missing_ok=True)
            if folder and directory.is_dir() and not any(directory.iterdir()):
                directory.rmdir()
                directory = directory.parent
            flush(directory)
        except OSError as error:
            raise RearError(f"cannot remove files of {directory}: {error.strerror}") from error

    def _make(self, folder: Path) -> None:
        """Make a folder and those above it; whoever may read the files may enter them."""
        absent = [path for path in (folder, *folder.parents) if not path.exists()]
        for path in reversed(absent):
            path.mkdir()
            if self.mode & 0o004:
                os.chmod(path, 0o755)
