# SPDX-License-Identifier: GPL-3.0-or-later
"""The options files of the Storage Protect client: dsm.opt chooses a server, dsm.sys describes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from rear_core import ConfigurationError

# The options that matter here, with the length of their shortest abbreviation (capitals in IBM's client reference:
# SErvername, NODename, INCLExcl ...).
NAMES = {
    "servername": 2, "defaultserver": 8, "nodename": 3, "passwordaccess": 9, "passworddir": 11, "inclexcl": 5,
    "errorlogname": 9, "schedlogname": 9,
}  # fmt: skip
PASSWORD_DIR = "/etc/adsm"

Options = Mapping[str, "list[str]"]


def read(folder: Path) -> Options:
    """The options of the server that this client uses, by name; dsm.opt names it, or it is the default or first one.

    Raises `ConfigurationError` when a file is missing or has no such server.
    """
    chosen = dict(_lines(folder / "dsm.opt")).get("servername", "")
    default = ""
    stanzas: dict[str, dict[str, list[str]]] = {}
    current: dict[str, list[str]] = {}
    for name, value in _lines(folder / "dsm.sys"):
        if name == "servername":
            current = stanzas.setdefault(value.lower(), {name: [value]})
        elif name == "defaultserver":
            default = value
        else:
            current.setdefault(name, []).append(value)
    wanted = chosen or default or next(iter(stanzas), "")
    if wanted.lower() not in stanzas:
        raise ConfigurationError(
            f"{folder / 'dsm.sys'} describes no server {wanted!r}", "`dsmc query session` must work on this machine"
        )
    return stanzas[wanted.lower()]


def password_dir(options: Options) -> str:
    """Where the client keeps its password."""
    return options.get("passworddir", [PASSWORD_DIR])[-1].rstrip("/")


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Name and value of each known option; a line that begins with * is a comment."""
    try:
        text = path.read_text(errors="replace")
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}", "set up the client first") from error
    for line in text.splitlines():
        word, value = [*line.split(None, 1), "", ""][:2]
        for name, shortest in NAMES.items():
            if len(word) >= shortest and name.startswith(word.lower()):
                yield name, value.strip().strip("\"'")
