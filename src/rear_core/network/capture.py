# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the network of this machine from the kernel and from /etc/resolv.conf."""

from __future__ import annotations

import ipaddress
import json
import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import ProgramFailed, RearError
from ..shell import Shell
from .model import CARD, Address, LeftOut, Link, Network, Resolver, Route, hardware, odd_card, reading
from .options import bridge_vlans, member_options, options
from .routes import describe_routes, describe_rules

Message = Mapping[str, Any]

ETHERNET, INFINIBAND, LOOPBACK = 1, 32, 772
UP = 0x1
SCOPES = {0: "global", 200: "site", 253: "link", 254: "host"}
# Flags of an address, from the kernel's uapi/linux/if_addr.h.
TEMPORARY, DEPRECATED, PERMANENT, NOPREFIXROUTE = 0x01, 0x20, 0x80, 0x200

STACKED = ("bond", "bridge", "dummy", "macvlan", "team", "vlan", "vrf")
REPEATED = ("UNKNOWN", "IFLA_BRIDGE_VLAN_INFO", "IFLA_VLAN_QOS_MAPPING")
NO_RADIOS: Mapping[str, bytes] = {}
MASTERS = ("bond", "bridge", "team", "vrf")
REASONS = {
    "ifb": "shapes traffic only",
    "macvtap": "created for a virtual machine",
    "openvswitch": "Open vSwitch needs its own daemon",
    "tun": "created by the program that uses it",
    "veth": "a cable into a container",
    "wireguard": "its keys do not belong in a rescue system",
}


def capture(sh: Shell, root: Path = Path("/"), radios: Mapping[str, bytes] = NO_RADIOS) -> Network:
    """The network of this machine as it runs now, in the namespace of this process.

    Of wireless links it has those of `radios`, with the names of the networks that they are to join.
    """
    return describe(collect(sh), root, socket.gethostname(), radios)


def collect(sh: Shell) -> dict[str, Any]:
    """What the kernel answers, as plain dictionaries without the classes of pyroute2."""
    from pyroute2 import IPRoute  # type: ignore[attr-defined, unused-ignore]
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        with IPRoute() as route:
            found: dict[str, Any] = {
                "links": _plain(route.get_links()),
                "addresses": _plain(route.get_addr()),
                "routes": _plain(route.get_routes(family=socket.AF_INET))
                + _plain(route.get_routes(family=socket.AF_INET6)),
                "rules": _plain(route.get_rules(family=socket.AF_INET))
                + _plain(route.get_rules(family=socket.AF_INET6)),
                "vlans": [],
            }
            if any(_bridge_filters(link) for link in found["links"]):
                found["vlans"] = _plain(route.get_vlans())
    except (OSError, NetlinkError) as error:
        raise RearError(f"cannot read the network from the kernel: {error}") from error
    found["teams"] = {
        link["IFLA_IFNAME"]: _team(sh, link, found["links"]) for link in found["links"] if _kind(link) == "team"
    }
    return found


def describe(found: Mapping[str, Any], root: Path, hostname: str, radios: Mapping[str, bytes] = NO_RADIOS) -> Network:
    """The network in the kernel's answers; sysfs and resolv.conf are read below `root`."""
    left_out: list[LeftOut] = []
    names = {link["index"]: link["IFLA_IFNAME"] for link in found["links"]}
    links = _describe_links(found, names, root / "sys/class/net", radios, left_out)
    kept = {index: name for index, name in names.items() if any(link.name == name for link in links)}
    addresses = tuple(_describe_addresses(found["addresses"], kept, left_out))
    routes = describe_routes(found["routes"], kept, addresses, left_out)
    leased, addresses = _leased(addresses, routes)
    return Network(
        hostname=hostname,
        links=tuple(_with_lease(link, leased, addresses) for link in links),
        addresses=addresses,
        routes=tuple(routes),
        rules=tuple(describe_rules(found["rules"], set(kept.values()), left_out)),
        resolver=_resolver(root, left_out),
        left_out=tuple(left_out),
    )


