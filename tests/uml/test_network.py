# SPDX-License-Identifier: GPL-3.0-or-later
"""Bonds, VLANs, filtering bridges and teams, which need a distribution's kernel: taken down and set up again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from lab import guests
from rear_core.network import model as network
from rear_core.network.model import Network

pytestmark = pytest.mark.uml

# The cards by their MACs, whatever names the guest gave them.
NAMES = """
set -e
for number in 1 2 3 4; do
    card=$(basename $(dirname $(grep -lx 52:54:00:00:00:0$number /sys/class/net/*/address | head -1)))
    ip link set dev $card down
    ip link set dev $card name card$number
done
"""
# The cards take no more than 1500 bytes.
MAKE = (
    NAMES
    + """
ip link add bond0 type bond mode 802.3ad miimon 150 lacp_rate fast xmit_hash_policy layer3+4 min_links 1
ip link add bond1 type bond mode active-backup arp_interval 500 arp_ip_target 192.0.2.1,192.0.2.2
for card in card1 card2; do ip link set dev $card master bond0; done
ip link set dev card3 master bond1
ip link set dev bond1 type bond primary card3
ip link set dev bond0 mtu 1450
ip link add link bond0 name bond0.10 type vlan id 10 ingress-qos-map 1:2 egress-qos-map 2:3 4:5
ip link add link bond0.10 name inner type vlan protocol 802.1ad id 20 gvrp off
ip link set dev inner mtu 1400
ip link add br0 type bridge stp_state 1 priority 8192 forward_delay 400 vlan_filtering 1
ip link set dev bond1 master br0
bridge vlan add dev bond1 vid 30
bridge vlan add dev bond1 vid 31 pvid untagged
bridge vlan delete dev bond1 vid 1
bridge vlan add dev br0 vid 30 self
ip link add link br0 name br0.30 type vlan id 30
ip link add dummy7 type dummy
ip link add blue type vrf table 1007
ip link set dev dummy7 master blue
ip link add link card4 name mac0 type macvlan mode bridge
for link in card1 card2 card3 card4 bond0 bond1 bond0.10 inner br0 br0.30 dummy7 blue mac0; do
    ip link set dev $link up
done
ip address add 192.0.2.7/24 dev inner
ip address add 2001:db8:30::7/64 dev br0.30 nodad
ip address add 198.51.100.7/32 dev dummy7
ip address add 203.0.113.7/24 dev br0
ip route add default via 192.0.2.1
ip -6 route add default via 2001:db8:30::1
ip route add 10.0.0.0/8 nexthop via 192.0.2.1 weight 3 nexthop via 203.0.113.1
"""
)
REMOVE = """
for link in mac0 blue dummy7 br0.30 br0 inner bond0.10 bond1 bond0; do ip link delete dev $link; done
"""
# teamd's own dump takes the dot in the name of a port for a level. A card of this kernel keeps its address while it
# is up. The address of a team is that of its port, unless udev comes later and gives it one of its own.
MAKE_TEAMS = (
    NAMES
    + """
mkdir -p /run/systemd/network
printf '[Match]\\nOriginalName=team*\\n[Link]\\nMACAddressPolicy=none\\n' >/run/systemd/network/00-team.link
udevadm control --reload
ip link set dev card1 up
ip link add link card1 name card1.5 type vlan id 5
team() { teamd --daemonize --team-dev "$1" --config "$2"; }
team team0 '{"runner": {"name": "broadcast"}, "ports": {"card1.5": {}}}'
team team1 '{"runner": {"name": "activebackup", "hwaddr_policy": "by_active"}, "link_watch": {"name": "ethtool"},
             "ports": {"card2": {"prio": 9}, "card3": {"prio": -3, "sticky": true}}}'
ip link add link team1 name team1.7 type vlan id 7
for link in card1.5 team0 team1 team1.7; do ip link set dev $link up; done
ip address add 192.0.2.7/24 dev team0
ip address add 198.51.100.7/24 dev team1.7
"""
)
REMOVE_TEAMS = """
ip link delete dev team1.7
for team in team0 team1; do teamd --kill --team-dev $team; done
ip link delete dev card1.5
"""
PORTS = "for team in team0 team1; do teamnl $team ports | sed 's/^ *[0-9]*: //' | sort; done"
# Names as after a change of hardware, two of them swapped.
SWAP = """
for card in card1 card2 card3 card4; do ip link set dev $card down; done
ip link set dev card1 name other; ip link set dev card2 name card1; ip link set dev other name card2
ip link set dev card3 name eth7; ip link set dev card4 name card3
"""
CAPTURE = (
    "from rear_core.shell import Shell; from rear_core.network import capture, model as network;"
    "print(network.dumps(capture.capture(Shell())))"
)
PYTHON = "/opt/rear/bin/python"


@pytest.fixture
def stacked(guest: guests.Machine) -> Iterator[guests.Machine]:
    """The guest with its cards under bonds, VLANs, bridges; as it was before when the test ends."""
    with made(guest, MAKE, REMOVE):
        yield guest


@pytest.fixture
def teamed(guest: guests.Machine) -> Iterator[guests.Machine]:
    """The guest with its cards in teams, one of them by a VLAN; as it was before when the test ends."""
    with made(guest, MAKE_TEAMS, REMOVE_TEAMS):
        yield guest


@contextmanager
def made(guest: guests.Machine, make: str, remove: str) -> Iterator[None]:
    """A block in which the links are there; /root/swap takes them away and gives the cards other names."""
    names = {link["address"]: link["ifname"] for link in json.loads(guest.check("ip -json link"))}
    guest.put("/root/make", make.encode())
    guest.put("/root/swap", f"set -e\n{remove}{SWAP}".encode())
    guest.put("/root/remove", remove.encode())
    try:
        guest.check("sh /root/make")
        yield
    finally:
        guest.sh("sh /root/remove")
        for link in json.loads(guest.check("ip -json link")):
            if link["link_type"] == "ether":
                old, between, new = link["ifname"], f"restored{link['ifindex']}", names[link["address"]]
                guest.check(f"ip link set dev {old} down && ip link set dev {old} name {between}")
                # udev keeps the first name as an alternative one, and adds it when it has heard of the change.
                guest.sh(f"udevadm settle; ip link property del dev {between} altname {new}")
                guest.check(f"ip link set dev {between} name {new}")


def capture(guest: guests.Machine) -> Network:
    """The guest's network, without what a restart of the links changes by itself."""
    found = network.loads(guest.check(f'{PYTHON} -c "{CAPTURE}"'))
    return replace(
        found,
        links=tuple(sorted(found.links, key=lambda link: link.name)),
        addresses=tuple(sorted(found.addresses, key=lambda address: address.address)),
        routes=tuple(sorted(found.routes, key=repr)),
    )


def test_bonds_vlans_and_bridges_come_back_as_they_were(stacked: guests.Machine) -> None:
    before = capture(stacked)
    links = {link.name: link for link in before.links}
    assert links["bond0"].options == {
        "mode": "802.3ad", "miimon": "150", "xmit_hash_policy": "layer3+4",
        "min_links": "1", "lacp_rate": "fast",
    }  # fmt: skip
    assert links["bond1"].options == {
        "mode": "active-backup", "arp_interval": "500",
        "arp_ip_target": "192.0.2.1,192.0.2.2", "primary": "card3",
    }  # fmt: skip
    assert links["inner"].options == {"protocol": "802.1ad", "id": "20"}
    assert links["bond0.10"].options == {"id": "10", "ingress-qos-map": "1:2", "egress-qos-map": "2:3 4:5"}
    assert (links["bond1"].master, links["bond1"].vlans) == ("br0", ("30", "31 pvid untagged"))
    assert links["card2"].mac == links["bond0"].mac
    assert links["card2"].permanent_mac == "52:54:00:00:00:02"
    assert "card1 (card2, same MAC): up" in set_up_again(stacked, before)
    assert capture(stacked) == before


def test_teams_come_back_also_with_the_vlan_of_a_card_as_their_port(teamed: guests.Machine) -> None:
    before, ports = capture(teamed), teamed.check(PORTS)
    options = {link.name: link.options for link in before.links if link.kind == "team"}
    assert json.loads(options["team0"]["config"])["ports"].keys() == {"card1.5"}
    set_up_again(teamed, before)
    assert capture(teamed) == before
    assert teamed.check(PORTS) == ports
    assert [line.partition(":")[0] for line in ports.splitlines()] == ["card1.5", "card2", "card3"]


def set_up_again(guest: guests.Machine, before: Network) -> str:
    """Take everything away, exchange the cards, and have the rescue system set it up; returns what that says."""
    guest.put("/root/network.json", network.dumps(before).encode())
    guest.check("sh /root/swap")
    answer = guest.sh(f"cd / && {PYTHON} -m rear_core.network.apply /root/network.json")
    assert answer.status == 0, answer.output
    return answer.output
