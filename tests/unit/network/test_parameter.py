# SPDX-License-Identifier: GPL-3.0-or-later
"""ip= as the kernel documents it, laid over a recorded network."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rear_core.errors import ConfigurationError
from rear_core.network.model import Address, Hop, Link, Network, Resolver, Route, Rule
from rear_core.network.parameter import Parameter, find, override, parse

RECORDED = Network(
    hostname="db1",
    links=(
        Link("eth0", mac="52:54:00:00:00:01", master="bond0"),
        Link("eth1", mac="52:54:00:00:00:02", up=False),
        Link("bond0", "bond", dhcp=True, up=False),
        Link("bond0.10", "vlan", parent="bond0", up=False),
    ),
    addresses=(Address("bond0", "192.0.2.7/24", dynamic=True), Address("bond0.10", "198.51.100.7/24")),
    routes=(Route(4, "default", (Hop("bond0.10", "198.51.100.1"),)),),
    rules=(Rule(4, 90, "from 198.51.100.7", "lookup 100"),),
    resolver=Resolver(("198.51.100.53",), ("example.org",)),
)
CARDS = (Link("ens3", mac="52:54:00:00:00:01"), Link("ens4", mac="52:54:00:00:00:09"))


@pytest.mark.parametrize(
    ("value", "parameter"),
    [
        ("dhcp", Parameter(dhcp=True)),
        ("on", Parameter(dhcp=True)),
        ("off", Parameter()),
        ("none", Parameter()),
        (":::::eth1:dhcp", Parameter(device="eth1", dhcp=True)),
        ("::::web1::dhcp", Parameter(hostname="web1", dhcp=True)),
        (":::::eth1", Parameter(device="eth1", dhcp=True)),
        (
            "192.0.2.7::192.0.2.1:255.255.255.0:web1:eth0:off:192.0.2.53:192.0.2.54",
            Parameter("192.0.2.7/24", "192.0.2.1", "web1", "eth0", False, ("192.0.2.53", "192.0.2.54")),
        ),
        ("192.0.2.7::192.0.2.1:255.255.255.0", Parameter("192.0.2.7/24", "192.0.2.1")),
        ("192.0.2.7", Parameter("192.0.2.7/24")),
        ("10.1.2.3", Parameter("10.1.2.3/8")),
        ("172.16.1.2", Parameter("172.16.1.2/16")),
        (
            "192.0.2.7:192.0.2.2::24::eth0:any::192.0.2.54",
            Parameter("192.0.2.7/24", device="eth0", nameservers=("192.0.2.54",)),
        ),
        (
            "192.0.2.7:::24:::none:192.0.2.53::192.0.2.123",
            Parameter("192.0.2.7/24", nameservers=("192.0.2.53",)),
        ),
        (
            "[2001:db8::7]::[2001:db8::1]:64::eth0:none",
            Parameter("2001:db8::7/64", "2001:db8::1", device="eth0"),
        ),
    ],
)
def test_each_form_of_the_parameter_is_read(value: str, parameter: Parameter) -> None:
    assert parse(value) == parameter


@pytest.mark.parametrize(
    "value", ["dhpc", "192.0.2.777", "192.0.2.7::gw", "192.0.2.7:::255.0.255.0", "::::::sometimes", "1:2:3"]
)
def test_a_wrong_value_is_an_error_that_shows_the_syntax(value: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        parse(value)
    assert error.value.message.startswith(f"ip={value}: ")
    assert "<client>:<server>:<gateway>" in error.value.hint


@given(st.text(alphabet="0123456789abcdef:.[]/ dhcpnone", max_size=60))
def test_any_value_is_a_parameter_or_an_error_of_configuration(value: str) -> None:
    with suppress(ConfigurationError):
        assert isinstance(parse(value), Parameter)


def test_all_values_on_the_command_line_are_found() -> None:
    assert find("quiet ip=dhcp root=/dev/sda ip=:::::eth1:dhcp skip=1 nameserver.ip=x") == [
        "dhcp",
        ":::::eth1:dhcp",
    ]


def test_an_address_goes_to_the_link_of_the_default_route_with_all_below_it() -> None:
    changed = override(RECORDED, [parse("203.0.113.9::203.0.113.1:24:web1")], CARDS)
    assert changed.addresses == (Address("bond0.10", "203.0.113.9/24"),)
    assert changed.routes == (Route(4, "default", (Hop("bond0.10", "203.0.113.1"),)),)
    assert changed.rules == ()
    assert changed.hostname == "web1"
    assert changed.resolver == RECORDED.resolver
    assert {link.name: link.up for link in changed.links} == {
        "eth0": True, "eth1": False, "bond0": True, "bond0.10": True,
    }  # fmt: skip
    assert not any(link.dhcp for link in changed.links)


def test_a_gateway_outside_the_network_is_reached_on_the_link() -> None:
    changed = override(RECORDED, [parse("203.0.113.9::198.51.100.1:32:::none")], CARDS)
    assert changed.routes == (Route(4, "default", (Hop("bond0.10", "198.51.100.1", onlink=True),)),)


def test_a_lease_is_for_all_links_that_had_addresses() -> None:
    changed = override(RECORDED, [parse("dhcp")], CARDS)
    assert [link.name for link in changed.links if link.dhcp] == ["bond0", "bond0.10"]
    assert changed.addresses == ()


def test_a_card_that_was_not_recorded_can_be_named() -> None:
    changed = override(RECORDED, [parse("203.0.113.9:::24::ens4:none:203.0.113.53")], CARDS)
    assert changed.addresses == (Address("ens4", "203.0.113.9/24"),)
    assert changed.link("ens4") == CARDS[1]
    assert changed.resolver.nameservers == ("203.0.113.53",)


def test_without_a_description_every_card_is_asked_for() -> None:
    changed = override(Network(), [parse("dhcp")], CARDS)
    assert [(link.name, link.dhcp) for link in changed.links] == [("ens3", True), ("ens4", True)]


def test_off_leaves_the_links_without_addresses() -> None:
    changed = override(RECORDED, [parse("off")], CARDS)
    assert (changed.addresses, changed.routes) == ((), ())
    assert len(changed.links) == len(RECORDED.links)


def test_an_unknown_device_is_named_with_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match="no link 'eth9'; there are eth0 eth1 bond0 "):
        override(RECORDED, [parse(":::::eth9:dhcp")], CARDS)