def _with_lease(link: Link, leased: set[str], addresses: Sequence[Address]) -> Link:
    """The link, which asks for a lease where it had one, or is a radio that is not connected now."""
    away = bool(link.ssid) and all(address.link != link.name for address in addresses)
    return replace(link, dhcp=away or link.name in leased)


def _describe_links(
    found: Mapping[str, Any],
    names: Mapping[int, str],
    sysfs: Path,
    radios: Mapping[str, bytes],
    left_out: list[LeftOut],
) -> list[Link]:
    messages = [link for link in found["links"] if link["ifi_type"] != LOOPBACK]
    # A container has no hardware: there the ends of its cables are the cards.
    contained = not any((sysfs / link["IFLA_IFNAME"] / "device").exists() for link in messages)
    reasons = {link["IFLA_IFNAME"]: _reason(link, sysfs, contained) for link in messages}
    reasons.update((name, "without the configuration in teamd") for name, text in found["teams"].items() if not text)
    vlans = bridge_vlans(found["vlans"], names)
    described: list[Link] = []
    for message in messages:
        with reading(message["IFLA_IFNAME"], left_out):
            described.append(_describe_link(message, found, names, sysfs, vlans))
            if joined := radios.get(message["IFLA_IFNAME"]):
                described[-1] = replace(described[-1], ssid=os.fsdecode(joined), up=True)
    reasons.update(
        (link.name, "a radio, and RESCUE_WIRELESS is off or means another one")
        for link in described
        if link.radio and not link.ssid
    )
    reasons.update(dict.fromkeys(reasons.keys() - {link.name for link in described}, "not understood"))
    cards = {link.name for link in described if link.kind == CARD and not reasons[link.name]}
    for link in described:
        if link.kind == CARD and link.master in cards and not reasons[link.name]:
            reasons[link.name] = f"follows {link.master} by itself"
    _leave_out_stacks(described, reasons)
    left_out += [LeftOut(link.name, reasons[link.name]) for link in described if reasons[link.name]]
    return [
        replace(link, master="", member={}, vlans=()) if reasons.get(link.master) else link
        for link in described
        if not reasons[link.name]
    ]


def _reason(link: Message, sysfs: Path, contained: bool) -> str:
    """Why the link is left out, or ""."""
    name, kind = link["IFLA_IFNAME"], _kind(link)
    if kind in STACKED:
        return ""
    if kind == "veth":
        return "" if contained and "IFLA_LINK_NETNSID" in link else REASONS["veth"]
    # ib0 is of kind "ipoib" as its children are; only they name a parent.
    if kind and not (kind == "ipoib" and not (sysfs / name / "parent").exists()):
        return REASONS.get(kind, f"links of kind {kind} are not set up in the rescue system")
    if not (sysfs / name / "device").exists():
        return "no hardware"
    if odd := odd_card(sysfs, name):
        return odd
    return "" if link["ifi_type"] in (ETHERNET, INFINIBAND) else "neither Ethernet nor InfiniBand"


def _leave_out_stacks(links: Sequence[Link], reasons: dict[str, str]) -> None:
    """Leave out what stands on nothing: masters without members, children of what is left out."""
    changed = True
    while changed:
        changed = False
        members = {link.master for link in links if not reasons[link.name]}
        for link in links:
            reason = ""
            if link.kind in MASTERS and link.name not in members:
                reason = "no members that connect to another machine"
            elif link.parent and reasons.get(link.parent, "not here"):
                reason = f"depends on {link.parent}, which is left out"
            if reason and not reasons[link.name]:
                reasons[link.name] = reason
                changed = True


