# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the names of network cards when other cards took their place, and exchanges addresses that are written down.

The recorded names stay in force on the new cards, so that addresses, firewalls and services find what they name:
a .link file of udev names each by its hardware address, and configuration by address gets the new one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ..rescue.network_plan import match
from ..system.network import CARD, Link, Network
from . import files
from .names import KERNEL_WORDS

MAC = r"(?<!\w)[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}(?!\w)"
PLACE = r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]"
# Where a card is recognised by its address. An address that a card is to be given is written otherwise, and stays.
BY_ADDRESS = (
    ("/etc/systemd/network/*.link", r"^[ \t]*(?:PermanentMACAddress|MACAddress)[ \t]*=.*$", "[Match]"),
    ("/etc/systemd/network/*.network", r"^[ \t]*(?:PermanentMACAddress|MACAddress)[ \t]*=.*$", "[Match]"),
    ("/etc/NetworkManager/system-connections/*", r"^[ \t]*mac-address(?:-blacklist|-denylist)?[ \t]*=.*$", ""),
    ("/etc/NetworkManager/NetworkManager.conf", r"\bmac:\S+", ""),
    ("/etc/NetworkManager/conf.d/*.conf", r"\bmac:\S+", ""),
    ("/etc/udev/rules.d/*-persistent-net*.rules", r"^[^#\n]*ATTRS?\{address\}==.*$", ""),
    ("/etc/netplan/*.yaml", r"^[^#\n]*\bmacaddress:.*$", "match:"),
    ("/etc/network/interfaces", r"^[^#\n]*\bmac/.*$", ""),
    ("/etc/network/interfaces.d/*", r"^[^#\n]*\bmac/.*$", ""),
    ("/etc/sysconfig/network-scripts/ifcfg-*", r"^[ \t]*HWADDR[ \t]*=.*$", ""),
    ("/etc/wicked/ifconfig/*.xml", r"<permanent-address>.*?</permanent-address>", ""),
    *((place, r"(?<![\w.])ifname=\S+", "") for place in KERNEL_WORDS),
)  # fmt: skip
# Where it is recognised by its place on the PCI bus.
BY_PLACE = (
    ("/etc/systemd/network/*.link", r"^[ \t]*Path[ \t]*=.*$", "[Match]"),
    ("/etc/systemd/network/*.network", r"^[ \t]*Path[ \t]*=.*$", "[Match]"),
    ("/etc/NetworkManager/system-connections/*", r"^[ \t]*path[ \t]*=.*$", "[match]"),
    ("/etc/udev/rules.d/*-persistent-net*.rules", r"^[^#\n]*KERNELS==.*$", ""),
)
# Where else cards are named.
CONFIGURATION = (
    "/etc/network/interfaces", "/etc/network/interfaces.d/*", "/etc/netplan/*.yaml", "/etc/systemd/network/*",
    "/etc/NetworkManager/system-connections/*", "/etc/sysconfig/network-scripts/ifcfg-*",
    "/etc/sysconfig/network/ifcfg-*", "/etc/wicked/ifconfig/*.xml", "/etc/udev/rules.d/*-persistent-net*.rules",
)  # fmt: skip
# MACAddress and not PermanentMACAddress, which older releases of systemd do not know.
LINK = """# Made by the recovery: {reason}.
[Match]
MACAddress={mac}

[Link]
Name={name}
"""

Replaced = Mapping[str, tuple[Link, Link]]


def replaced_cards(recorded: Network, present: Sequence[Link]) -> dict[str, tuple[Link, Link]]:
    """The recorded cards that are not what or where they were, by name: what was there and what is there now."""
    pairs = _pairs(recorded, present)
    return {name: (old, new) for name, (old, new) in pairs.items() if _identity(old) != _identity(new)}


def lost_cards(recorded: Network, present: Sequence[Link]) -> list[Link]:
    """The recorded cards that were in use and whose place no card has taken."""
    pairs = _pairs(recorded, present)
    return [link for link in recorded.links if link.kind == CARD and link.up and link.name not in pairs]


def _pairs(recorded: Network, present: Sequence[Link]) -> dict[str, tuple[Link, Link]]:
    cards = [link for link in recorded.links if link.kind == CARD]
    by_name = {link.name: link for link in cards}
    here = {link.name: link for link in present}
    return {found.link: (by_name[found.link], here[found.card]) for found in match(cards, present)}


def _identity(card: Link) -> tuple[str, str, int]:
    return card.hardware_mac.lower(), card.bus, card.port


