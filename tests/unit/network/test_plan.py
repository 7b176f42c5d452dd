# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans as the commands they are: which card takes which place, and what sets it up."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rear_core.errors import ConfigurationError
from rear_core.network.model import Address, Hop, LeftOut, Link, Network, Route, Rule
from rear_core.network.plan import Command, Match, Plan, in_order, match, plan

PCI = "pci0000:00/0000:00:0{}.0"


def mac(number: int) -> str:
    return f"52:54:00:00:00:{number:02x}"


def card(name: str, number: int, driver: str = "virtio_net", slot: int = 0, **fields: object) -> Link:
    link = Link(name, mac=mac(number), driver=driver, bus=PCI.format(slot or number))
    return replace(link, **fields)  # type: ignore[arg-type]


def lines(found: Plan) -> list[str]:
    return [" ".join(command.argv) for command in found.commands]


def test_a_card_with_its_name_and_address_needs_three_commands() -> None:
    network = Network(
        links=(card("eth0", 1),),
        addresses=(Address("eth0", "192.0.2.7/24", broadcast="192.0.2.255"),),
        routes=(Route(4, "default", (Hop("eth0", "192.0.2.1"),)),),
    )
    found = plan(network, [card("eth0", 1)])
    assert found.matches == (Match("eth0", "eth0", "same MAC"),)
    assert lines(found) == [
        "ip link set dev eth0 up",
        "ip -4 address replace 192.0.2.7/24 dev eth0 broadcast 192.0.2.255",
        "ip -4 route replace default via 192.0.2.1 dev eth0",
    ]


def test_swapped_names_go_by_temporary_ones() -> None:
    network = Network(links=(card("eth0", 1), card("eth1", 2), card("eth2", 3)))
    found = plan(network, [card("eth0", 2), card("eth1", 1), card("ens9", 3)])
    assert lines(found)[:10] == [
        "ip link set dev eth0 down",
        "ip link set dev eth0 name spare0",
        "ip link set dev eth1 down",
        "ip link set dev eth1 name spare1",
        "ip link set dev spare1 down",
        "ip link set dev spare1 name eth0",
        "ip link set dev spare0 down",
        "ip link set dev spare0 name eth1",
        "ip link set dev ens9 down",
        "ip link set dev ens9 name eth2",
    ]
    assert [command.link for command in found.commands[:4:2]] == ["eth1", "eth0"]


def test_a_stranger_makes_room_for_a_recorded_name() -> None:
    found = plan(Network(links=(card("eth0", 1),)), [card("eth0", 9, driver="e1000e"), card("eth1", 1)])
    assert lines(found) == [
        "ip link set dev eth0 down",
        "ip link set dev eth0 name spare0",
        "ip link set dev eth1 down",
        "ip link set dev eth1 name eth0",
        "ip link set dev eth0 up",
    ]


def test_a_vlan_on_a_bond_in_a_bridge_is_made_from_the_bottom_up() -> None:
    network = Network(
        links=(
            Link(
                "br0",
                "bridge",
                mac=mac(1),
                options={"stp_state": "1", "vlan_filtering": "1"},
                vlans=("1 pvid untagged", "5"),
            ),
            Link(
                "bond0.7",
                "vlan",
                mac=mac(1),
                mtu=1500,
                parent="bond0",
                master="br0",
                options={"id": "7"},
                member={"priority": "8"},
                vlans=("5 pvid untagged",),
            ),
            Link("bond0", "bond", mac=mac(1), mtu=9000, options={"mode": "802.3ad", "lacp_rate": "fast"}),
            card("eth0", 1, master="bond0", mtu=9000),
            card("eth1", 2, master="bond0", mtu=9000, mac=mac(1), permanent_mac=mac(2)),
        ),
        addresses=(Address("br0", "192.0.2.7/24"),),
    )
    found = plan(network, [card("eth0", 1), card("eth1", 9, slot=2)], existing=["bond0", "br0"])
    assert lines(found) == [
        "ip link delete dev br0",
        "ip link delete dev bond0",
        "ip link set dev eth0 down",
        "ip link set dev eth1 down",
        "ip link add name bond0 address 52:54:00:00:00:01 mtu 9000 type bond mode 802.3ad lacp_rate fast",
        "ip link set dev eth0 master bond0",
        "ip link set dev eth0 up",
        "ip link set dev eth1 master bond0",
        "ip link set dev eth1 up",
        "ip link set dev bond0 up",
        "ip link add link bond0 name bond0.7 mtu 1500 type vlan id 7",
        "ip link set dev bond0.7 up",
        "ip link add name br0 address 52:54:00:00:00:01 type bridge stp_state 1 vlan_filtering 1",
        "ip link set dev bond0.7 master br0",
        "ip link set dev bond0.7 type bridge_slave priority 8",
        "bridge vlan delete dev bond0.7 vid 1",
        "bridge vlan add dev bond0.7 vid 5 pvid untagged",
        "bridge vlan add dev br0 vid 5 self",
        "ip link set dev br0 up",
        "ip -4 address replace 192.0.2.7/24 dev br0",
    ]


