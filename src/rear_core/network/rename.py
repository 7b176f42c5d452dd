# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the names of network cards when other cards took their place, and exchanges addresses that are written down.

The recorded names stay in force on the new cards, so that addresses, firewalls and services find what they name:
a .link file of udev names each by its hardware address, and configuration by address gets the new one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import recovered
from .model import CARD, Link, Network
from .plan import match

# Six bytes, as 52:54:00:aa:bb:01, 52-54-00-aa-bb-01, 5254.00aa.bb01 or 525400aabb01.
MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
PLACE = r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]"
# The rest of a line, and of those that go on where it ends in a backslash.
REST = r"(?:.*\\\n)*.*$"
# In words for the kernel.
IN_WORDS = r"(?<![\w.])(?:ifname|BOOTIF)=\S+"
LINKS = ("/etc/systemd/network/*.link", "/etc/systemd/network/*.link.d/*.conf")
NETWORKS = ("/etc/systemd/network/*.network", "/etc/systemd/network/*.network.d/*.conf")
RULES = "/etc/udev/rules.d/*.rules"
NETPLAN = ("/etc/netplan/*.yaml", "/etc/cloud/cloud.cfg", "/etc/cloud/cloud.cfg.d/*")
# Where a card is recognised by its address. An address that a card is to be given is written otherwise, and stays.
BY_ADDRESS = (
    *((place, rf"^[ \t]*(?:PermanentMACAddress|MACAddress)[ \t]*={REST}", "[Match]") for place in (*LINKS, *NETWORKS)),
    ("/etc/NetworkManager/system-connections/*", r"^[ \t]*mac-address(?:-blacklist|-denylist)?[ \t]*=.*$", ""),
    *((place, r"\bmac:\S+|^[ \t]*no-auto-default[ \t]*=.*$", "")
      for place in ("/etc/NetworkManager/NetworkManager.conf", "/etc/NetworkManager/conf.d/*.conf")),
    (RULES, r"^[^#\n]*ATTRS?\{address\}==.*$", ""),
    *((place, r"^[^#\n]*\bmacaddress[\"']?[ \t]*:(?:[ \t]*\n)?.*$", "match:") for place in NETPLAN),
    ("/etc/network/interfaces", r"^[^#\n]*\bmac/.*$", ""),
    ("/etc/network/interfaces.d/*", r"^[^#\n]*\bmac/.*$", ""),
    ("/etc/sysconfig/network-scripts/ifcfg-*", r"^[ \t]*HWADDR[ \t]*=.*$", ""),
    ("/etc/wicked/ifconfig/*.xml", r"<permanent-address>.*?</permanent-address>", ""),
)  # fmt: skip
# Where it is recognised by its place on the PCI bus.
BY_PLACE = (
    *((place, rf"^[ \t]*Path[ \t]*={REST}", "[Match]") for place in (*LINKS, *NETWORKS)),
    ("/etc/NetworkManager/system-connections/*", r"^[ \t]*path[ \t]*=.*$", "[match]"),
    (RULES, r"^[^#\n]*KERNELS==.*$", ""),
)
# Where else cards are named.
CONFIGURATION = (
    "/etc/network/interfaces", "/etc/network/interfaces.d/*", *NETPLAN, "/etc/systemd/network/*",
    "/etc/systemd/network/*.d/*.conf", "/etc/NetworkManager/system-connections/*",
    "/etc/NetworkManager/NetworkManager.conf", "/etc/NetworkManager/conf.d/*.conf",
    "/etc/sysconfig/network-scripts/ifcfg-*", "/etc/sysconfig/network/ifcfg-*", "/etc/wicked/ifconfig/*.xml", RULES,
)  # fmt: skip
# MACAddress and not PermanentMACAddress, which older releases of systemd do not know.
LINK = """# Written by the recovery: {reason}.
[Match]
MACAddress={mac}
{kinds}
[Link]
Name={name}
"""
# A VLAN, bridge or bond on a card has the card's address, and must not get its name. systemd.link(5) of 247 and later
# knows cards by these types; before, as in 239 of RHEL 8, `Type=` is udev's DEVTYPE alone, which no Ethernet card has.
HARDWARE = "Type=ether infiniband dsa\n"
KNOWS_HARDWARE = 247
SYSTEMD = tuple(f"{folder}/systemd/libsystemd-shared-*" for folder in ("/usr/lib", "/usr/lib/*", "/lib", "/lib/*"))

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


@dataclass(frozen=True)
class Change:
    """What was done to a file."""

    file: str
    what: str

    def __str__(self) -> str:
        return f"{self.file}: {self.what}"


def rewrite_names(target: Path, replaced: Replaced, with_words: Sequence[str]) -> list[Change]:
    """Name new cards as the old ones were, and exchange addresses in the configuration; returns what was done.

    `with_words` are the patterns of files with words for the kernel.
    """
    addresses = {old.hardware_mac.lower(): new.hardware_mac.lower() for old, new in replaced.values()}
    by_address = (*BY_ADDRESS, *((place, IN_WORDS, "") for place in with_words))
    done = _exchange(target, by_address, addresses, "the address of the new network card")
    done += _exchange(target, BY_PLACE, _places(replaced), "the place of the new network card")
    for name, (old, new) in sorted(replaced.items()):
        if not is_named(target, name, new):
            place = recovered.inside(target, f"/etc/systemd/network/10-rear-{name}.link")
            same = old.hardware_mac.lower() == new.hardware_mac.lower()
            reason = "this card has moved" if same else f"this card took the place of {old.hardware_mac}"
            kinds = HARDWARE if systemd_release(target) >= KNOWS_HARDWARE else ""
            recovered.create(place, LINK.format(reason=reason, mac=new.hardware_mac, kinds=kinds, name=name))
            done.append(Change(f"/etc/systemd/network/{place.name}", f"the card {new.hardware_mac} is called {name}"))
    return done


