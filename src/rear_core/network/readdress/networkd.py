# SPDX-License-Identifier: GPL-3.0-or-later
"""systemd-networkd: systemd.network(5), systemd.netdev(5), systemd.link(5) and networkd.conf(5)."""

from __future__ import annotations

from .wanted import MAC, OFF, NotUnderstood, Wanted, joined, section, sections

ADDRESSED = ("Address", "Route", "RoutingPolicyRule", "NextHop", "Neighbor", "IPv6AddressLabel")
# By these a server of DHCP knows a machine, and gives it the same address again.
CLIENT = ("DHCP", "DHCPv4", "DHCPv6")
KNOWN_BY = r"ClientIdentifier|DUID\w*|IAID|Hostname|RequestAddress"
SERVER = ("DHCPServer", "DHCPServerStaticLease", "IPv6SendRA")
TUNNELS = ("wireguard", "gre", "ipip", "sit", "vti", "vxlan", "geneve", "l2tp", "tun", "tap", "ip6tnl")


def rewritten(name: str, text: str, wanted: Wanted) -> str:
    """The text in which the links of the file have the addresses of the clone; those of devices lose fixed MACs."""
    found = sections(text)
    if kinds := [kind for kind in section(found, "NetDev").values("Kind") if kind in TUNNELS]:
        raise NotUnderstood(f"it is a {kinds[0]}, with which this clone would act as the other machine")
    if any(part.name in SERVER or part.values("DHCPServer") for part in found):
        raise NotUnderstood("it gives out addresses")
    for part in found:
        if part.name in ("Link", "NetDev"):
            part.drop("MACAddress")
        if part.name in CLIENT:
            part.drop(KNOWN_BY)
    had = any(part.name in ADDRESSED for part in found)
    found = [part for part in found if part.name not in ADDRESSED]
    network = section(found, "Network")
    network.drop("DNS|Domains")
    leased = any(value.lower() not in OFF for value in network.values("DHCP")[-1:])
    had = network.drop("Address|Gateway") or had or leased
    if had:
        network.drop("DHCP")
    if had and not name.endswith(".conf"):
        match = section(found, "Match")
        names = [word for value in match.values("Name") for word in value.split()]
        given = wanted.addresses([*names, *(mac for line in match.lines for mac in MAC.findall(line))])
        network.add(*([f"Address={address}" for address in given] or ["DHCP=yes"]))
        network.add(*(f"Gateway={way}" for address in given if (way := wanted.identity.gateway(address))))
        network.add(*(f"DNS={server}" for server in (wanted.identity.nameservers if given else ())))
    elif had:
        network.add("DHCP=yes")
    return joined(found, text)