def _describe_link(
    link: Message,
    found: Mapping[str, Any],
    names: Mapping[int, str],
    sysfs: Path,
    vlans: Mapping[str, tuple[str, ...]],
) -> Link:
    name, kind = link["IFLA_IFNAME"], _kind(link)
    physical = hardware(sysfs, name)
    stacked = kind in STACKED
    data = options(link, names)
    if kind == "team":
        data = {"config": found["teams"][name]}
    mac = link.get("IFLA_ADDRESS", "")
    permanent = "" if stacked else _permanent_mac(link, sysfs)
    return replace(
        physical,
        kind=kind if stacked else CARD,
        driver="" if stacked else physical.driver or kind,
        mac=mac,
        permanent_mac="" if permanent == mac else permanent,
        mtu=link.get("IFLA_MTU", 1500),
        up=bool(link["flags"] & UP),
        master=names.get(link.get("IFLA_MASTER", 0), ""),
        parent=names.get(link.get("IFLA_LINK", 0), "") if kind in ("vlan", "macvlan") else "",
        options=data,
        member=member_options(link),
        vlans=vlans.get(name, ()),
    )


def _permanent_mac(link: Message, sysfs: Path) -> str:
    """The hardware's own address. Kernels before 5.5 tell it only for the members of a bond."""
    if "IFLA_PERM_ADDRESS" in link:
        return str(link["IFLA_PERM_ADDRESS"]).lower()
    try:
        file: Path = sysfs / link["IFLA_IFNAME"] / "bonding_slave/perm_hwaddr"
        return file.read_text().strip()
    except OSError:
        return ""


def _describe_addresses(
    messages: Iterable[Message], kept: Mapping[int, str], left_out: list[LeftOut]
) -> Iterable[Address]:
    for message in messages:
        with reading(f"address {message.get('IFA_LOCAL', message.get('IFA_ADDRESS', ''))}", left_out):
            yield from _describe_address(message, kept)


def _describe_address(message: Message, kept: Mapping[int, str]) -> Iterable[Address]:
    flags = message.get("IFA_FLAGS", message["flags"])
    # The kernel does not send what is 0.0.0.0: an address, or the other end of one.
    other = message.get("IFA_ADDRESS", "0.0.0.0")
    local = message.get("IFA_LOCAL", other)
    six = message["family"] == socket.AF_INET6
    if message["index"] not in kept or _is_nobodys(local):
        return
    # In IPv4 the same bit says "secondary".
    if six and flags & TEMPORARY:
        return
    link = kept[message["index"]]
    label = message.get("IFA_LABEL", link)
    yield Address(
        link,
        f"{local}/{message['prefixlen']}",
        peer="" if other == local else other,
        broadcast=message.get("IFA_BROADCAST", ""),
        label="" if label == link else label,
        scope=SCOPES.get(message["scope"], str(message["scope"])),
        metric=message.get("IFA_RT_PRIORITY", 0),
        dynamic=not flags & PERMANENT,
        deprecated=bool(flags & DEPRECATED and flags & PERMANENT),
        noprefixroute=bool(flags & NOPREFIXROUTE),
    )


def _is_nobodys(address: str) -> bool:
    """Whether an address is none, or one that each link makes by itself."""
    found = ipaddress.ip_address(address)
    return found.is_link_local or found.is_unspecified


def _leased(addresses: Sequence[Address], routes: Iterable[Route]) -> tuple[set[str], tuple[Address, ...]]:
    """The links that have their IPv4 address by DHCP, and all addresses with those marked as dynamic.

    A lease without end shows only in the routes that came with it.
    """
    dated = {address.link for address in addresses if address.dynamic and address.family == 4}
    by_route = {hop.link for route in routes if route.protocol == "dhcp" and route.family == 4 for hop in route.hops}
    endless = by_route - dated
    return dated | endless, tuple(
        replace(a, dynamic=True) if a.link in endless and a.family == 4 else a for a in addresses
    )


def _resolver(root: Path, left_out: list[LeftOut]) -> Resolver:
    """What resolv.conf says, but for a name server on this machine itself: the rescue system has none."""
    # systemd-resolved, then NetworkManager with dnsmasq, keep the real servers here.
    behind = ("run/systemd/resolve/resolv.conf", "run/NetworkManager/no-stub-resolv.conf")
    resolver = Resolver()
    for path in ("etc/resolv.conf", *behind):
        try:
            resolver = parse_resolver((root / path).read_text(errors="replace"))
        except OSError:
            continue
        outside = tuple(server for server in resolver.nameservers if not _is_loopback(server))
        if outside or not resolver.nameservers:
            return replace(resolver, nameservers=outside)
    if resolver.nameservers:
        left_out.append(LeftOut(f"name server {resolver.nameservers[0]}", "runs on this machine itself"))
    return replace(resolver, nameservers=())


