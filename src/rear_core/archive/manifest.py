# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest of a backup: what it should be, sealed by a checksum, signed, and authenticated by its passphrase."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from ..errors import RearError, Refused
from .encryption import Encryption, Keys, authentication, check_parameters
from .volumes import HEX, Volume

VERSION = 1
NAME = "manifest.json"
# Bytes: smaller ones would only cost time, and larger ones no archive needs.
CHUNK_SIZES = range(1 << 20, (1 << 40) + 1)
# Files have fewer bytes and machines fewer files. What nests deeper than any description would be an error of Python's
# own, here or wherever it is looked at next.
LARGEST = (1 << 63) - 1
DEEPEST = 50
# Letters of a name; they are printed.
LONGEST = 1000
OTHER_BACKUP = "choose another backup with --backup DATE"


@dataclass(frozen=True)
class Header:
    """The header of an encrypted volume beside the archive, encrypted with its key: the `item` of the layout that it
    is of, its file, the SHA-256 of that as it lies there, and which keys it has."""

    item: str
    file: str
    sha256: str
    live: str


@dataclass(frozen=True)
class Manifest:
    """What is known of a backup. `size`, `sha256`, `chunk_size` and `chunks` are those of the archive as it lies there
    (see `Volume`), `volumes` those of its parts when it has several, `bytes` and `members` those of the tar stream in
    it; `warnings` counts kinds of what tar complained about; `layout` is the SHA-256 of the layout that the machine
    had, `storage` that layout; `saved` are the mount points whose files are in it, `coverage` is the SHA-256 of the
    report on them; `machine` is the identity of the machine, `number` counts its backups there, `there` are the names
    of those that were there when it was made, of whatever kind, and its own: () where nobody looked; `headers` are
    those of encrypted volumes that were kept with it."""

    created: str
    hostname: str
    archive: str
    size: int
    sha256: str
    compression: str
    members: int
    bytes: int
    layout: str = ""
    storage: Mapping[str, Any] = field(default_factory=dict)
    warnings: Mapping[str, int] = field(default_factory=dict)
    tools: Mapping[str, str] = field(default_factory=dict)
    encryption: Encryption | None = None
    volumes: tuple[Volume, ...] = ()
    saved: tuple[str, ...] = ()
    machine: str = ""
    number: int = 0
    there: tuple[str, ...] = ()
    chunk_size: int = 0
    chunks: str = ""
    coverage: str = ""
    headers: tuple[Header, ...] = ()

    @property
    def parts(self) -> tuple[Volume, ...]:
        """The volumes of the archive, also when it is one."""
        return self.volumes or (Volume(self.size, self.sha256, self.chunk_size, self.chunks),)


@dataclass(frozen=True)
class Sealed:
    """A manifest as it was read, with the text that its seals are made over."""

    manifest: Manifest
    text: bytes
    authentication: str
    signature: str

    def authenticate(self, keys: Keys) -> None:
        """Raise `Refused` unless someone with the key wrote this manifest, and so vouches for the archive."""
        if not hmac.compare_digest(authentication(keys, self.text), self.authentication):
            raise Refused("someone without the key of the backup changed the manifest", OTHER_BACKUP)


def dumps(manifest: Manifest, keys: Keys | None = None, sign: Callable[[bytes], str] = lambda _: "") -> str:
    """The manifest as JSON with its seals: a checksum against accidents, a signature and, with `keys`, a MAC against
    intent.

    All cover the checksums of archive and coverage report, so that nothing can be exchanged without the other.
    """
    document = {"version": VERSION, **asdict(manifest)}
    text = _canonical(document)
    document["checksum"] = hashlib.sha256(text).hexdigest()
    document["authentication"] = authentication(keys, text) if keys else ""
    document["signature"] = sign(text)
    return json.dumps(document, indent=2) + "\n"


