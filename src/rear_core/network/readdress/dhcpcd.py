# SPDX-License-Identifier: GPL-3.0-or-later
"""dhcpcd.conf(5), which can give a link an address without any server."""

from __future__ import annotations

import re

from .wanted import Wanted

# Without a word behind them the client identifier and the host name are the clone's own.
DROPPED = re.compile(
    r"\s*(static\s+(ip_address|ip6_address|routers|domain_name_servers)|request|inform|inform6)\b"
    r"|\s*(clientid|duid|hostname|iaid)\s+[^\s#]"
)


def rewritten(_name: str, text: str, wanted: Wanted) -> str:
    """The text without fixed addresses, in whose place each link that had any has those of the clone."""
    lines: list[str] = []
    link = ""
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["interface"] and len(words) > 1:
            link = words[1]
        if not DROPPED.match(line):
            lines.append(line)
        elif words[0] == "static" and words[1].startswith("ip_address"):
            lines += _told(link, wanted)
    return "".join(f"{line}\n" for line in lines)


def _told(link: str, wanted: Wanted) -> list[str]:
    given = [address for address in wanted.addresses([link]) if ":" not in address][:1]
    gateways = [way for address in given if (way := wanted.identity.gateway(address))]
    return [f"static ip_address={address}" for address in given] + [f"static routers={way}" for way in gateways]
