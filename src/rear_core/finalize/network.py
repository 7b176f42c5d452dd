# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the names of network cards when other cards took their place, and exchanges addresses that are written down.

The recorded names stay in force on the new cards, so that addresses, firewalls and services find what they name:
a .link file of udev names each by its hardware address, and configuration by address gets the new one.
"""
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..rescue.network_plan import match
from ..system.network import CARD, Link, Network
from . import files

MAC = r"[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}"
# Where a card is recognised by its address. An address that a card is to be given is written otherwise, and stays.
BY_ADDRESS = (
    ("/etc/systemd/network/*.link", r"^[ \t]*(?:PermanentMACAddress|MACAddress)[ \t]*=.*$", "[Match]"),
    ("/etc/systemd/network/*.network", r"^[ \t]*(?:PermanentMACAddress|MACAddress)[ \t]*=.*$", "[Match]"),
    ("/etc/NetworkManager/system-connections/*", r"^[ \t]*mac-address[ \t]*=.*$", ""),
    ("/etc/udev/rules.d/*-persistent-net*.rules", r"^[^#\n]*ATTR\{address\}==.*$", ""),
    ("/etc/netplan/*.yaml", r"^[^#\n]*\bmacaddress:.*$", "match:"),
    ("/etc/sysconfig/network-scripts/ifcfg-*", r"^[ \t]*HWADDR[ \t]*=.*$", ""),
    ("/etc/sysconfig/network/ifcfg-*", r"^[ \t]*LLADDR[ \t]*=.*$", ""),
)  # fmt: skip
# MACAddress and not PermanentMACAddress, which older releases of systemd do not know.
LINK = """# Made by the recovery: {reason}.
[Match]
MACAddress={mac}

[Link]
Name={name}
"""


def replaced_cards(recorded: Network, present: Sequence[Link]) -> dict[str, tuple[Link, Link]]:
    """The recorded cards that are not what or where they were, by name: what was there and what is there now."""
    cards = [link for link in recorded.links if link.kind == CARD]
    by_name = {link.name: link for link in cards}
    here = {link.name: link for link in present}
    pairs = {found.link: (by_name[found.link], here[found.card]) for found in match(cards, present)}
    return {name: (old, new) for name, (old, new) in pairs.items() if _identity(old) != _identity(new)}


def _identity(card: Link) -> tuple[str, str, int]:
    return card.hardware_mac.lower(), card.bus, card.port


def put_right(target: Path, replaced: Mapping[str, tuple[Link, Link]]) -> list[str]:
    """Name new cards as the old ones were, and exchange addresses in the configuration; returns what was done."""
    addresses = {old.hardware_mac.lower(): new.hardware_mac.lower() for old, new in replaced.values()}
    done = []
    for pattern, line, section in BY_ADDRESS:
        for name, path in files.find(target, pattern):
            text = files.read(path)
            changed = exchanged(text, line, section, addresses)
            if changed != text:
                files.replace(path, changed)
                done.append(f"{name}: the address of the new network card")
    for name, (old, new) in sorted(replaced.items()):
        if not is_named(target, name, new.hardware_mac):
            place = files.inside(target, f"/etc/systemd/network/10-rear-{name}.link")
            place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            same = old.hardware_mac.lower() == new.hardware_mac.lower()
            reason = "this card has moved" if same else f"this card took the place of {old.hardware_mac}"
            place.write_text(LINK.format(reason=reason, mac=new.hardware_mac, name=name))
            done.append(f"/etc/systemd/network/{place.name}: the card {new.hardware_mac} is called {name}")
    return done


def exchanged(text: str, line: str, section: str, addresses: Mapping[str, str]) -> str:
    """The text with old addresses replaced, in the lines of that pattern and, if given, only behind that heading."""

    def in_line(found: re.Match[str]) -> str:
        if section and _heading(text, found.start(), section) != section:
            return found[0]
        return re.sub(MAC, lambda mac: addresses.get(mac[0].lower().replace("-", ":"), mac[0]), found[0])

    return re.sub(line, in_line, text, flags=re.MULTILINE)


def _heading(text: str, position: int, section: str) -> str:
    """The heading that a place in the text is behind: of an INI file, or of a block of YAML."""
    if section.startswith("["):
        headings = re.findall(r"^[ \t]*(\[[^\]\n]+\])", text[:position], re.MULTILINE)
        return headings[-1] if headings else ""
    if section in text[position:].split("\n", 1)[0]:
        return section
    indent = len(text[position:]) - len(text[position:].lstrip(" "))
    for above in reversed(text[:position].splitlines()):
        if above.strip() and len(above) - len(above.lstrip(" ")) < indent:
            return above.strip()
    return ""


def is_named(target: Path, name: str, mac: str) -> bool:
    """Whether the configuration of udev calls the card with that address by that name."""
    for _, path in files.find(target, "/etc/systemd/network/*.link"):
        text = files.read(path)
        if mac.lower() in text.lower() and re.search(rf"^[ \t]*Name[ \t]*=[ \t]*{re.escape(name)}[ \t]*$", text, re.M):
            return True
    for _, path in files.find(target, "/etc/udev/rules.d/*-persistent-net*.rules"):
        for line in files.read(path).splitlines():
            if mac.lower() in line.lower() and f'NAME="{name}"' in line:
                return True
    return False
