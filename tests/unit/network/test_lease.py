# SPDX-License-Identifier: GPL-3.0-or-later
"""Leases as the DHCP clients announce them."""

from __future__ import annotations

from pathlib import Path

import pytest

from rear_core.network.lease import Lease, commands, read, write_resolver
from rear_core.network.model import Resolver

DHCLIENT = {
    "reason": "BOUND",
    "interface": "eth0",
    "new_ip_address": "192.0.2.150",
    "new_subnet_mask": "255.255.255.0",
    "new_routers": "192.0.2.1 192.0.2.2",
    "new_domain_name_servers": "192.0.2.53 192.0.2.54",
    "new_domain_name": "example.org",
    "old_ip_address": "192.0.2.9",
}
UDHCPC = {
    "interface": "eth0",
    "ip": "192.0.2.150",
    "subnet": "255.255.255.0",
    "router": "192.0.2.1 192.0.2.2",
    "dns": "192.0.2.53 192.0.2.54",
    "domain": "example.org",
}
LEASE = Lease("eth0", "192.0.2.150/24", ("192.0.2.1", "192.0.2.2"), ("192.0.2.53", "192.0.2.54"), ("example.org",))


@pytest.mark.parametrize(("environment", "reason"), [(DHCLIENT, ""), (UDHCPC, "bound"), (UDHCPC, "renew")])
def test_the_lease_of_each_client_is_read(environment: dict[str, str], reason: str) -> None:
    assert read(environment, reason) == LEASE


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({**DHCLIENT, "reason": "EXPIRE"}, ""),
        ({"reason": "PREINIT", "interface": "eth0"}, ""),
        (UDHCPC, "deconfig"),
    ],
)
def test_other_announcements_are_no_lease(environment: dict[str, str], reason: str) -> None:
    assert read(environment, reason) is None


def test_address_and_first_router_are_set() -> None:
    assert [" ".join(command) for command in commands(LEASE, "100")] == [
        "ip -4 address replace 192.0.2.150/24 broadcast + dev eth0",
        "ip -4 route replace default via 192.0.2.1 dev eth0 metric 100 proto dhcp",
    ]


def test_a_router_outside_of_a_lease_for_one_address_is_on_the_link() -> None:
    lease = Lease("eth0", "10.128.0.2/32", ("10.128.0.1",))
    assert [" ".join(command) for command in commands(lease)] == [
        "ip -4 address replace 10.128.0.2/32 dev eth0",
        "ip -4 route replace default via 10.128.0.1 dev eth0 onlink proto dhcp",
    ]


def test_resolv_conf_is_not_written_through_a_link(tmp_path: Path) -> None:
    path, other = tmp_path / "resolv.conf", tmp_path / "stub"
    other.write_text("nameserver 127.0.0.53\n")
    path.symlink_to(other)
    write_resolver(Resolver(("192.0.2.53",), ("example.org", "example.net"), ("edns0", "trust-ad")), path)
    assert path.read_text() == ("nameserver 192.0.2.53\nsearch example.org example.net\noptions edns0 trust-ad\n")
    assert other.read_text() == "nameserver 127.0.0.53\n"
