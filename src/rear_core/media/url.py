# SPDX-License-Identifier: GPL-3.0-or-later
"""The URLs of places where media and backups are kept.

file:///folder is a folder of this machine, nfs://server/export one of a server, and usb:///dev/disk/by-label/REAR-000
a disk that is plugged in for it. Media are also put to servers that take files one by one, as https://server/folder.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import quote, unquote, urlsplit

from ..errors import ConfigurationError

# Those that are opened as a folder of this machine; files alone are put to the others (see places.py).
FOLDERS = ("file", "nfs", "usb")
SSH = ("sftp", "rsync+ssh")
ALL = (*FOLDERS, "http", "https", *SSH)

EXAMPLES = {
    "file": "file:///folder",
    "nfs": "nfs://server/export",
    "usb": "usb:///dev/disk/by-label/REAR-000",
    "https": "https://server/folder",
    "sftp": "sftp://user@server/folder",
    "rsync+ssh": "rsync+ssh://user@server/folder",
}


@dataclass(frozen=True)
class Url:
    """A place; `host` is empty for folders and disks of this machine, `port` is 0 where it is the usual one.

    The `path` of a disk is that of its device.
    """

    scheme: str
    host: str
    path: str
    user: str = ""
    port: int = 0

    def __str__(self) -> str:
        user, port = f"{self.user}@" if self.user else "", f":{self.port}" if self.port else ""
        return f"{self.scheme}://{user}{self.host}{port}{self.path}"

    @property
    def nfs_source(self) -> str:
        """How mount(8) names an NFS export; an IPv6 address keeps its brackets."""
        return f"{self.host}:{self.path}"

    def http(self, name: str) -> str:
        """The address of a file below the place, as HTTP has it."""
        port = f":{self.port}" if self.port else ""
        return f"{self.scheme}://{self.host}{port}{quote(f'{self.path.rstrip(chr(47))}/{name}')}"


def parse_url(text: str, setting: str, schemes: Sequence[str] = FOLDERS) -> Url:
    """Read the URL that a setting holds; raise `ConfigurationError` naming the setting and what is wrong."""
    problem = url_problem(text, schemes)
    if problem:
        raise ConfigurationError(f"{setting}={_shown(text)}: {problem}", examples(schemes))
    parts = urlsplit(text)
    host = parts.netloc.rpartition("@")[2]
    if parts.port is not None:
        host = host.rpartition(":")[0]
    return Url(
        parts.scheme,
        "" if parts.scheme in ("file", "usb") else host,
        unquote(parts.path),
        unquote(parts.username or ""),
        parts.port or 0,
    )


def url_problem(text: str, schemes: Sequence[str] = FOLDERS) -> str:
    """What is wrong with a URL, "" when nothing is; fit for `Setting.check`."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        return f"is no URL: {error}"
    path, user = unquote(parts.path), unquote(parts.username or "")
    if not parts.scheme:
        return "has no scheme such as file:// or nfs://"
    if parts.scheme not in schemes:
        return f"{parts.scheme}:// is not supported, only {_either([f'{name}://' for name in schemes], 'and')}"
    if parts.query or parts.fragment or "?" in text or "#" in text:
        return "has a ? or #; write them as %3F and %23"
    if any(ord(character) < 32 for character in path + user):
        return "has control characters"
    if ".." in PurePosixPath(path).parts:
        return "has .. in its path"
    if parts.scheme == "file" and parts.netloc not in ("", "localhost"):
        return f"names the host {parts.netloc}; a folder has three slashes, file:///{parts.netloc}{path}"
    if parts.scheme == "usb" and (parts.netloc or not path.startswith("/dev/")):
        return "names no device; write usb:///dev/disk/by-label/REAR-000"
    if parts.scheme not in ("file", "usb") and not parts.hostname:
        return "names no server"
    if parts.scheme == "nfs" and (parts.username is not None or port is not None):
        return "has a user or port; a port belongs to the mount options, as port=2050"
    if parts.password is not None:
        return "has a password, which does not belong there: use a key with ssh, and root's .netrc with https"
    if parts.scheme in ("http", "https") and parts.username is not None:
        return "has a user; the name and password of a server belong into root's .netrc"
    if any(word.startswith("-") for word in (user, parts.hostname or "")):
        return "has a user or server that begins with -"
    return "" if path.startswith("/") else "has no absolute path"


def examples(schemes: Sequence[str] = FOLDERS) -> str:
    """What to write instead."""
    return "write " + _either([example for scheme, example in EXAMPLES.items() if scheme in schemes], "or")


def _shown(text: str) -> str:
    """The URL without what may be a password."""
    head, at, tail = text.rpartition("@")
    scheme, separator, user = head.partition("://")
    return f"{scheme}{separator}{user.partition(':')[0]}:***@{tail}" if at and ":" in user else text


def _either(words: Sequence[str], conjunction: str) -> str:
    return f" {conjunction} ".join(filter(None, (", ".join(words[:-1]), words[-1])))
