# SPDX-License-Identifier: GPL-3.0-or-later
"""interfaces(5) of ifupdown."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from ... import recovered
from .wanted import LITERAL, NotUnderstood, Wanted

FOLDER = "/etc/network"
SOURCE = re.compile(r"^[ \t]*source(-directory)?[ \t]+(.+)$", re.MULTILINE)
# Other characters have the shell look for what they stand for.
PLAIN = re.compile(r"[\w\s/.*?\[\]+:@,-]+")

STANZA = re.compile(r"(iface|auto|mapping|source|source-directory|template|rename|allow-\S+|no-\S+)\b")
# What an address needs, and an Ethernet address that two machines must not have.
DROPPED = re.compile(
    r"\s*(address|netmask|broadcast|gateway|network|pointopoint|scope|preferred-lifetime|hwaddress|ether|dns-\S+|lease\S*"
    r"|client|hostname)\b"
)
HOOK = re.compile(r"\s*(pre-up|up|post-up|down|pre-down|post-down)\b")
ADDRESSED = ("static", "dhcp", "bootp", "auto")
TUNNELS = ("v4tunnel", "6to4", "tunnel", "ppp", "wvdial")


def files(target: Path) -> list[tuple[str, Path]]:
    """The files that ifupdown reads, all of interfaces.d, and what they source: their path there, and here."""
    found: dict[Path, str] = {}
    left = [f"{FOLDER}/interfaces.d/*", f"{FOLDER}/interfaces"]
    while left:
        for name, path in recovered.find(target, left.pop()):
            if path not in found:
                found[path] = name
                left += _sourced(name, recovered.read(path))
    return [(name, path) for path, name in found.items()]


def _sourced(name: str, text: str) -> Iterator[str]:
    for directory, words in SOURCE.findall(text.replace("\\\n", " ")):
        for word in words.split():
            # Versions differ in what a relative path is relative to.
            for folder in {FOLDER, os.path.dirname(name)}:
                yield os.path.normpath(os.path.join(folder, word)) + ("/*" if directory else "")


def rewritten(_name: str, text: str, wanted: Wanted) -> str:
    """The text in which each link with an address has those of the clone."""
    for _, words in SOURCE.findall(text.replace("\\\n", " ")):
        if not PLAIN.fullmatch(words):
            raise NotUnderstood(f"it sources {words}, which may be any file")
    # A line goes on where it ends in a backslash.
    lines = [line for line in re.findall(r"(?:[^\n]*\\\n)*[^\n]*\n?", text) if line]
    stanzas: list[list[str]] = [[]]
    for line in lines:
        if STANZA.match(line.lstrip()):
            stanzas.append([])
        stanzas[-1].append(line)
    done: set[str] = set()
    return "".join(line for stanza in stanzas for line in _stanza(stanza, wanted, done))


def _stanza(lines: list[str], wanted: Wanted, done: set[str]) -> Iterator[str]:
    words = lines[0].split() if lines else []
    # A network of its own is set up by whatever its lines say.
    kept = [line for line in lines if not (HOOK.match(line) and LITERAL.search(line))]
    if words[:1] == ["iface"] and {*words[3:]} & {*TUNNELS}:
        return
    if words[:1] != ["iface"] or len(words) < 4 or words[3] not in ADDRESSED or words[1] == "lo":
        yield from kept
        return
    name, family = words[1], words[2]
    if ":" in name or name in done:
        # One more address of a link.
        return
    if family == "inet6" and words[3] in ("auto", "dhcp"):
        yield from [line for line in kept if not DROPPED.match(line)]
        return
    done.add(name)
    options = [line for line in kept[1:] if not DROPPED.match(line)]
    given = wanted.addresses([name])
    if not given:
        yield from [f"iface {name} inet dhcp\n", *options]
    for number, address in enumerate(given):
        yield f"iface {name} {'inet6' if ':' in address else 'inet'} static\n"
        yield f"    address {address}\n"
        if gateway := wanted.identity.gateway(address):
            yield f"    gateway {gateway}\n"
        if number == 0:
            servers = " ".join(wanted.identity.nameservers)
            yield from [f"    dns-nameservers {servers}\n"] if servers else []
            yield from options
