# SPDX-License-Identifier: GPL-3.0-or-later
"""Which remote of rclone's configuration a URL means: its sections have the servers, with users and passwords."""

from __future__ import annotations

import re
from collections.abc import Mapping
from configparser import ConfigParser, Error
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from rear_core import ConfigurationError, Refused, Run, own_files
from rear_core.places.url import Url
from rear_core.trust import check_secret

Sections = Mapping[str, Mapping[str, str]]

# What WebDAV is by the schemes of HTTP, with their ports.
WEB = {"webdav": ("http", 80), "webdavs": ("https", 443)}
# Keys of sections whose values nobody may see; with WebDAV they are sent to the server as they are.
SECRET = re.compile(r"(^|_)(pass|password2?|passphrase|token|secret|secret_access_key|access_key_id|key|sas_url)$")
SENT = ("user", "pass", "bearer_token", "bearer_token_command")
# Of an encrypted file; rclone would ask for its password.
ENCRYPTED = "RCLONE_ENCRYPT_"


@dataclass(frozen=True)
class Remote:
    """A remote by its name in rclone's configuration, and a path there, which begins with no slash."""

    name: str
    path: str


def find(run: Run, url: Url, options: str) -> Remote:
    """The remote that a URL means; its secrets are masked from now on."""
    if options:
        raise Refused(
            f"{url} takes no options, and OUTPUT_OPTIONS has {options}",
            "empty OUTPUT_OPTIONS; what rclone has to know of a server belongs into its configuration file",
        )
    path = Path(run.settings["RCLONE_CONFIG"])
    sections = read(path)
    try:
        remote = chosen(url, sections)
    except LookupError as error:
        raise Refused(f"RCLONE_CONFIG {path} {error.args[0]}", error.args[1]) from None
    for key, value in sections[remote.name].items():
        if SECRET.search(key):
            run.report.mask(value)
    return remote


def read(path: Path) -> Sections:
    """The sections of rclone's configuration; `ConfigurationError` unless it is one that only root can read."""
    check_secret(path, "RCLONE_CONFIG")
    parser = ConfigParser(interpolation=None, strict=False, default_section="", comment_prefixes=("#", ";"))
    try:
        text = own_files.read_text(path)
        if re.search(f"^{ENCRYPTED}", text, re.MULTILINE):
            raise ConfigurationError(
                f"RCLONE_CONFIG {path} is encrypted, and nobody can be asked for its password",
                "decrypt it with `rclone config`, or name another file that only root can read",
            )
        parser.read_string(text)
    except (OSError, ValueError, Error) as error:
        # Messages of the parser quote lines, which may have passwords.
        raise ConfigurationError(
            f"RCLONE_CONFIG {path} cannot be read: {type(error).__name__}", "correct it with `rclone config`"
        ) from None
    return {name: dict(parser[name]) for name in parser.sections()}


def chosen(url: Url, sections: Sections) -> Remote:
    """The remote that a URL means; `LookupError` with why there is none, and with what to do."""
    path = url.path.strip("/")
    if url.scheme in WEB:
        found = _web(url, sections)
    elif url.scheme == "rclone":
        found = [Remote(name, path) for name in sections if name.lower() == url.host]
    else:
        bucket = "/".join(filter(None, (url.host, path)))
        found = [Remote(name, bucket) for name, section in sections.items() if section.get("type") == url.scheme]
    if not found:
        raise LookupError(*_missing(url, sections))
    if len(found) > 1:
        names = " and ".join(f"[{remote.name}]" for remote in found)
        raise LookupError(f"has {names} for {url}", f"name one: rclone://{found[0].name}/{found[0].path}")
    _check(found[0].name, sections[found[0].name])
    return found[0]


def _web(url: Url, sections: Sections) -> list[Remote]:
    """The remotes of a server of WebDAV whose folder is nearest above that of the URL."""
    near: dict[int, list[Remote]] = {}
    for name, section in sections.items():
        if section.get("type") != "webdav" or not (top := _folder(url, section.get("url", ""))):
            continue
        if f"{url.path.rstrip('/')}/".startswith(top):
            near.setdefault(len(top), []).append(Remote(name, url.path[len(top) :].strip("/")))
    return near[max(near)] if near else []


def _folder(url: Url, address: str) -> str:
    """The folder that an address of HTTP names, with a slash at its end, "" for one of another server."""
    scheme, usual = WEB[url.scheme]
    try:
        parts = urlsplit(address)
        port = parts.port or usual
    except ValueError:
        return ""
    host = (parts.hostname or "").lower()
    same = (parts.scheme, host, port) == (scheme, url.host.strip("[]"), url.port or usual)
    return f"{unquote(parts.path).rstrip('/')}/" if same else ""


def _check(name: str, section: Mapping[str, str]) -> None:
    """Raise `LookupError` for a remote that is none, or that would send a password unencrypted."""
    if section.get("type") == "local":
        raise LookupError(f"has [{name}] as a folder of this machine", "write file:///folder instead")
    in_clear = section.get("type") == "webdav" and re.match("http:", section.get("url", ""), re.IGNORECASE)
    if in_clear and any(section.get(key) for key in SENT):
        raise LookupError(
            f"has a login in [{name}], which would be sent to {section['url']} unencrypted",
            "let the server have https, and write https:// there and webdavs:// here",
        )


def _missing(url: Url, sections: Sections) -> tuple[str, str]:
    """What a URL lacks in the configuration, and how to add it."""
    there = ", ".join(f"[{name}]" for name in sections) or "none"
    if url.scheme in WEB:
        login = " and a login" if url.scheme == "webdavs" else ""
        address = f"{WEB[url.scheme][0]}://{url.host}{f':{url.port}' if url.port else ''}{url.path}"
        return (
            f"has no section of type webdav with the server of {url}; it has {there}",
            f"make one with `rclone config`: type webdav, url {address}{login}",
        )
    if url.scheme == "rclone":
        return f"has no section [{url.host}]; it has {there}", "make one with `rclone config`, or name one of these"
    return f"has no section of type s3; it has {there}", "make one with `rclone config`: type s3, endpoint and keys"