def test_a_mac_that_came_from_a_card_follows_the_new_card() -> None:
    network = Network(
        links=(
            card("eth0", 1, master="br0"),
            Link("br0", "bridge", mac=mac(1)),
            Link("mac0", "macvlan", mac="02:aa:00:00:00:01", parent="br0", options={"mode": "bridge"}),
        )
    )
    found = lines(plan(network, [card("ens3", 7)]))
    assert "ip link add name br0 address 52:54:00:00:00:07 type bridge" in found
    assert "ip link add link br0 name mac0 address 02:aa:00:00:00:01 type macvlan mode bridge" in found


def test_a_changed_mac_is_set_on_the_same_card_only() -> None:
    network = Network(links=(card("eth0", 1, mac="02:00:00:00:00:99", permanent_mac=mac(1)),))
    assert "ip link set dev eth0 address 02:00:00:00:00:99" in lines(plan(network, [card("eth0", 1)]))
    assert lines(plan(network, [card("eth0", 7)])) == ["ip link set dev eth0 up"]


def test_a_team_is_left_to_teamd() -> None:
    config = '{"device":"team0", "ports":{"eth0":{}}}'
    network = Network(links=(card("eth0", 1, master="team0"), Link("team0", "team", options={"config": config})))
    found = plan(network, [card("eth0", 1)], existing=["team0"])
    assert [command.argv for command in found.commands] == [
        ("teamd", "--kill", "--team-dev", "team0"),
        ("ip", "link", "set", "dev", "eth0", "down"),
        ("teamd", "--daemonize", "--team-dev", "team0", "--config", config),
        ("ip", "link", "set", "dev", "team0", "up"),
    ]


def test_a_lease_is_asked_for_with_the_recorded_one_in_reserve() -> None:
    network = Network(
        links=(card("eth0", 1, dhcp=True),),
        addresses=(
            Address("eth0", "192.0.2.7/24", dynamic=True),
            Address("eth0", "2001:db8::7/64", dynamic=True),
            Address("eth0", "2001:db8::5/128", dynamic=True),
            Address("eth0", "10.0.0.7/8"),
        ),
        routes=(
            Route(4, "default", (Hop("eth0", "192.0.2.1"),), metric=100, protocol="dhcp", dynamic=True),
            Route(6, "default", (Hop("eth0", "fe80::1"),), metric=1024, protocol="ra", dynamic=True),
            Route(4, "172.16.0.0/12", (Hop("eth0", "10.0.0.1"),), protocol="static"),
        ),
    )
    reserve = [
        "ip -4 address replace 192.0.2.7/24 dev eth0",
        "ip -4 route replace default via 192.0.2.1 dev eth0 metric 100 proto dhcp",
    ]
    static = [
        "ip link set dev eth0 up",
        "ip -6 address replace 2001:db8::5/128 dev eth0 nodad",
        "ip -4 address replace 10.0.0.7/8 dev eth0",
    ]
    last = ["ip -4 route replace 172.16.0.0/12 via 10.0.0.1 dev eth0 proto static"]
    assert lines(plan(network, [card("eth0", 1)])) == [*static, *reserve, *last]
    found = plan(network, [card("eth0", 1)], client="udhcpc")
    lease = next(command for command in found.commands if command.lease)
    assert lines(found) == [*static, " ".join(lease.argv), *last]
    assert lease.argv[0] == "udhcpc"
    assert [" ".join(command.argv) for command in lease.otherwise] == reserve