def systemd_release(target: Path) -> int:
    """The release of systemd by the name of its library, libsystemd-shared-252.so; 0 where there is none."""
    names = [path.name for pattern in SYSTEMD for _, path in recovered.find(target, pattern)]
    releases = [int(found[1]) for name in names if (found := re.match(r"libsystemd-shared-(\d+)", name))]
    return max(releases, default=0)


def _exchange(target: Path, rows: Iterable[tuple[str, str, str]], new: Mapping[str, str], what: str) -> list[Change]:
    done = []
    for pattern, line, section in rows:
        for name, path in recovered.find(target, pattern):
            text = recovered.read(path)
            changed = exchanged(text, line, section, new)
            if changed != text:
                recovered.replace(path, changed)
                done.append(Change(name, what))
    return done


def _places(replaced: Replaced) -> dict[str, str]:
    """The PCI address of the new card by that of the old one; not where the ports of one card went apart."""
    found: dict[str, set[str]] = {}
    for old, new in replaced.values():
        was, now = (re.findall(PLACE, card.bus)[-1:] for card in (old, new))
        if was and now:
            found.setdefault(was[0], set()).add(now[0])
    return {was: now.pop() for was, now in found.items() if len(now) == 1}


def exchanged(text: str, line: str, section: str, new: Mapping[str, str]) -> str:
    """The text with old addresses or places replaced, where the pattern `line` matches and, if given, only behind that
    heading. They are written as the old ones were."""
    by_digits = {_digits(old): _digits(address) for old, address in new.items()}

    def other(found: re.Match[str]) -> str:
        digits = iter(by_digits[_digits(found[0])])
        return "".join(character if character in ":-." else next(digits) for character in found[0])

    def in_line(found: re.Match[str]) -> str:
        is_below = not section or _is_below(text, found.start(), section)
        return re.sub(_spellings(new), other, found[0], flags=re.IGNORECASE) if is_below else found[0]

    return re.sub(line, in_line, text, flags=re.MULTILINE)


def _digits(address: str) -> str:
    return re.sub(r"[:.-]", "", address).lower()


def _spellings(addresses: Iterable[str]) -> str:
    """A pattern of these addresses however they are written, and of places as they are."""
    known = [
        "[:.-]?".join(address.split(":")) if MAC.fullmatch(address) else re.escape(address) for address in addresses
    ]
    return rf"(?<![0-9A-Za-z])(?:{'|'.join(known) or '(?!)'})(?![0-9A-Za-z])"


def mentions(target: Path, replaced: Replaced, lost: Sequence[Link], with_words: Sequence[str]) -> list[str]:
    """Where the configuration still has the address of a card that is gone, or the name of one without a successor."""
    here = {new.hardware_mac.lower() for _, new in replaced.values()}
    gone = _spellings(sorted({old.hardware_mac.lower() for old, _ in replaced.values()} - here))
    names = "|".join(re.escape(link.name) for link in lost) or "(?!)"
    found = []
    patterns = (*CONFIGURATION, *with_words)
    for name, path in dict(pair for pattern in patterns for pair in recovered.find(target, pattern)).items():
        if card := re.search(rf"(?:^|-)({names})(?:\.|$)", path.name):
            found.append(f"{name}: no card replaces {card[1]}")
        for number, line in enumerate(recovered.read(path).splitlines(), 1):
            if line.lstrip().startswith(("#", ";")):
                continue
            found += [
                f"{name}, line {number}: {mac} is the address of a missing network card; rear left it unchanged"
                for mac in re.findall(gone, line, re.IGNORECASE)
            ]
            if card := re.search(rf"(?<![\w.-])(?:{names})(?![\w-])", line):
                found.append(f"{name}, line {number}: no card replaces {card[0]}")
    return found


def _is_below(text: str, position: int, section: str) -> bool:
    """Whether a place in the text is behind a heading: of an INI file ([Match]), or of a block of YAML (match:)."""
    if section.startswith("["):
        headings = re.findall(r"^[ \t]*(\[[^\]\n]+\])", text[:position], re.MULTILINE)
        return headings[-1:] == [section]
    # In YAML a key may be quoted, have a comment behind it, and stand in one line with what it is for.
    key = re.compile(rf"(?<![\w-])[\"']?{section[:-1]}[\"']?[ \t]*:")
    if key.search(text[position:].split("\n", 1)[0]):
        return True
    indent = len(text[position:]) - len(text[position:].lstrip(" "))
    for above in reversed(text[:position].splitlines()):
        words = above.strip()
        if words and not words.startswith("#") and len(above) - len(above.lstrip(" ")) < indent:
            return bool(key.match(words))
    return False


def is_named(target: Path, name: str, card: Link) -> bool:
    """Whether the configuration of udev calls the card, by its address or its place, by that name."""
    known = _spellings((card.hardware_mac.lower(), *re.findall(PLACE, card.bus)[-1:]))
    for link, path in recovered.find(target, LINKS[0]):
        more = [recovered.read(part) for _, part in recovered.find(target, f"{link}.d/*.conf")]
        text = "\n".join((recovered.read(path), *more))
        named = re.search(rf"^[ \t]*Name[ \t]*=[ \t]*{re.escape(name)}[ \t]*$", text, re.MULTILINE)
        if named and re.search(known, text, re.IGNORECASE):
            return True
    for _, path in recovered.find(target, RULES):
        for line in recovered.read(path).replace("\\\n", " ").splitlines():
            if f'NAME="{name}"' in line and re.search(known, line, re.IGNORECASE):
                return True
    return False