def loads(text: str) -> Sealed:
    """Read a manifest; `Refused` when it is damaged or of an unknown version."""
    try:
        document = json.loads(text)
        version = document["version"]
        _check_bounds(document)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Refused(f"the manifest is damaged: it is not the JSON of a manifest ({error})", OTHER_BACKUP) from error
    if type(version) is not int or version != VERSION:
        raise Refused(
            f"this release reads only version {VERSION} of the manifest, not {version!r}",
            f"restore it with the release of rear that created it, or {OTHER_BACKUP}",
        )
    checksum, mac, signature = (document.pop(name, "") for name in ("checksum", "authentication", "signature"))
    sealed = _canonical(document)
    if hashlib.sha256(sealed).hexdigest() != checksum:
        raise Refused("the manifest is damaged: its checksum is wrong", OTHER_BACKUP)
    if not all(isinstance(seal, str) and seal.isascii() for seal in (mac, signature)):
        raise Refused("the manifest is damaged: its seals are not text", OTHER_BACKUP)
    del document["version"]
    return Sealed(_decode(document), sealed, mac, signature)


def _canonical(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _check_bounds(value: object, levels: int = DEEPEST) -> None:
    """Raise `ValueError` for a number that nothing has, and for what nests too deep."""
    if isinstance(value, int) and abs(value) > 2 * LARGEST + 1:
        raise ValueError("it has a number that is too large")
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if inner and not levels:
        raise ValueError("it nests too deep")
    for each in inner:
        _check_bounds(each, levels - 1)


def _decode(document: dict[str, Any]) -> Manifest:
    """The manifest of an object whose checksum was right: anything wrong now was written by another program."""
    wanted = {f.name: f.type for f in fields(Manifest)}
    kinds: dict[str, tuple[type, ...]] = {
        "str": (str,),
        "int": (int,),
        "tuple[Volume, ...]": (list,),
        "tuple[str, ...]": (list,),
        "tuple[Header, ...]": (list,),
        "Encryption | None": (dict, type(None)),
    }
    for name, value in document.items():
        kind = wanted.get(name)
        if kind is None or not isinstance(value, kinds.get(str(kind), (dict,))):
            raise RearError(f"the manifest has an unexpected {name!r}", OTHER_BACKUP)
        if isinstance(value, int) and not is_count(value):
            raise RearError(f"the manifest has an impossible {name!r}: {value}", OTHER_BACKUP)
        if isinstance(value, str) and len(value) > LONGEST and name != "chunks":
            raise RearError(f"the manifest has a {name!r} that is too long", OTHER_BACKUP)
    encryption = document.pop("encryption", None)
    try:
        secured = Encryption(**encryption) if encryption else None
        if secured:
            check_parameters(secured)
        volumes = tuple(_volume(volume) for volume in document.pop("volumes", ()))
        if not all(map(is_count, document.get("warnings", {}).values())):
            raise TypeError("its warnings are not numbers")
        saved, there = (tuple(map(str, document.pop(name, ()))) for name in ("saved", "there"))
        headers = tuple(_header(header) for header in document.pop("headers", ()))
        manifest = Manifest(
            **document, encryption=secured, volumes=volumes, saved=saved, there=there, headers=headers
        )  # fmt: skip
        if sum(volume.size for volume in manifest.parts) != manifest.size:
            raise TypeError("its volumes do not make up the archive")
        if not all(_has_chunks(volume) for volume in manifest.parts):
            raise TypeError("its chunks do not make up the archive")
    except (TypeError, ValueError) as error:
        raise RearError(f"the manifest is incomplete: {error}", OTHER_BACKUP) from error
    if not all(map(_is_name, (manifest.archive, *(header.file for header in manifest.headers)))):
        raise RearError("the manifest names a file in another place", OTHER_BACKUP)
    return manifest


def _volume(document: dict[str, Any]) -> Volume:
    volume = Volume(**document)
    if not (is_count(volume.size) and is_count(volume.chunk_size)):
        raise TypeError("the size of a volume is not a number")
    if not (isinstance(volume.sha256, str) and isinstance(volume.chunks, str)):
        raise TypeError("the checksum of a volume is not text")
    return volume


def _header(document: dict[str, Any]) -> Header:
    header = Header(**document)
    if not all(isinstance(text, str) and len(text) <= LONGEST for text in document.values()):
        raise TypeError("what it says of a header is not text")
    return header


def _is_name(file: str) -> bool:
    return bool(re.fullmatch(r"[\w.+-]+", file)) and file not in (".", "..")


def is_count(value: object) -> bool:
    """Whether a value is a number that something can have."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST


def _has_chunks(volume: Volume) -> bool:
    """Whether a volume has a checksum for each of its chunks, or for none."""
    if not volume.chunk_size:
        return not volume.chunks
    return volume.chunk_size in CHUNK_SIZES and len(volume.chunks) == HEX * volume.count
