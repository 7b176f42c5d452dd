# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel parameter ip=, in the syntax of the kernel's document admin-guide/nfs/nfsroot.rst."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..errors import ConfigurationError
from .model import CARD, Address, Hop, Link, Network, Route

LEASED = ("on", "any", "dhcp", "both", "bootp", "rarp")
STATIC = ("off", "none")
SYNTAX = "ip=<client>:<server>:<gateway>:<netmask>:<hostname>:<device>:<autoconf>:<dns0>:<dns1>, or ip=dhcp"


@dataclass(frozen=True)
class Parameter:
    """What one ip= asks for: an `address` with prefix length, or a lease, or (neither) no network at all."""

    address: str = ""
    gateway: str = ""
    hostname: str = ""
    device: str = ""
    dhcp: bool = False
    nameservers: tuple[str, ...] = ()


def find(command_line: str) -> list[str]:
    """The values of ip= on a kernel command line."""
    return [word[3:] for word in command_line.split() if word.startswith("ip=")]


def parse(value: str) -> Parameter:
    """The meaning of one value; IPv6 addresses are written in brackets."""
    if value in LEASED + STATIC:
        return Parameter(dhcp=value in LEASED)
    parts = [part.strip("[]") for part in re.findall(r"(?:^|:)(\[[^\]]*\]|[^:]*)", value)]
    parts += [""] * (7 - len(parts))
    client, _server, gateway, netmask, hostname, device, auto, *servers = parts
    if auto not in ("", *LEASED, *STATIC):
        raise _wrong(value, f"unknown kind {auto!r}; known are {' '.join(LEASED + STATIC)}")
    try:
        address = _interface(client, netmask) if client else ""
        # The last two fields are time servers.
        for text in filter(None, (gateway, *servers[:2])):
            ipaddress.ip_address(text)
    except ValueError as error:
        raise _wrong(value, str(error)) from error
    # "any" only fills in what is not given.
    dhcp = not address if auto in ("", "on", "any") else auto in LEASED
    return Parameter("" if dhcp else address, gateway, hostname, device, dhcp, tuple(filter(None, servers[:2])))


def _interface(client: str, netmask: str) -> str:
    address = ipaddress.ip_address(client)
    if not netmask:
        # As the kernel does: by the class of the network.
        first = int(client.split(".")[0]) if address.version == 4 else 0
        netmask = "64" if address.version == 6 else "8" if first < 128 else "16" if first < 192 else "24"
    return ipaddress.ip_interface(f"{client}/{netmask}").with_prefixlen


def _wrong(value: str, reason: str) -> ConfigurationError:
    return ConfigurationError(f"ip={value}: {reason}", f"write {SYNTAX}")


def override(network: Network, parameters: Sequence[Parameter], cards: Sequence[Link]) -> Network:
    """The recorded links with the addresses, routes and name servers that were asked for, and no others."""
    changed = replace(
        network,
        links=tuple(replace(link, dhcp=False) for link in network.links),
        addresses=(),
        routes=(),
        rules=(),
    )
    for parameter in parameters:
        changed = _with(changed, network, parameter, cards)
    return changed


def _with(changed: Network, recorded: Network, parameter: Parameter, cards: Sequence[Link]) -> Network:
    if not (parameter.dhcp or parameter.address):
        return changed
    names = _devices(changed, recorded, parameter, cards)
    known = {link.name for link in changed.links}
    links = changed.links + tuple(card for card in cards if card.name in names and card.name not in known)
    changed = replace(
        changed,
        hostname=parameter.hostname or changed.hostname,
        links=tuple(_switched_on(link, links, names, parameter.dhcp) for link in links),
    )
    if parameter.nameservers:
        changed = replace(changed, resolver=replace(changed.resolver, nameservers=parameter.nameservers))
    if not parameter.address:
        return changed
    changed = replace(changed, addresses=(*changed.addresses, Address(names[0], parameter.address)))
    if not parameter.gateway:
        return changed
    near = ipaddress.ip_address(parameter.gateway) in ipaddress.ip_interface(parameter.address).network
    hop = Hop(names[0], parameter.gateway, onlink=not near)
    route = Route(6 if ":" in parameter.gateway else 4, "default", (hop,))
    return replace(changed, routes=(*changed.routes, route))


def _switched_on(link: Link, links: Sequence[Link], names: Sequence[str], dhcp: bool) -> Link:
    """The link, up if it or what stands on it is used."""
    up = link.up or _is_used(link, links, names)
    return replace(link, up=up, dhcp=link.dhcp or (dhcp and link.name in names))


def _is_used(link: Link, links: Sequence[Link], names: Sequence[str], depth: int = 8) -> bool:
    if link.name in names:
        return True
    above = [other for other in links if link.name == other.parent or link.master == other.name]
    return depth > 0 and any(_is_used(other, links, names, depth - 1) for other in above)


def _devices(changed: Network, recorded: Network, parameter: Parameter, cards: Sequence[Link]) -> list[str]:
    """The links that are meant; without a name those that had addresses, an address goes to the way out."""
    known = [link.name for link in changed.links] + [card.name for card in cards]
    if parameter.device:
        if parameter.device not in known:
            there = " ".join(dict.fromkeys(known)) or "none"
            raise ConfigurationError(f"ip=: no link {parameter.device!r}; there are {there}")
        return [parameter.device]
    routed = [hop.link for route in recorded.routes if route.destination == "default" for hop in route.hops]
    addressed = [address.link for address in recorded.addresses]
    plain = [link.name for link in recorded.links if link.kind == CARD]
    plain = plain or [card.name for card in cards if not card.radio]
    names = addressed or plain if parameter.dhcp else (routed or addressed or plain)[:1]
    if not names:
        raise ConfigurationError("ip=: there is no network card")
    return list(dict.fromkeys(names))
