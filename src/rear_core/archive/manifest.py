# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest of a backup: what it should be, sealed by a checksum and, when encrypted, authenticated by its key."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from ..errors import RearError, Refused
from .encryption import Encryption, Keys, authentication
from .volumes import Volume

VERSION = 1
NAME = "manifest.json"
OTHER_BACKUP = "choose another backup with --backup DATE"


@dataclass(frozen=True)
class Manifest:
    """What is known of a backup. `size` and `sha256` are those of the archive as it lies there, `volumes` those of its
    parts when it has several, `bytes` and `members` those of the tar stream in it; `warnings` counts kinds of what tar
    complained about; `layout` is the SHA-256 of the layout that the machine had, `storage` that layout; `saved` are the
    mount points whose files are in it; `machine` is the identity of the machine, `number` counts its backups there."""

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

    @property
    def parts(self) -> tuple[Volume, ...]:
        """The volumes of the archive, also when it is one."""
        return self.volumes or (Volume(self.size, self.sha256),)


@dataclass(frozen=True)
class Sealed:
    """A manifest as it was read, with the text that its seals are made over."""

    manifest: Manifest
    text: bytes
    authentication: str

    def authenticate(self, keys: Keys) -> None:
        """Raise `Refused` unless someone with the key wrote this manifest, and so vouches for the archive."""
        if not hmac.compare_digest(authentication(keys, self.text), self.authentication):
            raise Refused("the manifest was changed by someone without the key of the backup", OTHER_BACKUP)


def dumps(manifest: Manifest, keys: Keys | None = None) -> str:
    """The manifest as JSON with its seals: a checksum against accidents, and with `keys` a MAC against intent.

    Both cover the checksum of the archive, so that neither can be exchanged without the other.
    """
    document = {"version": VERSION, **asdict(manifest)}
    text = _canonical(document)
    document["checksum"] = hashlib.sha256(text).hexdigest()
    document["authentication"] = authentication(keys, text) if keys else ""
    return json.dumps(document, indent=2) + "\n"


def loads(text: str) -> Sealed:
    """Read a manifest; `Refused` when it is damaged or of an unknown version."""
    try:
        document = json.loads(text)
        version = document["version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Refused(f"the manifest is damaged: it is not the JSON of a manifest ({error})", OTHER_BACKUP) from error
    if version is True or version != VERSION:
        raise Refused(
            f"version {version!r} of the manifest is not known here, only {VERSION}",
            f"restore it with the release of rear that made it, or {OTHER_BACKUP}",
        )
    checksum, mac = document.pop("checksum", ""), document.pop("authentication", "")
    sealed = _canonical(document)
    if not isinstance(mac, str) or hashlib.sha256(sealed).hexdigest() != checksum:
        raise Refused("the manifest is damaged: its checksum is wrong", OTHER_BACKUP)
    del document["version"]
    return Sealed(_decode(document), sealed, mac)


def _canonical(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _decode(document: dict[str, Any]) -> Manifest:
    """The manifest of an object whose checksum was right: anything wrong now was written by another program."""
    wanted = {f.name: f.type for f in fields(Manifest)}
    kinds: dict[str, tuple[type, ...]] = {
        "str": (str,),
        "int": (int,),
        "tuple[Volume, ...]": (list,),
        "tuple[str, ...]": (list,),
    }
    for name, value in document.items():
        kind = wanted.get(name)
        if kind is None or not isinstance(value, kinds.get(str(kind), (dict, type(None)))):
            raise RearError(f"the manifest has an unexpected {name!r}", OTHER_BACKUP)
    encryption = document.pop("encryption", None)
    try:
        secured = Encryption(**encryption) if encryption else None
        if secured and not isinstance(secured.check, str):
            raise TypeError("the check value of its key is no text")
        volumes = tuple(Volume(**volume) for volume in document.pop("volumes", ()))
        saved = tuple(map(str, document.pop("saved", ())))
        manifest = Manifest(**document, encryption=secured, volumes=volumes, saved=saved)
        if sum(volume.size for volume in manifest.parts) != manifest.size:
            raise TypeError("its volumes do not make up the archive")
    except TypeError as error:
        raise RearError(f"the manifest is incomplete: {error}", OTHER_BACKUP) from error
    if not re.fullmatch(r"[\w.+-]+", manifest.archive) or manifest.archive in (".", ".."):
        raise RearError("the manifest names an archive elsewhere", OTHER_BACKUP)
    return manifest
