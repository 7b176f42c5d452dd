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
    link, told = "", set()
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["interface"] and len(words) > 1:
            link = words[1]
        if not DROPPED.match(line):
            lines.append(line)
        elif words[0].startswith("inform") or (words[0] == "static" and words[1].startswith("ip")):
            lines += _told(link, wanted) if link not in told else []
            told.add(link)
    return "".join(f"{line}\n" for line in lines)


def _told(link: str, wanted: Wanted) -> list[str]:
    """One address of each family, as it knows no more; and no gateway of IPv6, which routers announce."""
    given = wanted.addresses([link])
    four, six = ([address for address in given if (":" in address) == wide][:1] for wide in (False, True))
    lines = [f"static ip_address={address}" for address in four]
    lines += [f"static routers={way}" for address in four if (way := wanted.identity.gateway(address))]
    lines += [f"static ip6_address={address}" for address in six]
    servers = " ".join(wanted.identity.nameservers if given else ())
    return [*lines, f"static domain_name_servers={servers}"] if servers else lines
