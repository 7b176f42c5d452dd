# SPDX-License-Identifier: GPL-3.0-or-later
"""What a place is: its kind, known by the scheme of its URLs, and what takes files there."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ..contents import Contents
from .delivery import checksum, sums_text
from .url import Scheme, Url

if TYPE_CHECKING:
    from ..first_setup import Ask
    from ..run import Run

PRIVATE, PUBLIC = 0o600, 0o644
NOTHING = Contents()


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


@runtime_checkable
class SwitchingPlace(Place, Protocol):
    """A place that replaces all files of a medium at once, and can keep those before them."""

    def put_all(self, files: Mapping[Path, str], medium: str, note: str, keep_old: bool) -> None:
        """Store files, by source with SHA-256, and MEDIUM.sha256, as `publish_all` says."""


# RFC 3986, 3.1; URLs are read with it in small letters.
SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")


@dataclass(frozen=True)
class PlaceKind:
    """A kind of place, as yielded by the hook `rear_places`: one of the two functions opens it.

    - `scheme` is the first word of its URLs, and what is wrong with one.
    - `folder(run, url, options, patience)` opens it as a folder of this machine until the block ends, so that backups
      can be kept there as well. For `patience` seconds it tries again where a server does not answer yet.
    - `files(run, url, options, mode)` is a place that takes files one by one; they get this mode where the way there
      has modes.
    - `contents` are what the machine needs for it, and the rescue system where the backup is in such a place.
    - `asks` are what `rear setup` asks besides, when somebody chooses such a place: for a file with a password, say.

    `options` are what the administrator wrote for it, in words of its own. Both raise `Refused` with what to do when
    the place cannot be opened.
    """

    scheme: Scheme
    folder: Callable[[Run, Url, str, float], AbstractContextManager[Path]] | None = None
    files: Callable[[Run, Url, str, int], Place] | None = None
    contents: Contents = NOTHING
    asks: tuple[Ask, ...] = ()

    def __post_init__(self) -> None:
        if not SCHEME.fullmatch(self.scheme.name):
            raise ValueError(f"{self.scheme.name!r} is no scheme of URLs, which is as in acme://, in small letters")
        if (self.folder is None) == (self.files is None) or self.scheme.is_folder != (self.folder is not None):
            raise TypeError(f"{self.scheme.name}: a place is opened by `folder` if its scheme says so, else by `files`")


def publish(place: Place, source: Path, sha256: str, note: str = "", *, keep_old: bool = False) -> None:
    """Put a finished file to a place, as `publish_all` does."""
    publish_all(place, {source: sha256}, source.name, note, keep_old=keep_old)


def publish_all(
    place: Place, files: Mapping[Path, str], medium: str, note: str = "", *, keep_old: bool = False
) -> None:
    """Put the finished files of a medium to a place, with MEDIUM.sha256 as sha256sum(1) reads it.

    `files` are the sources and the SHA-256 of each; a `note` is a comment among the checksums. In a folder all files
    change at once, and with `keep_old` those before them stay as NAME.old; elsewhere the last file comes last.
    At no moment does a checksum lie beside a file it does not belong to.
    """
    if isinstance(place, SwitchingPlace):
        place.put_all(files, medium, note, keep_old)
        return
    assert not keep_old, "what puts media there refuses it before"
    text = next(iter(files)).with_name(f".{medium}.sha256")
    text.write_text(sums_text(files, note))
    try:
        if place.read(f"{medium}.sha256") is not None:
            place.remove("", [f"{medium}.sha256"])
        for source, sha256 in files.items():
            place.put(source, source.name, sha256)
        place.put(text, f"{medium}.sha256", checksum(text))
    finally:
        text.unlink()


@dataclass(frozen=True)
class Below:
    """A folder below a place that takes files one by one."""

    place: Place
    folder: str

    def put(self, source: Path, name: str, sha256: str) -> None:
        """Store a file there."""
        self.place.put(source, f"{self.folder}/{name}", sha256)

    def read(self, name: str) -> bytes | None:
        """The content of a file there."""
        return self.place.read(f"{self.folder}/{name}")

    def remove(self, folder: str, names: Sequence[str]) -> None:
        """Remove files there."""
        self.place.remove(f"{self.folder}/{folder}".rstrip("/"), names)
