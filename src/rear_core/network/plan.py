# SPDX-License-Identifier: GPL-3.0-or-later
"""From a recorded network and the cards of this machine to the commands that set it up again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter

from ..errors import ConfigurationError
from . import wireless
from .model import CARD, MAIN_TABLE, Address, Hop, LeftOut, Link, Network, Route, Rule

BONDS = ("bond", "team")

# Where the DHCP clients find the program that sets what they were given.
LEASE_SCRIPT = "/run/rear-lease"


def _dhclient(link: str, _metric: int) -> tuple[str, ...]:
    files = ("-pf", f"/run/dhclient-{link}.pid", "-lf", f"/run/dhclient-{link}.leases")
    return ("dhclient", "-4", "-1", "-cf", "/dev/null", "-sf", LEASE_SCRIPT, *files, link)


def _dhcpcd(link: str, metric: int) -> tuple[str, ...]:
    # It sets addresses and routes itself and leaves only the resolver to the script.
    options = "subnet_mask,routers,domain_name_servers,domain_name,domain_search"
    words = ("--config", "/dev/null", "--option", options, "--script", LEASE_SCRIPT, "--timeout", "15")
    cost = ("--metric", str(metric)) if metric else ()
    return ("dhcpcd", "--ipv4only", "--noipv4ll", *words, *cost, link)


def _udhcpc(link: str, _metric: int) -> tuple[str, ...]:
    tries = ("-n", "-t", "5", "-T", "3")
    return ("udhcpc", *tries, "-s", LEASE_SCRIPT, "-p", f"/run/udhcpc-{link}.pid", "-i", link)


def _busybox(link: str, metric: int) -> tuple[str, ...]:
    return ("busybox", *_udhcpc(link, metric))


# In order of preference.
CLIENTS: Mapping[str, Callable[[str, int], tuple[str, ...]]] = {
    "dhclient": _dhclient,
    "dhcpcd": _dhcpcd,
    "udhcpc": _udhcpc,
    "busybox": _busybox,
}


@dataclass(frozen=True)
class Command:
    """A command for one link; a `lease`, or to join the network `ssid`, takes time. `otherwise` is run if it fails."""

    argv: tuple[str, ...]
    link: str
    lease: bool = False
    ssid: str = ""
    otherwise: tuple[Command, ...] = ()


@dataclass(frozen=True)
class Match:
    """Which card of this machine takes the place of a recorded one, and why."""

    link: str
    card: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """The commands in order; `missing` are recorded links that cannot be set up here."""

    matches: tuple[Match, ...]
    missing: tuple[LeftOut, ...]
    commands: tuple[Command, ...]


def plan(network: Network, cards: Sequence[Link], existing: Sequence[str] = (), client: str = "") -> Plan:
    """What sets the network up on these cards.

    `existing` are the names of virtual links that are there; those with a recorded name are created again.
    `client` is the DHCP client to ask for leases; without one the recorded leases are used.
    """
    ordered = in_order(network.links)
    matches = match([link for link in ordered if link.kind == CARD], cards)
    missing = _missing(ordered, matches)
    here = [link for link in ordered if link.name not in missing]
    present = {found.link: _card(cards, found.card) for found in matches}
    macs = {link.hardware_mac: present[link.name].hardware_mac for link in here if link.kind == CARD}
    by_name = {link.name: link for link in here}
    commands = [*_remove(reversed(here), existing), *_rename(matches, cards, set(by_name))]
    for link in here:
        bonded = link.master in by_name and by_name[link.master].kind in BONDS
        if link.kind == CARD:
            commands += _card_commands(link, present[link.name], bonded)
        else:
            members = [member for member in here if member.master == link.name]
            if link.kind in BONDS:
                commands += [_ip(link.name, "link", "set", "dev", member.name, "down") for member in members]
            commands += _create(link, macs, by_name.get(link.parent))
            commands += _join(link, members)
        if link.up and link.ssid:
            commands.append(Command(wireless.supplicant(link.name), link.name, ssid=link.ssid))
        elif link.up and not bonded:
            commands.append(_ip(link.name, "link", "set", "dev", link.name, "up"))
    up = [link for link in here if link.up]
    over_these = (_over(route, {link.name for link in up}) for route in network.routes)
    routes = [route for route in over_these if route]
    commands += _address_commands(up, network.addresses, routes, client)
    commands += [_route_command(route) for route in _by_need(routes) if not route.dynamic]
    commands += [_rule_command(rule) for rule in network.rules]
    return Plan(tuple(matches), tuple(LeftOut(*item) for item in missing.items()), tuple(commands))


def match(recorded: Sequence[Link], present: Sequence[Link]) -> list[Match]:
    """Recorded cards and those present, the surest pairs first; each card is used once, radios only for radios."""
    both = (recorded, present)
    kinds = [[[link for link in links if link.radio == radio] for links in both] for radio in (False, True)]
    found = [pair for kind in kinds for pair in _match(*kind)]
    return sorted(found, key=lambda pair: [link.name for link in recorded].index(pair.link))


def _match(recorded: Sequence[Link], present: Sequence[Link]) -> list[Match]:
    found: list[Match] = []
    free = list(present)
    left = list(recorded)

    def take(pairs: Iterable[tuple[Link, Link]], reason: str) -> None:
        for old, new in list(pairs):
            if old in left and new in free:
                left.remove(old)
                free.remove(new)
                found.append(Match(old.name, new.name, reason))

    def alike(*identity: Callable[[Link], object]) -> Iterable[tuple[Link, Link]]:
        return ((old, new) for old in left for new in free if all(i(old) and i(old) == i(new) for i in identity))

    # A card and the virtual function behind it can share a MAC, but not a driver.
    take(alike(_identity, _driver), "same MAC")
    take(alike(_identity), "same MAC, other driver")
    take(alike(_driver, _place), "same driver and place")
    for driver in dict.fromkeys(map(_driver, left)):
        olds, news = ([link for link in links if link.driver == driver] for links in (left, free))
        take(_in_order_of_place(olds, news), "same driver, in order of place")
    take(_in_order_of_place(left, free), "in order of place")
    return found


def _in_order_of_place(recorded: Sequence[Link], present: Sequence[Link]) -> Iterable[tuple[Link, Link]]:
    # When there are fewer cards now, those that were not in use are the ones to do without.
    used = sorted(recorded, key=lambda link: not link.up)[: len(present)]
    return zip(sorted(used, key=_place_order), sorted(present, key=_place_order))


def _identity(link: Link) -> str:
    # Of the 20 bytes of an InfiniBand address only the last 8 belong to the hardware.
    mac = link.hardware_mac.lower()
    return mac[-23:] if len(mac) > 23 else mac


def _driver(link: Link) -> str:
    return link.driver


def _place(link: Link) -> tuple[str, int] | None:
    return (link.bus, link.port) if link.bus else None


def _place_order(link: Link) -> tuple[list[tuple[int, str]], int, list[tuple[int, str]]]:
    return _natural(link.bus), link.port, _natural(link.name)


def _natural(text: str) -> list[tuple[int, str]]:
    """A key by which eth10 comes after eth9."""
    return [(int(digits or 0), other) for digits, other in re.findall(r"(\d+)|(\D+)", text)]


def in_order(links: Sequence[Link]) -> list[Link]:
    """The links from the bottom up: each after its parent and its members."""
    by_name = {link.name: link for link in links}
    needs = {link.name: [other.name for other in links if other.master == link.name] for link in links}
    for link in links:
        if link.parent:
            needs[link.name].append(link.parent)
    try:
        return [by_name[name] for name in TopologicalSorter(needs).static_order() if name in by_name]
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        raise ConfigurationError(f"network.json: links depend on each other in a circle: {circle}") from error


def _missing(ordered: Sequence[Link], matches: Sequence[Match]) -> dict[str, str]:
    """Recorded links that cannot be here, with the reason; `ordered` from the bottom up."""
    matched = {found.link for found in matches}
    missing: dict[str, str] = {}
    for link in ordered:
        members = [other.name for other in ordered if other.master == link.name]
        if link.kind == CARD and link.name not in matched:
            missing[link.name] = f"no card for it; it was {link.driver} {link.hardware_mac}".rstrip()
        elif link.parent and (link.parent in missing or all(link.parent != other.name for other in ordered)):
            missing[link.name] = f"{link.parent} is missing"
        elif members and all(name in missing for name in members):
            missing[link.name] = f"{' '.join(members)} missing"
    return missing


def _card(cards: Sequence[Link], name: str) -> Link:
    return next(card for card in cards if card.name == name)


def _ip(link: str, *words: str) -> Command:
    return Command(("ip", *words), link)


def _remove(links: Iterable[Link], existing: Sequence[str]) -> Iterable[Command]:
    """From the top down, so that nothing has gone with what it stood on."""
    for link in links:
        if link.name in existing and link.kind == "team":
            yield Command(("teamd", "--kill", "--team-dev", link.name), link.name)
        elif link.name in existing and link.kind != CARD:
            yield _ip(link.name, "link", "delete", "dev", link.name)


def _rename(matches: Sequence[Match], cards: Sequence[Link], wanted: set[str]) -> Iterable[Command]:
    """Give each card its recorded name; one that stands in the way goes by a temporary name first."""
    target = {found.card: found.link for found in matches}
    names = {card.name: card.name for card in cards}
    moves = []
    for number, card in enumerate(cards):
        if card.name in wanted and target.get(card.name) != card.name:
            names[card.name] = f"spare{number}"
            moves.append((card.name, card.name, names[card.name]))
    moves += [(card, names[card], name) for card, name in target.items() if names[card] != name]
    for card_name, old, new in moves:
        link = target.get(card_name, "")
        yield _ip(link, "link", "set", "dev", old, "down")
        rename = _ip(link, "link", "set", "dev", old, "name", new)
        # udev may have made the name an alternative one, of this card or another.
        freed = _ip(link, "link", "property", "del", "dev", new, "altname", new)
        yield replace(rename, otherwise=(freed, rename))


def _card_commands(link: Link, card: Link, bonded: bool) -> Iterable[Command]:
    # A bond or team sets the address and the MTU of its members.
    if bonded:
        return
    if link.permanent_mac and link.hardware_mac == card.hardware_mac:
        yield _ip(link.name, "link", "set", "dev", link.name, "address", link.mac)
    if link.mtu != card.mtu:
        yield _ip(link.name, "link", "set", "dev", link.name, "mtu", str(link.mtu))


def _create(link: Link, macs: Mapping[str, str], parent: Link | None) -> Iterable[Command]:
    if link.kind == "team":
        config = link.options.get("config", "{}")
        yield Command(("teamd", "--daemonize", "--team-dev", link.name, "--config", config), link.name)
        return
    words = ["link", "add", *(["link", link.parent] if link.parent else []), "name", link.name]
    # A MAC that came from a card follows the card that is there now.
    mac = macs.get(link.mac, link.mac)
    if mac and link.kind != "vrf" and not (parent and parent.mac == link.mac):
        words += ["address", mac]
    if link.mtu != (parent.mtu if parent else 65575 if link.kind == "vrf" else 1500):
        words += ["mtu", str(link.mtu)]
    words += ["type", link.kind]
    for name, value in link.options.items():
        words += [name, *value.split()]
    yield _ip(link.name, *words)


def _join(master: Link, members: Sequence[Link]) -> Iterable[Command]:
    if master.kind == "team":
        return
    for member in members:
        yield _ip(master.name, "link", "set", "dev", member.name, "master", master.name)
        if member.member:
            words = [word for option in member.member.items() for word in option]
            yield _ip(master.name, "link", "set", "dev", member.name, "type", f"{master.kind}_slave", *words)
        if member.up and master.kind == "bond":
            yield _ip(master.name, "link", "set", "dev", member.name, "up")
        yield from _filter(master, member.name, member.vlans)
    yield from _filter(master, master.name, master.vlans, "self")


def _filter(bridge: Link, port: str, vlans: Sequence[str], *self: str) -> Iterable[Command]:
    if bridge.options.get("vlan_filtering") != "1":
        return
    default = bridge.options.get("vlan_default_pvid", "1")
    if default != "0" and default not in [vlan.split()[0] for vlan in vlans]:
        yield Command(("bridge", "vlan", "delete", "dev", port, "vid", default, *self), bridge.name)
    for vlan in vlans:
        if vlan != f"{default} pvid untagged":
            yield Command(("bridge", "vlan", "add", "dev", port, "vid", *vlan.split(), *self), bridge.name)


def _address_commands(
    links: Sequence[Link], addresses: Sequence[Address], routes: Sequence[Route], client: str
) -> Iterable[Command]:
    """Static addresses first; then leases, or what was recorded of them.

    What routers announce in IPv6 the kernel takes up by itself. A leased IPv6 address, which alone is
    dynamic and has 128 bits, is set as it was.
    """
    by_link = {link.name: [a for a in addresses if a.link == link.name] for link in links}
    for link in links:
        for address in by_link[link.name]:
            if not address.dynamic or (address.family == 6 and address.address.endswith("/128")):
                yield _address_command(address)
    for link in links:
        recorded = [_address_command(a) for a in by_link[link.name] if a.dynamic and a.family == 4]
        recorded += [
            _route_command(route)
            for route in _by_need(routes)
            if route.dynamic and route.family == 4 and route.hops[0].link == link.name
        ]
        if link.dhcp and client:
            argv = CLIENTS[client](link.name, default_metrics(routes).get(link.name, 0))
            yield Command(argv, link.name, lease=True, otherwise=tuple(recorded))
        else:
            yield from recorded


def default_metrics(routes: Iterable[Route]) -> dict[str, int]:
    """The metric of the IPv4 default route by each link that has one."""
    defaults = [route for route in routes if route.family == 4 and route.destination == "default"]
    return {hop.link: route.metric for route in defaults for hop in route.hops if route.metric}


def _address_command(address: Address) -> Command:
    own, _, length = address.address.partition("/")
    words = [own, "peer", f"{address.peer}/{length}"] if address.peer else [address.address]
    words += ["dev", address.link]
    if address.broadcast:
        words += ["broadcast", address.broadcast]
    if address.label:
        words += ["label", address.label]
    if address.scope != "global":
        words += ["scope", address.scope]
    if address.metric:
        words += ["metric", str(address.metric)]
    if address.deprecated:
        words += ["preferred_lft", "0"]
    if address.noprefixroute:
        words.append("noprefixroute")
    # A tentative address cannot be the source of a route; the wait is not worth it here.
    if address.family == 6:
        words.append("nodad")
    return _ip(address.link, f"-{address.family}", "address", "replace", *words)


def _over(route: Route, names: set[str]) -> Route | None:
    """The route by those of its hops whose links are here, or None."""
    if route.kind != "unicast":
        return route
    hops = tuple(hop for hop in route.hops if hop.link in names)
    return replace(route, hops=hops) if hops else None


def _by_need(routes: Sequence[Route]) -> list[Route]:
    """Routes without a gateway first: they may be the way to the gateways of the others."""
    return sorted(routes, key=lambda route: any(hop.gateway for hop in route.hops))


def _route_command(route: Route) -> Command:
    words = [f"-{route.family}", "route", "replace"]
    words += [route.destination] if route.kind == "unicast" else [route.kind, route.destination]
    if len(route.hops) == 1:
        words += _hop_words(route, route.hops[0])
    if route.table != MAIN_TABLE:
        words += ["table", str(route.table)]
    if route.metric:
        words += ["metric", str(route.metric)]
    if route.source:
        words += ["src", route.source]
    if route.mtu:
        words += ["mtu", str(route.mtu)]
    if route.protocol != "boot":
        words += ["proto", route.protocol]
    if len(route.hops) > 1:
        for hop in route.hops:
            words += ["nexthop", *_hop_words(route, hop), "weight", str(hop.weight)]
    return _ip(route.hops[0].link if route.hops else "", *words)


def _hop_words(route: Route, hop: Hop) -> list[str]:
    words = []
    if hop.gateway:
        other_family = ["inet6"] if route.family == 4 and ":" in hop.gateway else []
        words += ["via", *other_family, hop.gateway]
    words += ["dev", hop.link]
    return [*words, "onlink"] if hop.onlink else words


def _rule_command(rule: Rule) -> Command:
    words = [*rule.selector.split(), *rule.action.split()]
    return _ip("", f"-{rule.family}", "rule", "add", "priority", str(rule.priority), *words)
