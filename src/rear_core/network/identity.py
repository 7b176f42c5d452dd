# SPDX-License-Identifier: GPL-3.0-or-later
"""Another identity for a machine that is recovered beside the one it was made from: a host name, and addresses.

The kernel parameter rear.identity= gives it to the rescue system, so that not even that has the addresses of the
other machine.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from .. import own_files
from ..errors import ConfigurationError
from .model import CARD, Address, Hop, Link, Network, Resolver, Route
from .parameter import Parameter, override

DHCP = "dhcp"
# RFC 1123, 2.1; hostname(7).
HOST_NAME = re.compile(r"(?=.{1,64}$)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9-]{1,63})*")
LONGEST_LABEL = 63
NAMES = "HOST_NAME, ADDRESSES, GATEWAYS, NAME_SERVERS"
KERNEL_PARAMETER = "rear.identity="


@dataclass(frozen=True)
class Identity:
    """What a clone is called, "" for the old name with -clone, and the addresses with prefix length of its links.

    A link that has none gets them by DHCP. `places` says where the address of a link was given, as FILE:LINE.
    """

    hostname: str = ""
    addresses: Mapping[str, Sequence[str]] = field(default_factory=dict)
    gateways: Sequence[str] = ()
    nameservers: Sequence[str] = ()
    places: Mapping[str, str] = field(default_factory=dict)

    def named(self, old: str) -> str:
        """Its host name, where that of the machine it was made from is `old`."""
        short, dot, domain = old.partition(".")
        return self.hostname or f"{short[: LONGEST_LABEL - 6]}-clone{dot}{domain}"

    def gateway(self, address: str) -> str:
        """The gateway that is in the network of an address, "" for none."""
        network = ipaddress.ip_interface(address).network
        return next((gateway for gateway in self.gateways if ipaddress.ip_address(gateway) in network), "")


def asked_for(command_line: str) -> str | None:
    """What rear.identity= says on a kernel command line, None where it is not there."""
    found = [word for word in command_line.split() if word.startswith(KERNEL_PARAMETER)]
    return found[-1].partition("=")[2] if found else None


def load(word: str) -> Identity:
    """The identity of a file, or all by DHCP for `dhcp`; `ConfigurationError` with file and line for a bad one."""
    if word == DHCP:
        return Identity()
    if not word:
        raise ConfigurationError("rear.identity= names no identity", f"give it {DHCP}, or the path of a file")
    path = Path(word)
    try:
        text = own_files.read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        hint = f"write a file with {NAMES}, or say {DHCP}"
        raise ConfigurationError(f"cannot read the identity {path}: {reason}", hint) from error
    return parse(text, os.fspath(path))


def parse(text: str, source: str) -> Identity:
    """The identity that a text describes, in the syntax of settings."""
    from ..settings import reader

    found = Identity()
    for given in reader.parse(text, source):
        try:
            found = _with(found, given.name, _words(given), given.is_array, given.place)
        except ValueError as error:
            raise ConfigurationError(f"{given.place}: {error}", f"the file has {NAMES}") from error
    _check_gateways(found, source)
    return found


def _words(given: object) -> list[str]:
    from ..settings.reader import Assignment

    assert isinstance(given, Assignment)
    if given.references or given.append:
        raise ValueError(f"{given.name} must have plain words: no $ and no +=")
    return ["".join(map(str, word.parts)) for word in given.words]


def _with(found: Identity, name: str, words: Sequence[str], is_list: bool, place: str) -> Identity:
    """The identity with what one assignment says; `ValueError` for what is none."""
    if name == "HOST_NAME":
        if is_list or len(words) != 1 or not HOST_NAME.fullmatch(words[0]):
            raise ValueError("HOST_NAME must be a host name of letters, digits, - and dots")
        return replace(found, hostname=words[0])
    if name == "ADDRESSES":
        addresses: dict[str, list[str]] = {}
        for word in words if words != [DHCP] else []:
            link, _, address = word.partition("=")
            if not link or not address:
                raise ValueError(f"{word} is not NAME=ADDRESS/LENGTH or NAME={DHCP}")
            addresses.setdefault(link, [])
            addresses[link] += [] if address == DHCP else [_interface(address)]
        return replace(found, addresses=addresses, places=dict.fromkeys(addresses, place))
    if name in ("GATEWAYS", "NAME_SERVERS"):
        checked = [str(ipaddress.ip_address(word)) for word in words]
        return replace(found, gateways=checked) if name == "GATEWAYS" else replace(found, nameservers=checked)
    raise ValueError(f"{name} is unknown")


def _interface(address: str) -> str:
    if "/" not in address:
        raise ValueError(f"{address} lacks its prefix length, as in 192.0.2.50/24")
    found = ipaddress.ip_interface(address)
    if found.is_unspecified or found.is_loopback or found.is_multicast:
        raise ValueError(f"{address} is no address of a machine")
    return found.with_prefixlen


def _check_gateways(identity: Identity, source: str) -> None:
    given = [address for addresses in identity.addresses.values() for address in addresses]
    reached = {identity.gateway(address) for address in given}
    if lost := [gateway for gateway in identity.gateways if gateway not in reached]:
        raise ConfigurationError(
            f"{source}: the gateway {lost[0]} is in the network of none of ADDRESSES", "correct one of them"
        )


def check_links(identity: Identity, recorded: Network) -> None:
    """Raise `ConfigurationError` with file and line for an address of a link that the machine does not have."""
    known = [link.name for link in recorded.links]
    for name, place in identity.places.items():
        if name not in known:
            there = " ".join(known) or "none"
            raise ConfigurationError(f"{place}: the machine has no network link {name!r}", f"its links are: {there}")


def set_up(network: Network, identity: Identity, cards: Sequence[Link]) -> Network:
    """The recorded links with the addresses of a clone, and none of those that were recorded, also none of Ethernet."""
    own = {link.hardware_mac for link in network.links if link.kind == CARD}
    anonymous = [replace(link, mac=link.mac if link.kind == CARD or link.mac in own else "") for link in network.links]
    used = [link.name for link in network.links if link.name in {address.link for address in network.addresses}]
    leased = [name for name in used if not identity.addresses.get(name)]
    changed = override(
        replace(network, links=tuple(anonymous), resolver=Resolver()),
        [Parameter(dhcp=True, device=name) for name in leased] or ([] if used else [Parameter(dhcp=True)]),
        cards,
    )
    given = [(link, address) for link, addresses in identity.addresses.items() for address in addresses]
    routes = [
        Route(6 if ":" in address else 4, "default", (Hop(link, gateway),))
        for link, address in given
        if (gateway := identity.gateway(address))
    ]
    names = {link for link, _ in given}
    return replace(
        changed,
        hostname=identity.named(network.hostname),
        links=tuple(replace(link, up=link.up or link.name in names) for link in changed.links),
        addresses=tuple(Address(link, address) for link, address in given),
        routes=tuple(routes),
        resolver=Resolver(nameservers=tuple(identity.nameservers)),
    )
