# SPDX-License-Identifier: GPL-3.0-or-later
"""What a DHCP client calls when it has a lease: sets address, default route and name servers.

`python -m rear_core.network.lease [LINK=METRIC...] -- [REASON]`, the lease in the environment.
dhclient and dhcpcd tell the reason there too, udhcpc as an argument.
"""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import RearError
from ..shell import Shell
from .model import Resolver

GIVEN = ("BOUND", "RENEW", "REBIND", "REBOOT")
RESOLV_CONF = Path("/etc/resolv.conf")


@dataclass(frozen=True)
class Lease:
    """An address for a time, with what came along."""

    link: str
    address: str
    routers: tuple[str, ...] = ()
    nameservers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()


def read(environment: Mapping[str, str], reason: str = "") -> Lease | None:
    """The lease that a client announces, or None when it announces something else."""
    if environment.get("reason", reason).upper() not in GIVEN:
        return None
    if "new_ip_address" in environment:
        given = {name[4:]: value for name, value in environment.items() if name.startswith("new_")}
    else:
        # The names that udhcpc has for the same.
        names = {"ip": "ip_address", "subnet": "subnet_mask", "router": "routers"}
        names.update({"dns": "domain_name_servers", "domain": "domain_name", "search": "domain_search"})
        given = {names[name]: value for name, value in environment.items() if name in names}
    if "ip_address" not in given or "interface" not in environment:
        return None
    mask = given.get("subnet_mask", "32")
    return Lease(
        environment["interface"],
        ipaddress.ip_interface(f"{given['ip_address']}/{mask}").with_prefixlen,
        tuple(given.get("routers", "").split()),
        tuple(given.get("domain_name_servers", "").split()),
        tuple((given.get("domain_search") or given.get("domain_name", "")).split()),
    )


def commands(lease: Lease, metric: str = "") -> list[list[str]]:
    """What sets the address and the default route."""
    network = ipaddress.ip_interface(lease.address)
    found = [["ip", "-4", "address", "replace", lease.address, "broadcast", "+", "dev", lease.link]]
    if network.network.prefixlen > 30:
        found[0][5:7] = []
    for router in lease.routers[:1]:
        # Clouds lease a /32 and a router outside of it.
        onlink = [] if ipaddress.ip_address(router) in network.network else ["onlink"]
        cost = ["metric", metric] if metric else []
        hop = ["via", router, "dev", lease.link, *onlink]
        found.append(["ip", "-4", "route", "replace", "default", *hop, *cost, "proto", "dhcp"])
    return found


def write_resolver(resolver: Resolver, path: Path = RESOLV_CONF) -> None:
    """Write resolv.conf in place, but not through a link to where systemd-resolved would have its own."""
    lines = [f"nameserver {server}" for server in resolver.nameservers]
    lines += [f"search {' '.join(resolver.search)}"] if resolver.search else []
    lines += [f"options {' '.join(resolver.options)}"] if resolver.options else []
    if path.is_symlink():
        path.unlink()
    path.write_text("".join(line + "\n" for line in lines))


def main(arguments: Sequence[str]) -> int:
    """Set what the client was given."""
    split = list(arguments).index("--")
    metrics = dict(word.split("=", 1) for word in arguments[:split])
    lease = read(os.environ, *arguments[split + 1 :][:1])
    if lease is None:
        return 0
    sh = Shell()
    try:
        # dhcpcd, which alone says so, has set them already.
        if "if_configured" not in os.environ:
            for command in commands(lease, metrics.get(lease.link, "")):
                sh.run(*command)
        if lease.nameservers:
            write_resolver(replace(Resolver(), nameservers=lease.nameservers, search=lease.search))
    except (RearError, OSError) as error:
        print(f"{lease.link}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