def test_every_kind_of_route_and_rule_has_its_words() -> None:
    network = Network(
        links=(card("eth0", 1), card("eth1", 2)),
        routes=(
            Route(
                4,
                "10.1.0.0/16",
                (Hop("eth0", "192.168.9.1", onlink=True),),
                table=100,
                source="192.0.2.7",
                mtu=1300,
            ),
            Route(4, "10.2.0.0/16", (Hop("eth0", "192.0.2.1", weight=2), Hop("eth1", "198.51.100.1")), metric=5),
            Route(4, "10.3.0.0/16", (Hop("eth0", "fe80::1"),)),
            Route(6, "2001:db8:2::/48", kind="blackhole", metric=1024),
            Route(4, "192.168.9.0/24", (Hop("eth0"),)),
        ),
        rules=(
            Rule(6, 90, "not from 2001:db8::/64 fwmark 0x1/0xff", "lookup 100"),
            Rule(4, 91, "from all", "prohibit"),
        ),
    )
    assert lines(plan(network, [card("eth0", 1), card("eth1", 2)]))[2:] == [
        "ip -6 route replace blackhole 2001:db8:2::/48 metric 1024",
        "ip -4 route replace 192.168.9.0/24 dev eth0",
        "ip -4 route replace 10.1.0.0/16 via 192.168.9.1 dev eth0 onlink table 100 src 192.0.2.7 mtu 1300",
        "ip -4 route replace 10.2.0.0/16 metric 5 nexthop via 192.0.2.1 dev eth0 weight 2"
        " nexthop via 198.51.100.1 dev eth1 weight 1",
        "ip -4 route replace 10.3.0.0/16 via inet6 fe80::1 dev eth0",
        "ip -6 rule add priority 90 not from 2001:db8::/64 fwmark 0x1/0xff lookup 100",
        "ip -4 rule add priority 91 from all prohibit",
    ]


def test_every_property_of_an_address_has_its_words() -> None:
    network = Network(
        links=(card("eth0", 1),),
        addresses=(
            Address("eth0", "10.0.0.1/32", peer="10.0.0.2", label="eth0:1", scope="link", metric=7),
            Address("eth0", "2001:db8::7/64", deprecated=True, noprefixroute=True),
        ),
    )
    assert lines(plan(network, [card("eth0", 1)]))[1:] == [
        "ip -4 address replace 10.0.0.1 peer 10.0.0.2/32 dev eth0 label eth0:1 scope link metric 7",
        "ip -6 address replace 2001:db8::7/64 dev eth0 preferred_lft 0 noprefixroute nodad",
    ]


def test_what_stands_on_a_missing_card_is_missing_and_the_rest_is_set_up() -> None:
    network = Network(
        links=(
            card("eth0", 1, master="bond0"),
            card("eth1", 2, master="bond1"),
            Link("bond0", "bond"),
            Link("bond1", "bond"),
            Link("bond1.5", "vlan", parent="bond1"),
        ),
        addresses=(Address("bond1.5", "192.0.2.7/24"), Address("bond0", "198.51.100.7/24")),
        routes=(
            Route(4, "default", (Hop("bond1.5", "192.0.2.1"), Hop("bond0", "198.51.100.1"))),
            Route(4, "10.0.0.0/8", (Hop("bond1.5", "192.0.2.1"),)),
        ),
    )
    found = plan(network, [card("eth0", 1)])
    assert found.missing == (
        LeftOut("eth1", "no card for it; it was virtio_net 52:54:00:00:00:02"),
        LeftOut("bond1", "eth1 missing"),
        LeftOut("bond1.5", "bond1 is missing"),
    )
    assert lines(found)[-2:] == [
        "ip -4 address replace 198.51.100.7/24 dev bond0",
        "ip -4 route replace default via 198.51.100.1 dev bond0",
    ]
    assert not any("bond1" in line for line in lines(found))


