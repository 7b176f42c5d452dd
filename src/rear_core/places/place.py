# SPDX-License-Identifier: GPL-3.0-or-later
"""What a place is: its kind, known by the scheme of its URLs, and what takes files there."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..contents import Contents
from .delivery import checksum
from .url import Scheme, Url

if TYPE_CHECKING:
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

    `options` are what the administrator wrote for it, in words of its own. Both raise `Refused` with what to do when
    the place cannot be opened.
    """

    scheme: Scheme
    folder: Callable[[Run, Url, str, float], AbstractContextManager[Path]] | None = None
    files: Callable[[Run, Url, str, int], Place] | None = None
    contents: Contents = NOTHING

    def __post_init__(self) -> None:
        if not SCHEME.fullmatch(self.scheme.name):
            raise ValueError(f"{self.scheme.name!r} is no scheme of URLs, which is as in acme://, in small letters")
        if (self.folder is None) == (self.files is None) or self.scheme.is_folder != (self.folder is not None):
            raise TypeError(f"{self.scheme.name}: a place is opened by `folder` if its scheme says so, else by `files`")


def publish(place: Place, source: Path, sha256: str, note: str = "") -> None:
    """Put a finished file to a place, with NAME.sha256 as sha256sum(1) reads it; a `note` is a comment there.

    At no moment does a checksum lie beside a file it does not belong to.
    """
    sums = source.with_name(f".{source.name}.sha256")
    sums.write_text((f"# {note}\n" if note else "") + f"{sha256}  {source.name}\n")
    try:
        if place.read(f"{source.name}.sha256") is not None:
            place.remove("", [f"{source.name}.sha256"])
        place.put(source, source.name, sha256)
        place.put(sums, f"{source.name}.sha256", checksum(sums))
    finally:
        sums.unlink()
