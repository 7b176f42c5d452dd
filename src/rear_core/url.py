# SPDX-License-Identifier: GPL-3.0-or-later
"""The URLs of places where media and backups are kept: read once, as values of settings.

file:///folder is a folder of this machine, nfs://server/export one of a server, and usb:///dev/disk/by-label/REAR-000
a disk that is plugged in for it. Media are also put to servers that take files one by one, as https://server/folder.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import quote, unquote, urlsplit

# Those that are opened as a folder of this machine; files alone are put to the others (see places.py).
FOLDERS = ("file", "nfs", "usb")
BLANKS = " \t\r\n"
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

    The `path` of a disk is that of its device. However it was spelled, the same place has the same value.
    """

    scheme: str
    host: str
    path: str
    user: str = ""
    port: int = 0

    def __str__(self) -> str:
        """The URL, which `parse_url` reads as the same value."""
        user, port = f"{quote(self.user, safe='')}@" if self.user else "", f":{self.port}" if self.port else ""
        # A blank at the end would be lost, and with these characters another part begins (RFC 3986).
        path = re.sub(r"[%?#\udc80-\udcff]|\s$", lambda found: quote(found[0], errors="surrogateescape"), self.path)
        return f"{self.scheme}://{user}{self.host}{port}{path}"

    @property
    def nfs_source(self) -> str:
        """How mount(8) names an NFS export; an IPv6 address keeps its brackets."""
        return f"{self.host}:{self.path}"

    def http(self, name: str) -> str:
        """The address of a file below the place, as HTTP has it."""
        port = f":{self.port}" if self.port else ""
        return f"{self.scheme}://{self.host}{port}{quote(f'{self.path.rstrip(chr(47))}/{name}')}"


def parse_url(text: str, schemes: Sequence[str] = FOLDERS) -> Url:
    """Read a URL; raise `ValueError` with what is wrong. Schemes and hosts may be in capitals (RFC 3986, 6.2.2.1)."""
    if problem := url_problem(text, schemes):
        raise ValueError(problem)
    parts = urlsplit(text.strip(BLANKS))
    host = parts.netloc.rpartition("@")[2].lower()
    if parts.port is not None:
        host = host.rpartition(":")[0]
    return Url(
        parts.scheme,
        "" if parts.scheme in ("file", "usb") else host,
        _path(parts.path),
        unquote(parts.username or ""),
        parts.port or 0,
    )


def url_problem(text: str, schemes: Sequence[str] = FOLDERS) -> str:
    """What is wrong with a URL, "" when nothing is; what may be a password in it is not told."""
    text = text.strip(BLANKS)
    try:
        parts = urlsplit(text)
        port = parts.port
        # What is told of it comes from this one.
        shown = urlsplit(without_password(text))
    except ValueError:
        # The reason that Python gives quotes what it took for the port.
        return "is no URL: its address or port is wrong; in a user's name, write / # ? @ as %2F %23 %3F %40"
    path, user = _path(parts.path), unquote(parts.username or "")
    if not parts.scheme:
        return "has no scheme such as file:// or nfs://"
    if parts.scheme not in schemes:
        return f"{parts.scheme}:// is not supported, only {_either([f'{name}://' for name in schemes], 'and')}"
    if parts.query or parts.fragment or "?" in text or "#" in text:
        return "has a ? or #; write them as %3F and %23"
    if any(ord(character) < 32 or ord(character) == 127 for character in text + path + user):
        return "has control characters"
    if ".." in PurePosixPath(unquote(parts.path)).parts:
        return "has .. in its path"
    if parts.scheme == "file" and parts.netloc.lower() not in ("", "localhost"):
        return f"names the host {shown.netloc}; a folder needs three slashes, file:///{shown.netloc}{_path(shown.path)}"
    if parts.scheme == "usb" and (parts.netloc or not path.startswith("/dev/")):
        return "names no device; write usb:///dev/disk/by-label/REAR-000"
    if parts.scheme not in ("file", "usb") and not parts.hostname:
        return "names no server"
    if parts.scheme == "nfs" and (parts.username is not None or port is not None):
        return "has a user or port; a port belongs to the mount options, as port=2050"
    if parts.password is not None:
        return "has a password, which rear does not accept there: use a key with ssh, and root's .netrc with https"
    if parts.scheme in ("http", "https") and parts.username is not None:
        return "has a user; put name and password of a server into root's .netrc"
    if any(word.startswith("-") for word in (user, parts.hostname or "")):
        return "has a user or server that begins with -"
    return "" if path else "has no absolute path"


def _path(quoted: str) -> str:
    """A path in its one spelling, "" for none that is absolute."""
    path = unquote(quoted, errors="surrogateescape")
    return posixpath.normpath(f"/{path.lstrip('/')}") if path.startswith("/") else ""


def examples(schemes: Sequence[str] = FOLDERS) -> str:
    """What to write instead."""
    return "write " + _either([example for scheme, example in EXAMPLES.items() if scheme in schemes], "or")


def without_password(text: str) -> str:
    """A text that was to be a URL, without what may be a password: all between a colon and the last @.

    With HTTP a user alone may be a token as well.
    """
    head, at, tail = text.rpartition("@")
    if not at:
        return text
    scheme, slashes, rest = head.partition("://")
    if not slashes or ":" in scheme:
        scheme, slashes, rest = "", "", head
    user, colon, _ = rest.partition(":")
    if scheme.strip(BLANKS).lower() in ("http", "https"):
        return f"{scheme}{slashes}***@{tail}"
    return f"{scheme}{slashes}{user}:***@{tail}" if colon else text


def _either(words: Sequence[str], conjunction: str) -> str:
    return f" {conjunction} ".join(filter(None, (", ".join(words[:-1]), words[-1])))
