# SPDX-License-Identifier: GPL-3.0-or-later
"""ifcfg files: those of Red Hat's network-scripts (also read by NetworkManager), and those of SUSE's wicked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ... import recovered
from .wanted import Wanted

ADDRESS = r"(?:IPADDR|IPV6ADDR|REMOTE_IPADDR)"
DROPPED = re.compile(
    rf"\s*(?:{ADDRESS}|NETMASK|PREFIXLEN|PREFIX|BROADCAST|NETWORK|GATEWAY|LABEL|SCOPE|IPV6_DEFAULTGW|DNS|MACADDR|LLADDR"
    r"|DHCP_HOSTNAME|DHCP_CLIENT_ID|DHCLIENT6?_CLIENT_ID|DHCLIENT6?_HOSTNAME_OPTION|DHCPV6_(?:HOSTNAME|DUID|IAID))\w*\s*="
)
FOLDER = "/etc/sysconfig/network"


def of_redhat(name: str, text: str, wanted: Wanted) -> str:
    """The text in which the link has the addresses of the clone."""
    return _rewritten(name, text, wanted, suse=False)


def of_suse(name: str, text: str, wanted: Wanted) -> str:
    """Likewise; its gateway is in a file of its own."""
    return _rewritten(name, text, wanted, suse=True)


def _rewritten(name: str, text: str, wanted: Wanted, *, suse: bool) -> str:
    link = name.partition("-")[2]
    if link == "lo" or link.endswith((".bak", ".orig", "~")):
        return text
    leased = re.search(r"^\s*BOOTPROTO\s*=\s*[\"']?(?!none|static|[\"']?\s*$)\w", text, re.MULTILINE | re.IGNORECASE)
    had = leased or re.search(rf"^\s*{ADDRESS}\w*\s*=\s*[\"']?[0-9A-Fa-f]", text, re.MULTILINE)
    lines = [line for line in text.splitlines() if not DROPPED.match(line)]
    if had and ":" in link:
        # One more address of another link.
        return "".join(f"{line}\n" for line in lines)
    if had:
        names = [found.strip("\"' ") for found in re.findall(r"^\s*(?:DEVICE|HWADDR)\s*=(.*)$", text, re.MULTILINE)]
        given = wanted.addresses([*names, link])
        lines = [line for line in lines if not re.match(r"\s*BOOTPROTO\s*=", line)]
        lines += [f"BOOTPROTO={'static' if given else 'dhcp'}"]
        for number, address in enumerate(given):
            lines += _told(address, number, wanted, suse=suse)
    return "".join(f"{line}\n" for line in lines)


def _told(address: str, number: int, wanted: Wanted, *, suse: bool) -> list[str]:
    own, _, length = address.partition("/")
    gateway = wanted.identity.gateway(address)
    if suse:
        return [f"IPADDR{f'_{number}' if number else ''}={address}"]
    if ":" in address:
        return ["IPV6INIT=yes", f"IPV6ADDR={address}", *([f"IPV6_DEFAULTGW={gateway}"] if gateway else [])]
    index = f"{number}" if number else ""
    servers = [f"DNS{count}={server}" for count, server in enumerate(wanted.identity.nameservers, 1)]
    ways = [f"GATEWAY={gateway}"] if gateway else []
    return [f"IPADDR{index}={own}", f"PREFIX{index}={length}", *ways, *(servers if not number else [])]


def routes_of_suse(target: Path, wanted: Wanted) -> Iterator[tuple[str, Path, str]]:
    """The files with the gateways of the clone for wicked: their name there, their path here, their text."""
    for link, addresses in wanted.identity.addresses.items():
        gateways = [way for address in addresses if (way := wanted.identity.gateway(address))]
        name = f"{FOLDER}/ifroute-{link}"
        if gateways and recovered.inside(target, f"{FOLDER}/ifcfg-{link}").is_file():
            yield name, recovered.inside(target, name), "".join(f"default {way} - {link}\n" for way in gateways)
