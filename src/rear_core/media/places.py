# SPDX-License-Identifier: GPL-3.0-or-later
"""Places that finished files are put to: folders here and on NFS servers, and servers that take files one by one."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from .. import own_files
from ..durable import flush
from ..errors import RearError, Refused
from ..storage.spared import check_mounted
from ..url import FOLDERS, Url
from .delivery import checksum, store
from .location import check_room, check_writable, opened

if TYPE_CHECKING:
    from ..run import Run

# What a machine needs to reach a place.
PROGRAMS = {"nfs": ("mount.nfs",), "sftp": ("sftp", "ssh"), "rsync+ssh": ("rsync", "ssh")}
PRIVATE, PUBLIC = 0o600, 0o644


class Place(Protocol):
    """A place; names of files are relative paths with slashes.

    All methods raise `RearError` when the place does not do what it should.
    """

    def put(self, source: Path, name: str, sha256: str) -> None:
        """Store a file, and the folders it is in; it has been read back and compared when this returns.

        Until the new file is complete, an older one stays under that name; what an HTTP server does is its own.
        """

    def read(self, name: str) -> bytes | None:
        """The content of a small file, None where there is none."""

    def remove(self, folder: str, names: Sequence[str]) -> None:
        """Remove files of a folder ("" is the place itself), and the folder when nothing is left in it."""


@contextmanager
def opened_place(run: Run, url: Url, options: str = "", *, mode: int = PRIVATE) -> Iterator[Place]:
    """The place behind a URL; files put there get this mode, where the way there has modes.

    `options` are those of mount(8), or words of ssh_config(5) as in "IdentityFile=/root/.ssh/rescue,Compression=yes".
    """
    if url.scheme in FOLDERS:
        with opened(run, url, options) as directory:
            yield Folder(directory, mode)
    elif url.scheme in ("http", "https"):
        from .place_http import Web

        yield Web(url)
    else:
        from .place_ssh import Rsync, Sftp

        yield (Sftp if url.scheme == "sftp" else Rsync)(run, url, options, mode)


def missing_programs(run: Run, url: Url) -> list[str]:
    """What has to be installed here to reach a place."""
    return [program for program in PROGRAMS.get(url.scheme, ()) if not run.sh.which(program)]


def check_place(run: Run, url: Url, options: str, needed: int, setting: str) -> None:
    """Raise `Refused` unless files can be put to a place, of `needed` bytes where that can be known."""
    if url.scheme in FOLDERS:
        check_mounted(run, url, setting)
        with opened(run, url, options) as directory:
            check_room(directory, needed, setting)
            if directory.exists():
                check_writable(directory, str(url))
        return
    probe = run.build_dir / f".rear-{uuid.uuid4().hex[:8]}"
    probe.write_bytes(b"rear\n")
    try:
        with opened_place(run, url, options) as place:
            # Always of one name: where it cannot be removed again there is one, not many.
            place.put(probe, ".rear-probe", checksum(probe))
            with suppress(RearError):
                place.remove("", [".rear-probe"])
    except RearError as error:
        raise Refused(f"{setting}={url}: {error.message}", error.hint or "check it by hand") from error
    finally:
        probe.unlink()


def publish(place: Place, source: Path, sha256: str) -> None:
    """Put a finished file to a place, with NAME.sha256 as sha256sum(1) reads it.

    At no moment does a checksum lie beside a file it does not belong to.
    """
    sums = source.with_name(f".{source.name}.sha256")
    sums.write_text(f"{sha256}  {source.name}\n")
    try:
        if place.read(f"{source.name}.sha256") is not None:
            place.remove("", [f"{source.name}.sha256"])
        place.put(source, source.name, sha256)
        place.put(sums, f"{source.name}.sha256", checksum(sums))
    finally:
        sums.unlink()


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
