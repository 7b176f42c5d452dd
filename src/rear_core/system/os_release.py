# SPDX-License-Identifier: GPL-3.0-or-later
"""The operating system by its os-release file."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class OperatingSystem:
    """What os-release(5) says; `id_like` names the related systems, closest first."""

    id: str = "linux"
    id_like: tuple[str, ...] = ()
    version_id: str = ""
    name: str = "Linux"
    pretty_name: str = "Linux"

    @property
    def ids(self) -> tuple[str, ...]:
        """The names an OS plugin may be registered under, the most specific first."""
        return (self.id, *self.id_like)


def read_os_release(root: Path = Path("/")) -> OperatingSystem:
    """The operating system installed below `root`; without the file, the defaults of its manual page."""
    for place in ("etc/os-release", "usr/lib/os-release"):
        path = root / place
        if path.is_file():
            return parse_os_release(path.read_text(encoding="utf-8", errors="replace"))
    return OperatingSystem()


def parse_os_release(text: str) -> OperatingSystem:
    """The operating system that an os-release file tells of."""
    values = assignments(text)
    name = values.get("NAME") or OperatingSystem.name
    return OperatingSystem(
        id=_identifier(values.get("ID", "").lower()) or OperatingSystem.id,
        id_like=tuple(filter(None, map(_identifier, values.get("ID_LIKE", "").lower().split()))),
        version_id=_identifier(values.get("VERSION_ID", "")),
        name=name,
        pretty_name=values.get("PRETTY_NAME") or name,
    )


def _identifier(value: str) -> str:
    """An identifier, "" for what is none: files and folders are named by it, and it must not lead elsewhere.

    os-release(5) allows lower case letters, digits, `.`, `_` and `-`; versions of some systems also have others.
    """
    return value if re.fullmatch(r"[A-Za-z0-9_~+-][A-Za-z0-9._~+-]*", value) else ""


def assignments(text: str) -> dict[str, str]:
    """The shell assignments of an os-release file; a line that is none is passed over, as others do."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        name, separator, value = line.strip().partition("=")
        if separator and name.isidentifier():
            values[name] = _unquote(value)
    return values


def _unquote(value: str) -> str:
    try:
        return "".join(shlex.split(value)[:1])
    except ValueError:  # unbalanced quotes
        return value.strip("\"'")