def put_right(target: Path, replaced: Replaced) -> list[str]:
    """Name new cards as the old ones were, and exchange addresses in the configuration; returns what was done."""
    addresses = {old.hardware_mac.lower(): new.hardware_mac.lower() for old, new in replaced.values()}
    done = _exchange(target, BY_ADDRESS, MAC, addresses, "the address of the new network card")
    done += _exchange(target, BY_PLACE, PLACE, _places(replaced), "the place of the new network card")
    for name, (old, new) in sorted(replaced.items()):
        if not is_named(target, name, new):
            place = files.inside(target, f"/etc/systemd/network/10-rear-{name}.link")
            same = old.hardware_mac.lower() == new.hardware_mac.lower()
            reason = "this card has moved" if same else f"this card took the place of {old.hardware_mac}"
            files.create(place, LINK.format(reason=reason, mac=new.hardware_mac, name=name))
            done.append(f"/etc/systemd/network/{place.name}: the card {new.hardware_mac} is called {name}")
    return done


def _exchange(
    target: Path, rows: Iterable[tuple[str, str, str]], word: str, new: Mapping[str, str], what: str
) -> list[str]:
    done = []
    for pattern, line, section in rows:
        for name, path in files.find(target, pattern):
            text = files.read(path)
            changed = exchanged(text, line, section, new, word)
            if changed != text:
                files.replace(path, changed)
                done.append(f"{name}: {what}")
    return done


def _places(replaced: Replaced) -> dict[str, str]:
    """The PCI address of the new card by that of the old one; not where the ports of one card went apart."""
    found: dict[str, set[str]] = {}
    for old, new in replaced.values():
        was, now = (re.findall(PLACE, card.bus)[-1:] for card in (old, new))
        if was and now:
            found.setdefault(was[0], set()).add(now[0])
    return {was: now.pop() for was, now in found.items() if len(now) == 1}


def exchanged(text: str, line: str, section: str, new: Mapping[str, str], word: str = MAC) -> str:
    """The text with old addresses replaced, where the pattern `line` matches and, if given, only behind that heading.

    `word` is the pattern of an address.
    """

    def other(found: re.Match[str]) -> str:
        address = new.get(found[0].lower().replace("-", ":"), found[0])
        return address.replace(":", "-") if "-" in found[0] else address

    def in_line(found: re.Match[str]) -> str:
        if section and _heading(text, found.start(), section) != section:
            return found[0]
        return re.sub(word, other, found[0])

    return re.sub(line, in_line, text, flags=re.MULTILINE)


def mentions(target: Path, replaced: Replaced, lost: Sequence[Link]) -> list[str]:
    """Where the configuration still has the address of a card that is gone, or the name of one without a successor."""
    here = {new.hardware_mac.lower() for _, new in replaced.values()}
    gone = {old.hardware_mac.lower() for old, _ in replaced.values()} - here
    names = "|".join(re.escape(link.name) for link in lost) or "(?!)"
    found = []
    for pattern in CONFIGURATION:
        for name, path in files.find(target, pattern):
            if card := re.search(rf"(?:^|-)({names})(?:\.|$)", path.name):
                found.append(f"{name}: no card has taken the place of {card[1]}")
            for number, line in enumerate(files.read(path).splitlines(), 1):
                if line.lstrip().startswith(("#", ";")):
                    continue
                found += [
                    f"{name}, line {number}: {mac} is the address of a network card that is gone, and is left"
                    for mac in re.findall(MAC, line)
                    if mac.lower().replace("-", ":") in gone
                ]
                if card := re.search(rf"(?<![\w.-])(?:{names})(?![\w-])", line):
                    found.append(f"{name}, line {number}: no card has taken the place of {card[0]}")
    return found


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


def is_named(target: Path, name: str, card: Link) -> bool:
    """Whether the configuration of udev calls the card, by its address or its place, by that name."""
    known = (card.hardware_mac.lower(), *re.findall(PLACE, card.bus)[-1:])
    for _, path in files.find(target, "/etc/systemd/network/*.link"):
        text = files.read(path)
        if _has_one(text, known) and re.search(rf"^[ \t]*Name[ \t]*=[ \t]*{re.escape(name)}[ \t]*$", text, re.M):
            return True
    for _, path in files.find(target, "/etc/udev/rules.d/*-persistent-net*.rules"):
        for line in files.read(path).splitlines():
            if _has_one(line, known) and f'NAME="{name}"' in line:
                return True
    return False


def _has_one(text: str, words: Iterable[str]) -> bool:
    return any(word in text.lower() for word in words)
