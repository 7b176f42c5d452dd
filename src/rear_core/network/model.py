# SPDX-License-Identifier: GPL-3.0-or-later
"""The network of a machine as values: links, addresses, routes, rules, resolver; kept as network.json."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from .. import durable, own_files
from ..errors import NOT_UNDERSTOOD, ConfigurationError

VERSION = 1
MAIN_TABLE = 254

CARD = "card"


@dataclass(frozen=True)
class Link:
    """A network interface.

    `kind` is "card" for hardware, else the kind as `ip link add` names it. `mac` is the address in use and
    `permanent_mac` that of the hardware, when it differs. `bus` is the place of the card below /sys/devices,
    `port` its number there. `dhcp` says that its IPv4 addresses are leased. `master` is the bond, bridge,
    team or VRF this link is a member of, `parent` the link below a VLAN or macvlan. `options` and `member`
    (those it has as a member of `master`) are words of `ip link`, only such as differ from the kernel's
    default. `vlans` are those of a port of a bridge that filters, in words of `bridge vlan`. A `radio` is a wireless
    card, which joins the network with the name `ssid`, where bytes that are no UTF-8 are as os.fsdecode has them.
    """

    name: str
    kind: str = CARD
    mac: str = ""
    permanent_mac: str = ""
    driver: str = ""
    bus: str = ""
    port: int = 0
    mtu: int = 1500
    up: bool = True
    dhcp: bool = False
    master: str = ""
    parent: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    member: Mapping[str, str] = field(default_factory=dict)
    vlans: tuple[str, ...] = ()
    radio: bool = False
    ssid: str = ""

    @property
    def hardware_mac(self) -> str:
        """The address the card came with."""
        return self.permanent_mac or self.mac


@dataclass(frozen=True)
class Address:
    """An address of a link, as "192.0.2.7/24"; a `dynamic` one was leased or announced and will expire."""

    link: str
    address: str
    peer: str = ""
    broadcast: str = ""
    label: str = ""
    scope: str = "global"
    metric: int = 0
    dynamic: bool = False
    deprecated: bool = False
    noprefixroute: bool = False

    @property
    def family(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.address else 4


@dataclass(frozen=True)
class Hop:
    """Where a route leads: out of a link, to a gateway unless the destination is on that link."""

    link: str
    gateway: str = ""
    onlink: bool = False
    weight: int = 1


@dataclass(frozen=True)
class Route:
    """A route; several hops share the load. A `dynamic` one came with a lease or a router advertisement."""

    family: int
    destination: str
    hops: tuple[Hop, ...] = ()
    kind: str = "unicast"
    table: int = MAIN_TABLE
    metric: int = 0
    source: str = ""
    mtu: int = 0
    protocol: str = "boot"
    dynamic: bool = False


@dataclass(frozen=True)
class Rule:
    """A policy rule, in words of `ip rule`: selector "from 192.0.2.7", action "lookup 100"."""

    family: int
    priority: int
    selector: str
    action: str


@dataclass(frozen=True)
class Resolver:
    """What /etc/resolv.conf says."""

    nameservers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class LeftOut:
    """Something that is not set up again, and why."""

    name: str
    reason: str


@contextmanager
def reading(name: str, left_out: list[LeftOut]) -> Iterator[None]:
    """A block that reads what the kernel tells of something: what is not understood is left out with its reason."""
    try:
        yield
    except NOT_UNDERSTOOD as error:
        left_out.append(
            LeftOut(
                name, f"rear does not understand what the kernel reports about it ({type(error).__name__}: {error})"
            )
        )


@dataclass(frozen=True)
class Network:
    """The network of a machine; links, routes and rules in the order in which the kernel lists them."""

    hostname: str = ""
    links: tuple[Link, ...] = ()
    addresses: tuple[Address, ...] = ()
    routes: tuple[Route, ...] = ()
    rules: tuple[Rule, ...] = ()
    resolver: Resolver = field(default_factory=Resolver)
    left_out: tuple[LeftOut, ...] = ()

    def link(self, name: str) -> Link | None:
        """The link of that name."""
        return next((link for link in self.links if link.name == name), None)


def dumps(network: Network) -> str:
    """The network as JSON that a human can read and edit; what is usual is not written."""
    return json.dumps({"version": VERSION, **_encode(network)}, indent=2) + "\n"


def loads(text: str, source: str = "network.json") -> Network:
    """The network that `dumps` wrote; anything else is an error that names the place."""
    try:
        document = json.loads(text)
        if not isinstance(document, dict) or not isinstance(document.get("version"), int):
            raise ValueError('not a description of a network: no "version"')
        version = document.pop("version")
        if version != VERSION:
            raise ValueError(f"version {version}, but this rear reads version {VERSION}")
        network = _decode(Network, document, "")
    except (ValueError, RecursionError) as error:
        hint = "correct the file, or write it again with: rear savelayout"
        raise ConfigurationError(f"{source}: {error}", hint) from error
    assert isinstance(network, Network)
    return network


def load(path: Path) -> Network:
    """The network described by a file."""
    try:
        text = own_files.read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise own_files.unreadable(path, error) from error
    return loads(text, os.fspath(path))


def save(network: Network, path: Path) -> None:
    """Write network.json."""
    durable.write(path, dumps(network))


def hardware(sysfs: Path, name: str) -> Link:
    """What /sys/class/net says about a card: driver, place on the bus, port, whether it is a radio.

    Numbers that virtio counts in order of appearance are no part of the place:
    devices/pci0000:00/0000:00:03.0/virtio2 is pci0000:00/0000:00:03.0.
    """
    device = (sysfs / name / "device").resolve()
    driver = sysfs / name / "device" / "driver"
    _, _, place = os.fspath(device).partition("/devices/")
    try:
        port = int((sysfs / name / "dev_port").read_text())
    except (OSError, ValueError):
        port = 0
    return Link(
        name,
        driver=driver.resolve().name if driver.exists() else "",
        bus=re.sub(r"/virtio\d+$", "", place),
        port=port,
        radio=(sysfs / name / "phy80211").exists() or (sysfs / name / "wireless").exists(),
    )


def odd_card(sysfs: Path, name: str) -> str:
    """What a card is that is neither described nor takes the place of another one, "" for all others."""
    return "a virtual function that the driver of its card creates" if (sysfs / name / "device/physfn").exists() else ""


def _encode(value: Any) -> Any:
    if is_dataclass(value):
        given = [(getattr(value, f.name), f) for f in fields(value)]
        return {f.name: _encode(item) for item, f in given if item != _default(f)}
    if isinstance(value, tuple):
        return [_encode(item) for item in value]
    return dict(value) if isinstance(value, Mapping) else value


def _default(field: Any) -> Any:
    return field.default_factory() if field.default_factory is not MISSING else field.default


def _decode(kind: Any, value: Any, where: str) -> Any:
    """The JSON value as the Python type, or a ValueError that says where it does not fit."""
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise ValueError(f"{where}: a list is needed")
        return tuple(_decode(get_args(kind)[0], item, f"{where}[{n}]") for n, item in enumerate(value))
    if get_origin(kind) is not None:
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise ValueError(f"{where}: an object with texts is needed")
        return value
    if is_dataclass(kind):
        return _decode_fields(kind, value, where)
    if type(value) is not kind:
        raise ValueError(f"{where}: {kind.__name__} is needed, not {value!r}")
    return value


def _decode_fields(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{where or 'the file'}: {{...}} is needed")
    known = {f.name: f for f in fields(kind)}
    types = get_type_hints(kind)
    for name in value:
        if name not in known:
            raise ValueError(f"{where or 'the file'}: unknown {name!r}; known are {', '.join(known)}")
    for name, f in known.items():
        if name not in value and _default(f) is MISSING:
            raise ValueError(f"{where}: {name!r} is missing")
    dot = where and where + "."
    return kind(**{name: _decode(types[name], item, dot + name) for name, item in value.items()})