@pytest.mark.parametrize(
    ("recorded", "present", "expected"),
    [
        pytest.param(
            [card("a", 1), card("b", 2)],
            [card("x", 2), card("y", 1)],
            [("a", "y", "same MAC"), ("b", "x", "same MAC")],
            id="the MAC counts before the place",
        ),
        pytest.param(
            [card("a", 1, driver="e1000")],
            [card("x", 1)],
            [("a", "x", "same MAC, other driver")],
            id="a virtual machine with another kind of card",
        ),
        pytest.param(
            [card("a", 1, driver="hv_netvsc")],
            [card("vf", 1, driver="mlx5_core"), card("x", 1, driver="hv_netvsc")],
            [("a", "x", "same MAC")],
            id="a virtual function with the MAC of its card",
        ),
        pytest.param(
            [card("a", 1, permanent_mac=mac(5)), card("b", 2)],
            [card("x", 5, slot=9), card("y", 1, slot=8)],
            [("a", "x", "same MAC"), ("b", "y", "same driver, in order of place")],
            id="only the hardware's own MAC counts",
        ),
        pytest.param(
            [card("a", 1, slot=3), card("b", 2, slot=4), card("c", 3, slot=5, driver="igb")],
            [card("x", 7, slot=4), card("y", 8, slot=3), card("z", 9, slot=1, driver="igb")],
            [
                ("a", "y", "same driver and place"),
                ("b", "x", "same driver and place"),
                ("c", "z", "same driver, in order of place"),
            ],
            id="driver and place when MACs are new",
        ),
        pytest.param(
            [card("a", 1, port=0, slot=3), card("b", 2, port=1, slot=3)],
            [card("x", 8, port=1, slot=3), card("y", 9, port=0, slot=3)],
            [("a", "y", "same driver and place"), ("b", "x", "same driver and place")],
            id="ports of one card",
        ),
        pytest.param(
            [card("eth9", 1, driver="tg3", slot=1), card("eth10", 2, driver="tg3", slot=2)],
            [card("x", 8, slot=5), card("y", 9, slot=4)],
            [("eth9", "y", "in order of place"), ("eth10", "x", "in order of place")],
            id="other hardware altogether",
        ),
        pytest.param(
            [card("a", 1, up=False, driver="tg3"), card("b", 2, driver="tg3")],
            [card("x", 9)],
            [("b", "x", "in order of place")],
            id="a card in use before an idle one",
        ),
        pytest.param(
            [Link("ib0", mac="80:00:02:08:fe:80:00:00:00:00:00:00:00:02:c9:03:00:00:10:39", driver="mlx4")],
            [Link("ib7", mac="80:00:0a:99:fe:80:00:00:00:00:00:00:00:02:c9:03:00:00:10:39", driver="mlx4")],
            [("ib0", "ib7", "same MAC")],
            id="the part of an InfiniBand address that stays",
        ),
    ],
)
def test_cards_are_matched_by_the_surest_sign(
    recorded: list[Link], present: list[Link], expected: list[tuple[str, str, str]]
) -> None:
    assert match(recorded, present) == [Match(*pair) for pair in expected]


CARDS = st.lists(
    st.builds(card, st.sampled_from("abcdef"), st.integers(1, 6), st.sampled_from(["igb", "tg3"])),
    unique_by=lambda link: link.name,
)


@given(CARDS, CARDS)
def test_each_card_is_used_once_and_as_many_as_there_are(recorded: list[Link], present: list[Link]) -> None:
    found = match(recorded, present)
    assert len(found) == min(len(recorded), len(present))
    assert len({pair.link for pair in found}) == len({pair.card for pair in found}) == len(found)


@given(CARDS, CARDS)
def test_renaming_ends_with_the_recorded_names_and_never_meets_a_taken_one(
    recorded: list[Link], present: list[Link]
) -> None:
    found = plan(Network(links=tuple(recorded)), present)
    names = {link.name: link.name for link in present}
    for command in found.commands:
        if command.argv[-2] == "name":
            old, new = command.argv[-3], command.argv[-1]
            assert old in names and new not in names
            names[new] = names.pop(old)
    for pair in found.matches:
        assert names[pair.link] == pair.card


def test_links_that_stand_on_each_other_in_a_circle_are_an_error() -> None:
    with pytest.raises(ConfigurationError, match="in a circle: "):
        in_order([Link("a", "vlan", parent="b"), Link("b", "vlan", parent="a")])


def test_commands_of_routes_know_their_link() -> None:
    network = Network(links=(card("eth0", 1),), routes=(Route(4, "10.0.0.0/8", (Hop("eth0"),)),))
    assert plan(network, [card("eth0", 1)]).commands[-1] == Command(
        ("ip", "-4", "route", "replace", "10.0.0.0/8", "dev", "eth0"), "eth0"
    )


def test_a_radio_takes_only_the_place_of_a_radio_and_joins_its_network() -> None:
    wireless = card("wlan0", 2, "iwlwifi", radio=True, ssid="Home", dhcp=True)
    network = Network(links=(card("eth0", 1), wireless))
    found = plan(network, [card("wlp3s0", 7, "ath11k", radio=True), card("eth0", 1)], client="dhclient")
    assert [(match.link, match.card) for match in found.matches] == [("eth0", "eth0"), ("wlan0", "wlp3s0")]
    (joining,) = [command for command in found.commands if command.ssid]
    assert joining.argv[0] == "wpa_supplicant" and joining.ssid == "Home"
    assert found.commands[-1].lease and found.commands[-1].link == "wlan0"
    alone = plan(network, [card("wlp3s0", 7, "ath11k", radio=True)])
    assert [item.name for item in alone.missing] == ["eth0"]
