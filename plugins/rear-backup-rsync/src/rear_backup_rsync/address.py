# SPDX-License-Identifier: GPL-3.0-or-later
"""RSYNC_REPOSITORY: a folder on a server that ssh reaches, or one below BACKUP_URL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

_HOST = r"((?:[^/@:\s]+@)?(?:\[[^/\]\s]+\]|[^/@:\[\]\s]+))"
URL = re.compile(rf"ssh://{_HOST}(?::(\d{{1,5}}))?(/.*)", re.DOTALL)
SHORT = re.compile(rf"{_HOST}:(?!:)(.*)", re.DOTALL)
# With others a shell of the server, or rsync itself, would read more in a path than a name.
PLAIN = re.compile(r"[\w./+@%=,-]+")


@dataclass(frozen=True)
class Address:
    """A folder on a server: `host` may have a user, and an IPv6 address has its brackets; a relative path begins in the
    home folder there."""

    host: str
    path: str
    port: int = 0

    @property
    def login(self) -> str:
        """The host as ssh takes it."""
        return re.sub(r"[\[\]]", "", self.host)

    def __str__(self) -> str:
        place = f"{self.host}:{self.path}"
        return f"{place} (port {self.port})" if self.port else place


def is_remote(address: str) -> bool:
    """Whether an address is on a server, and not a folder below BACKUP_URL."""
    return "://" in address or bool(re.match(r"[^/]+:", address))


def read(address: str) -> Address:
    """An address on a server that `problem` has nothing against."""
    if found := URL.fullmatch(address):
        path = found[3][3:] if found[3].startswith("/./") else found[3]
        return Address(found[1], _normal(path), int(found[2] or 0))
    found = SHORT.fullmatch(address)
    assert found
    return Address(found[1], _normal(found[2]))


def _normal(path: str) -> str:
    return re.sub("^//+", "/", str(PurePosixPath(path)))


def problem(address: str) -> str:
    """What is wrong with RSYNC_REPOSITORY, "" when nothing is."""
    if address.startswith("rsync:") or re.match(r"(?:[^/\[]*|[^/\[]*\[[^\]]*\])::", address):
        return (
            "is a daemon of rsync, which neither renames nor locks: write user@server:/folder, which rear reaches by"
            " ssh"
        )
    if address.startswith(("/", "file:")):
        return (
            "is a folder: write BACKUP_URL=file:///FOLDER, so that a recovery spares its disk, and only what is below"
            " that folder in RSYNC_REPOSITORY"
        )
    if not is_remote(address):
        return "must be below BACKUP_URL" if ".." in PurePosixPath(address).parts else ""
    if re.match(r"ssh://[^/@]*:[^/@]*@", address):
        return "has a password in its address: ssh takes a key, see RSYNC_RSH"
    found = URL.fullmatch(address)
    if not found and ("://" in address or not SHORT.fullmatch(address)):
        return "must be user@server:/folder, ssh://user@server:22/folder, or a folder below BACKUP_URL"
    return _problem_of_parts(read(address))


def _problem_of_parts(address: Address) -> str:
    if address.host.startswith("-"):
        return "has a user or server that begins with -"
    if address.path == "." or not PLAIN.fullmatch(address.path):
        return "must name a folder by letters, digits and . _ - + @ % = , / alone"
    if address.path.startswith("-") or ".." in PurePosixPath(address.path).parts:
        return "has a path that begins with - or has .. in it"
    return "has a port that is none" if address.port > 65535 else ""
