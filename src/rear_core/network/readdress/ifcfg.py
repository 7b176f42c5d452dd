# SPDX-License-Identifier: GPL-3.0-or-later
"""ifcfg files: those of Red Hat's network-scripts (also read by NetworkManager), and those of SUSE's wicked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
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
        if suse:
            lines += [f"IPADDR{f'_{number}' if number else ''}={address}" for number, address in enumerate(given)]
        elif given:
            lines += _told(given, wanted)
    return "".join(f"{line}\n" for line in lines)


def _told(given: Sequence[str], wanted: Wanted) -> Iterator[str]:
    four, six = ([address for address in given if (":" in address) == wide] for wide in (False, True))
    for number, address in enumerate(four):
        own, _, length = address.partition("/")
        yield f"IPADDR{number or ''}={own}"
        yield f"PREFIX{number or ''}={length}"
    if six:
        yield "IPV6INIT=yes"
        yield f"IPV6ADDR={six[0]}"
    if six[1:]:
        yield f'IPV6ADDR_SECONDARIES="{" ".join(six[1:])}"'
    for key, addresses in (("GATEWAY", four), ("IPV6_DEFAULTGW", six)):
        # There is one for all; the check of what was written finds another one missing.
        yield from [f"{key}={way}" for address in addresses if (way := wanted.identity.gateway(address))][:1]
    yield from (f"DNS{count}={server}" for count, server in enumerate(wanted.identity.nameservers, 1))


def netconfig(_name: str, text: str, wanted: Wanted) -> str:
    """The text of netconfig(8) with the name servers of the clone, which no ifcfg file of SUSE has."""
    servers = " ".join(wanted.identity.nameservers)
    return re.sub(r"^(NETCONFIG_DNS_STATIC_SERVERS=).*$", rf'\g<1>"{servers}"', text, flags=re.MULTILINE)


def routes_of_suse(target: Path, wanted: Wanted) -> Iterator[tuple[str, Path, str]]:
    """The files with the gateways of the clone for wicked: their name there, their path here, their text."""
    for link, addresses in wanted.identity.addresses.items():
        gateways = [way for address in addresses if (way := wanted.identity.gateway(address))]
        name = f"{FOLDER}/ifroute-{link}"
        if gateways and recovered.inside(target, f"{FOLDER}/ifcfg-{link}").is_file():
            yield name, recovered.inside(target, name), "".join(f"default {way} - {link}\n" for way in gateways)
