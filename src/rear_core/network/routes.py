# SPDX-License-Identifier: GPL-3.0-or-later
"""Routes and policy rules: from netlink messages to values."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .model import Address, Hop, LeftOut, Route, Rule, reading

Message = Mapping[str, Any]

LOCAL_TABLE = 255
KINDS = {1: "unicast", 6: "blackhole", 7: "unreachable", 8: "prohibit", 9: "throw"}
REDIRECT, KERNEL = 1, 2
PROTOCOLS = {2: "kernel", 3: "boot", 4: "static", 9: "ra", 16: "dhcp"}
ONLINK, CLONED = 0x4, 0x200

NO_LIMIT = 0xFFFFFFFF
INVERT = 0x2
ACTIONS = {6: "blackhole", 7: "unreachable", 8: "prohibit"}
LOOKUP, GOTO, NOP = 1, 2, 3
# All that a rule is described by. The masks of ports, which pyroute2 does not know, come with each single port.
RULE_ATTRIBUTES = {
    "FRA_TABLE", "FRA_PRIORITY", "FRA_PROTOCOL", "FRA_L3MDEV", "FRA_PAD", "FRA_SUPPRESS_PREFIXLEN", "FRA_GOTO",
    "FRA_SRC", "FRA_DST", "FRA_FWMARK", "FRA_FWMASK", "FRA_IIFNAME", "FRA_OIFNAME", "FRA_UID_RANGE", "FRA_SPORT_RANGE",
    "FRA_DPORT_RANGE", "FRA_IP_PROTO",
}  # fmt: skip
PORT_MASKS = {28, 29}


def describe_routes(
    messages: Iterable[Message],
    kept: Mapping[int, str],
    addresses: Sequence[Address],
    left_out: list[LeftOut],
) -> list[Route]:
    """The routes that the kernel does not make by itself.

    Of routes that a routing daemon learnt only a default one is kept: there can be a million others, and
    none is needed to reach a backup.
    """
    routes = []
    learnt = 0
    for message in messages:
        route = None
        with reading(f"route to {message.get('RTA_DST', 'all others')}", left_out):
            route = _describe_route(message, kept, addresses)
        if route is None or _follows_address(route, addresses):
            continue
        if route.protocol.isdigit() and route.destination != "default":
            learnt += 1
        else:
            routes.append(route)
    if learnt:
        left_out.append(LeftOut(f"{learnt} routes", "learned by a routing daemon"))
    return routes


def _describe_route(message: Message, kept: Mapping[int, str], addresses: Sequence[Address]) -> Route | None:
    table = message.get("RTA_TABLE", message["table"])
    kind = KINDS.get(message["type"], "")
    if table == LOCAL_TABLE or not kind or message["proto"] == REDIRECT or message["flags"] & CLONED:
        return None
    family = 6 if message["family"] == socket.AF_INET6 else 4
    destination = f"{message['RTA_DST']}/{message['dst_len']}" if message["dst_len"] else "default"
    hops = tuple(_hops(message, kept)) if kind == "unicast" else ()
    if (kind != "unicast" and message["proto"] == KERNEL) or (kind == "unicast" and not hops):
        return None
    if destination.startswith(("fe80:", "ff00:")):
        return None
    protocol = PROTOCOLS.get(message["proto"], str(message["proto"]))
    metrics = message.get("RTA_METRICS") or {}
    return Route(
        family,
        destination,
        hops,
        kind=kind,
        table=table,
        metric=message.get("RTA_PRIORITY", 0),
        source=message.get("RTA_PREFSRC", ""),
        mtu=metrics.get("RTAX_MTU", 0),
        protocol=protocol,
        dynamic=protocol in ("dhcp", "ra") or (protocol == "boot" and _by_lease(destination, hops, addresses)),
    )


def _hops(message: Message, kept: Mapping[int, str]) -> Iterable[Hop]:
    """The hops over links that are kept; `hops` of a multipath route is the weight less one."""
    if "RTA_MULTIPATH" in message:
        several = message["RTA_MULTIPATH"]
    else:
        several = [{**message, "oif": message.get("RTA_OIF", 0), "hops": 0}]
    for hop in several:
        if hop["oif"] in kept:
            via = hop.get("RTA_VIA") or {}
            gateway = hop.get("RTA_GATEWAY", via.get("addr", ""))
            yield Hop(kept[hop["oif"]], gateway, bool(hop["flags"] & ONLINK), hop["hops"] + 1)


def _by_lease(destination: str, hops: Sequence[Hop], addresses: Sequence[Address]) -> bool:
    """Whether a DHCP client made this default route, leaving no mark: its gateway is in a lease's net."""
    return (
        destination == "default"
        and bool(hops)
        and all(
            any(a.dynamic and a.link == hop.link and _covers(a, hop.gateway) for a in addresses)
            and not any(not a.dynamic and a.link == hop.link and _covers(a, hop.gateway) for a in addresses)
            for hop in hops
        )
    )


