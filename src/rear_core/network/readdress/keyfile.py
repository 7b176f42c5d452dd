# SPDX-License-Identifier: GPL-3.0-or-later
"""Profiles of NetworkManager: nm-settings-keyfile(5)."""

from __future__ import annotations

from .wanted import NotUnderstood, Section, Wanted, joined, section, sections

DROPPED = r"(addresses|address|routes|route|routing-rule)\d*(_options)?|gateway|dns|dhcp-(client-id|hostname|iaid|duid)"
# A profile that is somebody's key or address in another network, or gives out addresses itself.
TUNNELS = ("vpn", "wireguard", "ip-tunnel")


def rewritten(_name: str, text: str, wanted: Wanted) -> str:
    """The text in which the profile has the addresses of the clone."""
    found = sections(text)
    connection = section(found, "connection")
    kind = "".join(connection.values("type")[-1:])
    if kind in TUNNELS:
        raise NotUnderstood(f"it is a {kind}, with which this clone would act as the other machine")
    names = connection.values("interface-name")
    for each in found:
        names += each.values("mac-address") if each.name != "bridge" else []
        each.drop("cloned-mac-address" if each.name != "bridge" else "mac-address")
    if connection.values("slave-type") or connection.values("master") or connection.values("controller"):
        return joined(found, text)
    given = wanted.addresses(names)
    for name, version in (("ipv4", 4), ("ipv6", 6)):
        method = "".join(section(found, name).values("method")[-1:]) or "auto"
        if method == "shared":
            raise NotUnderstood(f"its {name} is shared: it gives out addresses")
        own = [address for address in given if (":" in address) == (version == 6)]
        if method in ("auto", "dhcp", "manual") or own:
            _exchange(section(found, name), own, wanted, closed=bool(given) and version == 4)
    return joined(found, text)


def _exchange(part: Section, own: list[str], wanted: Wanted, *, closed: bool) -> None:
    """Have a section say the addresses; without any it is for DHCP, or `closed`."""
    part.drop(DROPPED)
    part.drop("method")
    part.add("method=manual" if own else "method=disabled" if closed else "method=auto")
    for number, address in enumerate(own, 1):
        gateway = wanted.identity.gateway(address)
        part.add(f"address{number}={address}" + (f",{gateway}" if gateway else ""))
    servers = [server for server in wanted.identity.nameservers if (":" in server) == (part.name == "ipv6")]
    if own and servers:
        part.add(f"dns={';'.join(servers)};")