def parse_resolver(text: str) -> Resolver:
    """The servers, search list and options of a resolv.conf; the last search list counts."""
    nameservers: list[str] = []
    search: tuple[str, ...] = ()
    options: list[str] = []
    for line in text.splitlines():
        words = line.split("#")[0].split(";")[0].split()
        if words[:1] == ["nameserver"]:
            nameservers += words[1:2]
        elif words[:1] in (["search"], ["domain"]):
            search = tuple(word for word in words[1:] if word != ".")
        elif words[:1] == ["options"]:
            options += words[1:]
    return Resolver(tuple(nameservers), search, tuple(options))


def _is_loopback(server: str) -> bool:
    try:
        return ipaddress.ip_address(server.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _kind(link: Message) -> str:
    return str(link.get("IFLA_LINKINFO", {}).get("IFLA_INFO_KIND", ""))


def _bridge_filters(link: Message) -> bool:
    data = link.get("IFLA_LINKINFO", {}).get("IFLA_INFO_DATA", {})
    return isinstance(data, dict) and bool(data.get("IFLA_BR_VLAN_FILTERING"))


def _team(sh: Shell, team: Message, links: Sequence[Message]) -> str:
    """The configuration of a team, on one line, or "" when teamd does not answer."""
    members = [link["IFLA_IFNAME"] for link in links if link.get("IFLA_MASTER") == team["index"]]
    try:
        return team_config(sh.query("teamdctl", team["IFLA_IFNAME"], "config", "dump"), members)
    except ProgramFailed:
        return ""


def team_config(text: str, members: Sequence[str]) -> str:
    """What teamd dumps, on one line, with the ports that are there: it takes dots in their names for levels.

    >>> team_config('{"ports": {"eth5": {"5": {"prio": 9}}, "eth5.5": {}}}', ["eth5.5"])
    '{"ports": {"eth5.5": {"prio": 9}}}'
    """
    try:
        config = json.loads(text)
        ports = config.get("ports")
    except (ValueError, AttributeError):
        return " ".join(text.split())
    if isinstance(ports, dict):
        levels = {name for name in ports if any(member.startswith(f"{name}.") for member in members)}
        names = [*members, *sorted({*ports} - levels - {*members})]
        config["ports"] = {name: _port(ports, name, members) for name in names}
    return json.dumps(config)


def _port(ports: Mapping[str, Any], name: str, members: Sequence[str]) -> dict[str, Any]:
    """What a dump has for a port, without what it has below its name for others."""
    found: Any = ports
    for part in name.split("."):
        found = found.get(part, {}) if isinstance(found, dict) else {}
    plain = ports.get(name, {})
    both = {**(found if isinstance(found, dict) else {}), **(plain if isinstance(plain, dict) else {})}
    others = {other[len(name) + 1 :].split(".")[0] for other in members if other.startswith(f"{name}.")}
    return {key: value for key, value in both.items() if key not in others}


def _plain(value: Any) -> Any:
    """A message of pyroute2 as dictionaries and lists; attributes that come more than once become lists."""
    if isinstance(value, dict):
        plain = {key: _plain(item) for key, item in value.items() if key not in ("attrs", "header")}
        for attribute in value.get("attrs", ()):
            name, item = attribute[0], _plain(attribute[1])
            if name == "UNKNOWN":
                # By number, as pyroute2 has no name for it.
                item = attribute[1].get("header", {}).get("type", 0)
            if name in REPEATED:
                plain.setdefault(name, []).append(item)
            else:
                plain[name] = item
        return plain
    if isinstance(value, (str, bytes, int, float)) or value is None:
        return value
    return [_plain(item) for item in value]
