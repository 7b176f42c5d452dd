# SPDX-License-Identifier: GPL-3.0-or-later
"""The machines that get the menu, and the names of files by which their boot loaders look for it."""

from __future__ import annotations

import ipaddress
import re
import uuid
from pathlib import Path

from rear_core import Refused, Run

UUID_FILE = Path("/sys/class/dmi/id/product_uuid")
MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")

# The folder and the beginning of the file name, by boot loader.
PLACES = {"pxelinux": "pxelinux.cfg/", "grub": "grub/grub.cfg-", "ipxe": "ipxe/"}
DEFAULT = "default"


def nodes(run: Run) -> list[str]:
    """MAC addresses, IP addresses or UUIDs of the machines that are meant: this one, unless PXE_NODES says others."""
    if run.settings["PXE_NODES"]:
        return [node(word) for word in run.settings["PXE_NODES"]]
    kind = run.settings["PXE_NODE_BY"]
    found = [_own_uuid()] if kind == "uuid" else _own_addresses(run, kind)
    if not any(found):
        raise Refused(f"this machine has no {kind.upper()} that a boot server can use", "set PXE_NODES")
    return list(dict.fromkeys(node(word) for word in found))


def node(word: str) -> str:
    """A node as it is written here; raises `ValueError`.

    >>> node("52-54-00-AA-00-01"), node("192.0.2.91"), node("B8945908-D6A6-41A9-611D-74A6AB80B83D")
    ('52:54:00:aa:00:01', '192.0.2.91', 'b8945908-d6a6-41a9-611d-74a6ab80b83d')
    """
    mac = word.lower().replace("-", ":")
    if MAC.fullmatch(mac):
        return mac
    try:
        bare = word[1:-1] if word.startswith("[") and word.endswith("]") else word
        return str(uuid.UUID(word) if len(word) == 36 and "-" in word else ipaddress.ip_address(bare))
    except ValueError:
        raise ValueError(f"{word} is not a MAC address, IPv4 or IPv6 address, or UUID") from None


def file_names(node: str, loader: str) -> list[str]:
    """The files that a boot loader asks for on a node.

    PXELINUX: UUID, 01-MAC, IP in hexadecimal (https://wiki.syslinux.org/wiki/index.php?title=PXELINUX#Configuration).
    GRUB: UUID, MAC, IP in hexadecimal ("Network" in its manual), Red Hat's 01-MAC; ours also finds the IP as it is.
    """
    if MAC.fullmatch(node):
        mac = node.replace(":", "-")
        names = [f"01-{mac}", mac] if loader == "grub" else [f"01-{mac}"]
    elif "-" in node:
        # Some firmware sends the first three parts with their bytes as they lie in memory (SMBIOS, 7.2.1).
        names = [node, str(uuid.UUID(bytes_le=uuid.UUID(node).bytes))]
    elif ":" in node:
        # GRUB writes all groups without leading zeros; PXELINUX knows no IPv6.
        address = ipaddress.IPv6Address(node)
        groups = ":".join(f"{int(group, 16):x}" for group in address.exploded.split(":"))
        names = {"grub": [groups], "ipxe": [f"{int(address):032x}"]}.get(loader, [])
    else:
        number = f"{int(ipaddress.IPv4Address(node)):08X}"
        names = {"grub": [number, node], "ipxe": [number.lower()]}.get(loader, [number])
    return [PLACES[loader] + name for name in dict.fromkeys(names)]


def _own_uuid() -> str:
    try:
        return UUID_FILE.read_text().strip()
    except OSError:
        return ""


def _own_addresses(run: Run, kind: str) -> list[str]:
    """Of all cards: whichever the machine boots from."""
    from rear_core.network.capture import capture
    from rear_core.network.model import CARD

    network = run.network or capture(run.sh)
    if kind == "mac":
        cards = [link for link in network.links if link.kind == CARD and not link.radio]
        return [card.hardware_mac for card in cards if MAC.fullmatch(card.hardware_mac)]
    found = [address for address in network.addresses if address.scope == "global"]
    chosen = [address for address in found if address.family == 4] or found
    return [address.address.partition("/")[0] for address in chosen]
