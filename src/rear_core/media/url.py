# SPDX-License-Identifier: GPL-3.0-or-later
"""The URLs of places where media and backups are kept.

file:///folder is a folder of this machine, nfs://server/export one of a server, and usb:///dev/disk/by-label/REAR-000
a disk that is plugged in for it.
"""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from ..errors import ConfigurationError

SCHEMES = ("file", "nfs", "usb")
EXAMPLES = "write file:///folder, nfs://server/export or usb:///dev/disk/by-label/REAR-000"


@dataclass(frozen=True)
class Url:
    """A place; `host` is empty for folders and disks of this machine. The `path` of a disk is that of its device."""

    scheme: str
    host: str
    path: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}{self.path}"

    @property
    def nfs_source(self) -> str:
        """How mount(8) names an NFS export; an IPv6 address keeps its brackets."""
        return f"{self.host}:{self.path}"


def parse_url(text: str, setting: str) -> Url:
    """Read the URL that a setting holds; raise `ConfigurationError` naming the setting and what is wrong."""
    problem = url_problem(text)
    if problem:
        raise ConfigurationError(f"{setting}={text}: {problem}", EXAMPLES)
    parts = urlsplit(text)
    return Url(parts.scheme, parts.netloc if parts.scheme == "nfs" else "", unquote(parts.path))


def url_problem(text: str) -> str:
    """What is wrong with a URL, "" when nothing is; fit for `Setting.check`."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        return f"is no URL: {error}"
    path = unquote(parts.path)
    if not parts.scheme:
        return "has no scheme such as file:// or nfs://"
    if parts.scheme not in SCHEMES:
        return f"{parts.scheme}:// is not supported, only {', '.join(f'{name}://' for name in SCHEMES)}"
    if parts.query or parts.fragment or "?" in text or "#" in text:
        return "has a ? or #; write them as %3F and %23"
    if any(ord(character) < 32 for character in path):
        return "has control characters"
    if ".." in PurePosixPath(path).parts:
        return "has .. in its path"
    if parts.scheme == "file" and parts.netloc not in ("", "localhost"):
        return f"names the host {parts.netloc}; a folder has three slashes, file:///{parts.netloc}{path}"
    if parts.scheme == "usb" and (parts.netloc or not path.startswith("/dev/")):
        return "names no device; write usb:///dev/disk/by-label/REAR-000"
    if parts.scheme == "nfs" and not parts.hostname:
        return "names no server"
    if parts.scheme == "nfs" and (parts.username is not None or port is not None):
        return "has a user or port; a port belongs to the mount options, as port=2050"
    return "" if path.startswith("/") else "has no absolute path"