def _covers(address: Address, gateway: str) -> bool:
    return bool(gateway) and ipaddress.ip_address(gateway) in ipaddress.ip_interface(address.address).network


def _follows_address(route: Route, addresses: Sequence[Address]) -> bool:
    """Whether the kernel makes this route when the address is set."""
    return route.protocol == "kernel" and any(
        not address.noprefixroute and address.link == hop.link and route.destination == _prefix(address)
        for address in addresses
        for hop in route.hops
    )


def _prefix(address: Address) -> str:
    own, _, length = address.address.partition("/")
    return str(ipaddress.ip_interface(f"{address.peer or own}/{length}").network)


def describe_rules(messages: Iterable[Message], kept: set[str], left_out: list[LeftOut]) -> Iterable[Rule]:
    """The rules that the kernel does not make by itself."""
    for message in messages:
        with reading(f"rule {message.get('FRA_PRIORITY', 0)}", left_out):
            yield from _describe_rule(message, kept, left_out)


def _describe_rule(message: Message, kept: set[str], left_out: list[LeftOut]) -> Iterable[Rule]:
    family = 6 if message["family"] == socket.AF_INET6 else 4
    priority = message.get("FRA_PRIORITY", 0)
    table = message.get("FRA_TABLE", message["table"])
    if _is_default(message, priority, table):
        return
    foreign = {message.get("FRA_IIFNAME", ""), message.get("FRA_OIFNAME", "")} - kept - {"", "lo"}
    if foreign:
        left_out.append(LeftOut(f"rule {priority}", f"for {min(foreign)}, which is left out"))
        return
    if strange := _strange(message):
        left_out.append(LeftOut(f"rule {priority}", f"it has {', '.join(strange)}, which rear does not know"))
        return
    yield Rule(family, priority, _selector(message), _action(message, table))


def _strange(message: Message) -> list[str]:
    """What of a rule is not understood: without it the rule would be one for other packets."""
    found = {name for name in message if name.startswith("FRA_")} - RULE_ATTRIBUTES
    # No group of devices is suppressed.
    found -= {"FRA_SUPPRESS_IFGROUP"} if message.get("FRA_SUPPRESS_IFGROUP") == NO_LIMIT else set()
    unknown = {f"the attribute {number}" for number in {*message.get("UNKNOWN", ())} - PORT_MASKS}
    action = message["action"]
    odd_action = set() if action in {LOOKUP, GOTO, NOP, *ACTIONS} else {f"the action {action}"}
    return sorted(found | unknown | odd_action)


def _range(value: Any) -> str:
    """A range as `ip rule` takes it; pyroute2 gives it as text or, in some releases, as its ends.

    >>> _range("2049:2049"), _range({"start": 10, "end": 20})
    ('2049-2049', '10-20')
    """
    start, end = value.split(":") if isinstance(value, str) else (value["start"], value["end"])
    return f"{start}-{end}"


def _is_default(message: Message, priority: int, table: int) -> bool:
    # The kernel makes the rule for VRFs with the first VRF. Kernels before 4.17 do not tell who made a rule.
    if message.get("FRA_PROTOCOL") == 2 or message.get("FRA_L3MDEV"):
        return True
    return (priority, table) in ((0, LOCAL_TABLE), (32766, 254), (32767, 253))


def _selector(message: Message) -> str:
    words = ["not"] if message["flags"] & INVERT else []
    words += ["from", f"{message['FRA_SRC']}/{message['src_len']}" if message["src_len"] else "all"]
    if message["dst_len"]:
        words += ["to", f"{message['FRA_DST']}/{message['dst_len']}"]
    if message["tos"]:
        words += ["tos", f"{message['tos']:#x}"]
    if message.get("FRA_FWMARK") or message.get("FRA_FWMASK"):
        words += ["fwmark", f"{message.get('FRA_FWMARK', 0):#x}/{message.get('FRA_FWMASK', NO_LIMIT):#x}"]
    for attribute, word in (("FRA_IIFNAME", "iif"), ("FRA_OIFNAME", "oif")):
        if message.get(attribute):
            words += [word, message[attribute]]
    for attribute, word in (
        ("FRA_UID_RANGE", "uidrange"),
        ("FRA_SPORT_RANGE", "sport"),
        ("FRA_DPORT_RANGE", "dport"),
    ):
        if message.get(attribute):
            words += [word, _range(message[attribute])]
    if message.get("FRA_IP_PROTO"):
        # ip(8) knows names only where /etc/protocols is there, which a minimal system lacks.
        words += ["ipproto", str(message["FRA_IP_PROTO"])]
    return " ".join(words)


def _action(message: Message, table: int) -> str:
    if message["action"] == GOTO:
        return f"goto {message['FRA_GOTO']}"
    if message["action"] == NOP:
        return "nop"
    if message["action"] != LOOKUP:
        return ACTIONS[message["action"]]
    length = message.get("FRA_SUPPRESS_PREFIXLEN", NO_LIMIT)
    return f"lookup {table}" + ("" if length == NO_LIMIT else f" suppress_prefixlength {length}")
