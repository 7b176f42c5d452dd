# SPDX-License-Identifier: GPL-3.0-or-later
"""The URLs of places where media and backups are kept: read once, as values of settings.

file:///folder is a folder of this machine, nfs://server/export and cifs://server/share are folders of servers, and
usb:///dev/disk/by-label/REAR-000 is a disk that is plugged in for it. Media are also put to servers that take files one
by one, as https://server/folder.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import SplitResult, quote, unquote, urlsplit

BLANKS = " \t\r\n"


@dataclass(frozen=True)
class Scheme:
    """The first word of the URLs of one kind of place.

    Where it `is_folder`, the place is opened as a folder of this machine; the others take files one by one. One that
    `is_local` has no server; what goes to one that `is_clear` is not encrypted. `problem(parts)` is what is wrong with
    a URL of this scheme, "" when nothing is, besides what is wrong with any. The `example` is shown to whoever wrote
    something else.
    """

    name: str
    example: str
    is_folder: bool = False
    is_local: bool = False
    is_clear: bool = False
    problem: Callable[[SplitResult], str] = lambda _parts: ""


def _file_problem(parts: SplitResult) -> str:
    if parts.netloc.lower() in ("", "localhost"):
        return ""
    shown = urlsplit(without_password(parts.geturl()))
    return f"names the host {shown.netloc}; a folder needs three slashes, file:///{shown.netloc}{_path(shown.path)}"


def _usb_problem(parts: SplitResult) -> str:
    is_device = not parts.netloc and _path(parts.path).startswith("/dev/")
    return "" if is_device else f"names no device; write {USB.example}"


def _nfs_problem(parts: SplitResult) -> str:
    has_user = parts.username is not None or parts.port is not None
    return "has a user or port; a port belongs to the mount options, as port=2050" if has_user else ""


def _cifs_problem(parts: SplitResult) -> str:
    if parts.port is not None:
        return "has a port, which belongs to the mount options, as port=4450"
    if ":" in (parts.hostname or ""):
        return "has an address of IPv6: use the name of the server"
    if "," in _path(parts.path):
        return "has a comma, which mount.cifs takes for the end of an option"
    return "" if _path(parts.path).strip("/") else f"names no share; write {CIFS.example}"


def _web_problem(parts: SplitResult) -> str:
    return "has a user; put name and password of a server into root's .netrc" if parts.username is not None else ""


def _rsync_problem(parts: SplitResult) -> str:
    if re.search("[/@:]", unquote(parts.username or "")):
        return "has a user with one of / @ : in it, which rsync cannot tell from the server"
    if parts.hostname and not _path(parts.path).strip("/"):
        return f"names no module of a daemon of rsync; write {RSYNC.example}, or rsync+ssh:// to reach it by ssh"
    return ""


FILE = Scheme("file", "file:///folder", is_folder=True, is_local=True, problem=_file_problem)
NFS = Scheme("nfs", "nfs://server/export", is_folder=True, problem=_nfs_problem)
CIFS = Scheme("cifs", "cifs://server/share/folder", is_folder=True, problem=_cifs_problem)
USB = Scheme("usb", "usb:///dev/disk/by-label/REAR-000", is_folder=True, is_local=True, problem=_usb_problem)
SSHFS = Scheme("sshfs", "sshfs://user@server/folder", is_folder=True)
HTTP = Scheme("http", "http://server/folder", is_clear=True, problem=_web_problem)
HTTPS = Scheme("https", "https://server/folder", problem=_web_problem)
SFTP = Scheme("sftp", "sftp://user@server/folder")
RSYNC_BY_SSH = Scheme("rsync+ssh", "rsync+ssh://user@server/folder")
RSYNC = Scheme("rsync", "rsync://user@server/module/folder", is_clear=True, problem=_rsync_problem)
FOLDERS = (FILE, NFS, CIFS, SSHFS, USB)
ALL = (*FOLDERS, HTTP, HTTPS, SFTP, RSYNC_BY_SSH, RSYNC)
# With these a user before the @ is no secret.
WITH_USER = ("file", "nfs", "cifs", "smb", "usb", "sftp", "ssh", "sshfs", "rsync", "rsync+ssh", "ftp")
BY_RESTIC = "for backups set BACKUP=RESTIC and RESTIC_REPOSITORY="
BY_RCLONE = "the package rear-places-rclone puts media there"
# What Relax-and-Recover and others write, and what to write instead.
INSTEAD = {
    "smb": "write cifs://server/share/folder",
    **dict.fromkeys(("sftp", "ssh", "rsync+ssh"), "write sshfs://user@server/folder"),
    "rsync": "as a daemon of rsync cannot rename and lock: write sshfs://user@server/folder, or set BACKUP=RSYNC and"
    " RSYNC_REPOSITORY=user@server:/folder",
    "s3": f"{BY_RESTIC}s3:https://server/bucket/folder; {BY_RCLONE}",
    **dict.fromkeys(("rclone", "webdav", "webdavs"), f"{BY_RESTIC}rclone:REMOTE:folder; {BY_RCLONE}"),
    "iso": "set BACKUP=CDROM: then the backup is on the rescue media",
    "tape": "set BACKUP=TAPE and TAPE_DEVICE",
    "obdr": "set OUTPUT=OBDR and BACKUP=TAPE",
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
        # A blank at the end would be lost, and with these characters another part begins (RFC 3986), or seems to end.
        path = re.sub(r"[%?#@\udc80-\udcff]|\s$", lambda found: quote(found[0], errors="surrogateescape"), self.path)
        return f"{self.scheme}://{user}{self.host}{port}{path}"

    @property
    def nfs_source(self) -> str:
        """How mount(8) names an NFS export; an IPv6 address keeps its brackets."""
        return f"{self.host}:{self.path}"

    def http(self, name: str) -> str:
        """The address of a file below the place, as HTTP has it."""
        port = f":{self.port}" if self.port else ""
        return f"{self.scheme}://{self.host}{port}{quote(f'{self.path.rstrip(chr(47))}/{name}')}"


def parse_url(text: str, schemes: Sequence[Scheme] = FOLDERS) -> Url:
    """Read a URL; raise `ValueError` with what is wrong. Schemes and hosts may be in capitals (RFC 3986, 6.2.2.1)."""
    if problem := url_problem(text, schemes):
        raise ValueError(problem)
    parts = urlsplit(text.strip(BLANKS))
    (scheme,) = (known for known in schemes if known.name == parts.scheme)
    host = parts.netloc.rpartition("@")[2].lower()
    if parts.port is not None:
        host = host.rpartition(":")[0]
    return Url(
        parts.scheme,
        "" if scheme.is_local else host,
        _path(parts.path),
        unquote(parts.username or ""),
        parts.port or 0,
    )


def url_problem(text: str, schemes: Sequence[Scheme] = FOLDERS) -> str:
    """What is wrong with a URL, "" when nothing is; what may be a password in it is not told."""
    text = text.strip(BLANKS)
    try:
        parts = urlsplit(text)
        # A wrong port is told by asking for it; and what is told of a URL comes from one without its password.
        _ = parts.port, urlsplit(without_password(text))
    except ValueError:
        # The reason that Python gives quotes what it took for the port.
        return "is no URL: its address or port is wrong; in a user's name, write / # ? @ as %2F %23 %3F %40"
    path, user = _path(parts.path), unquote(parts.username or "")
    if not parts.scheme:
        return "has no scheme such as file:// or nfs://"
    scheme = next((known for known in schemes if known.name == parts.scheme), None)
    if scheme is None:
        names = _either([f"{known.name}://" for known in schemes], "and")
        instead = INSTEAD.get(parts.scheme, f"only {names}")
        return f"{parts.scheme}:// is not supported, {instead}"
    if parts.query or parts.fragment or "?" in text or "#" in text:
        return "has a ? or #; write them as %3F and %23"
    if any(ord(character) < 32 or ord(character) == 127 for character in text + path + user):
        return "has control characters"
    if ".." in PurePosixPath(unquote(parts.path)).parts:
        return "has .. in its path"
    if not scheme.is_local and not parts.hostname:
        return "names no server"
    if parts.password is not None and not scheme.is_local:
        return (
            "has a password, which rear does not accept there: use a key with ssh, root's .netrc with https,"
            " CIFS_CREDENTIALS with cifs, RSYNC_PASSWORD_FILE with rsync, and rclone.conf with s3 and webdavs"
        )
    if problem := scheme.problem(parts):
        return problem
    if any(word.startswith("-") for word in (user, parts.hostname or "")):
        return "has a user or server that begins with -"
    return "" if path else "has no absolute path"


def _path(quoted: str) -> str:
    """A path in its one spelling, "" for none that is absolute."""
    path = unquote(quoted, errors="surrogateescape")
    return posixpath.normpath(f"/{path.lstrip('/')}") if path.startswith("/") else ""


def examples(schemes: Sequence[Scheme] = FOLDERS) -> str:
    """What to write instead."""
    # Nobody is led to what is not encrypted.
    return "write " + _either([scheme.example for scheme in schemes if not scheme.is_clear], "or")


def without_password(text: str) -> str:
    """A text that was to be a URL, without what may be a password: all between a colon and the last @.

    With HTTP a user alone may be a token as well, and with a word that is no scheme all of it.
    """
    head, at, tail = text.rpartition("@")
    if not at:
        return text
    scheme, slashes, rest = head.partition("://")
    if not slashes or ":" in scheme:
        scheme, slashes, rest = "", "", head
    user, colon, _ = rest.partition(":")
    if slashes and scheme.strip(BLANKS).lower() not in WITH_USER:
        return f"{scheme}{slashes}***@{tail}"
    return f"{scheme}{slashes}{user}:***@{tail}" if colon else text


def _either(words: Sequence[str], conjunction: str) -> str:
    return f" {conjunction} ".join(filter(None, (", ".join(words[:-1]), words[-1])))
