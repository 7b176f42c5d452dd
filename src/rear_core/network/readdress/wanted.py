# SPDX-License-Identifier: GPL-3.0-or-later
"""What the configuration of a clone is to say, and how the files of its families are gone through."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..identity import Identity

MAC = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}")
# An address as programs are told it: not the versions and times that look alike.
LITERAL = re.compile(r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7})(?![\w.:])")


# No DHCP, in the words of netplan and systemd.
OFF = ("false", "no", "off", "n", "f", "0", "none")


class NotUnderstood(Exception):
    """A text that cannot be rewritten safely, and why."""


@dataclass(frozen=True)
class Wanted:
    """The identity, and the names of links by the addresses of their cards."""

    identity: Identity
    macs: Mapping[str, str]

    def addresses(self, names: Iterable[str]) -> Sequence[str]:
        """The addresses of the link that goes by one of these names or hardware addresses; none means DHCP."""
        for name in names:
            link = self.macs.get(name.lower().replace("-", ":"), name)
            if found := self.identity.addresses.get(link):
                return found
        return ()


@dataclass
class Section:
    """A part of an INI file: its heading with the lines before it, "" for the first, and its lines."""

    name: str
    lines: list[str]

    def values(self, key: str) -> list[str]:
        """The values of a key, in order."""
        pairs = (line.partition("=") for line in self.lines if not line.lstrip().startswith(("#", ";")))
        return [value.strip() for name, equals, value in pairs if equals and name.strip() == key]

    def drop(self, pattern: str) -> bool:
        """Remove the lines whose key matches; whether there were any."""
        left = [line for line in self.lines if not re.fullmatch(pattern, line.partition("=")[0].strip())]
        dropped = len(left) != len(self.lines)
        self.lines = left
        return dropped

    def add(self, *lines: str) -> None:
        """Add lines behind the last one that is not empty."""
        at = len(self.lines)
        while at and not self.lines[at - 1].strip():
            at -= 1
        self.lines[at:at] = lines


def sections(text: str) -> list[Section]:
    """The sections of an INI file, the first without a heading."""
    found = [Section("", [])]
    for line in text.splitlines():
        if heading := re.fullmatch(r"\s*\[([^\]]*)\]\s*", line):
            found.append(Section(heading[1], []))
        else:
            found[-1].lines.append(line)
    return found


def joined(found: Iterable[Section], before: str) -> str:
    """The text of sections without those that are empty, or the one from before if it says the same."""
    new, old = ([line for each in parts for line in _lines(each)] for parts in (found, sections(before)))
    return before if new == old else "".join(f"{line}\n" for line in new)


def _lines(part: Section) -> list[str]:
    return [f"[{part.name}]", *part.lines] if part.name and part.lines else part.lines


def section(found: list[Section], name: str) -> Section:
    """The first section of that name, which is added where there is none."""
    for each in found:
        if each.name == name:
            return each
    found.append(Section(name, []))
    return found[-1]
