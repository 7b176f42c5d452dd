# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a network is described and what is left out, from messages of the kernel and a sysfs of files."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from rear_core.network.capture import describe, parse_resolver, team_config
from rear_core.network.model import Address, Hop, LeftOut, Link, Network, Resolver, Route, Rule, dumps, loads

UP = 0x1


class Kernel:
    """Answers of a kernel, with the devices they speak of below a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.found: dict[str, Any] = {
            "links": [], "addresses": [], "routes": [], "rules": [], "vlans": [], "teams": {},
        }  # fmt: skip

    def link(self, name: str, kind: str = "", data: dict[str, Any] | None = None, **fields: Any) -> int:
        index = len(self.found["links"]) + 1
        message = {
            "index": index, "ifi_type": 1, "flags": UP, "IFLA_IFNAME": name, "IFLA_MTU": 1500,
            "IFLA_ADDRESS": f"52:54:00:00:00:{index:02x}",
        }  # fmt: skip
        if kind:
            message["IFLA_LINKINFO"] = {"IFLA_INFO_KIND": kind, "IFLA_INFO_DATA": data}
        self.found["links"].append({**message, **fields})
        return index

    def card(self, name: str, driver: str = "igb", **fields: Any) -> int:
        index = self.link(name, **fields)
        device = self.root / f"sys/devices/pci0000:00/0000:00:0{index}.0"
        drivers = self.root / "sys/bus/pci/drivers" / driver
        link = self.root / "sys/class/net" / name
        for path in (device, drivers, link):
            path.mkdir(parents=True, exist_ok=True)
        (device / "driver").symlink_to(drivers)
        (link / "device").symlink_to(device)
        return index

    def address(self, index: int, address: str, flags: int = 0x80, **fields: Any) -> None:
        local, _, length = address.partition("/")
        family = socket.AF_INET6 if ":" in local else socket.AF_INET
        message = {
            "index": index,
            "family": family,
            "prefixlen": int(length),
            "scope": 0,
            "flags": flags & 0xFF,
        }
        self.found["addresses"].append({**message, "IFA_FLAGS": flags, "IFA_ADDRESS": local, **fields})

    def route(self, destination: str, **fields: Any) -> None:
        family = socket.AF_INET6 if ":" in destination + str(fields.get("RTA_GATEWAY")) else socket.AF_INET
        address, _, length = destination.partition("/")
        message = {
            "family": family,
            "table": 254,
            "type": 1,
            "proto": 3,
            "flags": 0,
            "dst_len": int(length or 0),
        }
        self.found["routes"].append({**message, **({"RTA_DST": address} if length else {}), **fields})

    def describe(self) -> Network:
        return describe(self.found, self.root, "host")


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)


def test_a_card_is_described_with_driver_and_place(kernel: Kernel) -> None:
    kernel.link("lo", ifi_type=772)
    kernel.card("eth0", IFLA_PERM_ADDRESS="52:54:00:00:00:99", IFLA_MTU=9000, flags=0)
    assert kernel.describe() == Network(
        hostname="host",
        links=(
            Link(
                "eth0",
                mac="52:54:00:00:00:02",
                permanent_mac="52:54:00:00:00:99",
                driver="igb",
                bus="pci0000:00/0000:00:02.0",
                mtu=9000,
                up=False,
            ),
        ),
    )


def test_an_old_kernel_tells_the_own_address_of_a_bonds_member_in_sysfs(kernel: Kernel) -> None:
    bond = kernel.link("bond0", "bond", {"IFLA_BOND_MODE": 1})
    kernel.card("eth0", IFLA_MASTER=bond)
    file = kernel.root / "sys/class/net/eth0/bonding_slave/perm_hwaddr"
    file.parent.mkdir()
    file.write_text("52:54:00:00:00:77\n")
    found = kernel.describe()
    assert found.links[1].permanent_mac == "52:54:00:00:00:77"
    assert found.links[0] == Link("bond0", "bond", "52:54:00:00:00:01", options={"mode": "active-backup"})


def test_a_radio_is_described_where_it_is_asked_for(kernel: Kernel) -> None:
    for number, name in enumerate(("wlan0", "wlan1"), 1):
        kernel.card(name, "iwlwifi", flags=0)
        (kernel.root / "sys/class/net" / name / "phy80211").mkdir()
        kernel.address(number, f"192.0.2.{number}/24")
    found = describe(kernel.found, kernel.root, "host", {"wlan1": b"Caf\xe9"})
    (link,) = found.links
    assert (link.name, link.radio, link.ssid, link.up, link.dhcp) == ("wlan1", True, "Caf\udce9", True, False)
    assert [address.address for address in found.addresses] == ["192.0.2.2/24"]
    assert loads(dumps(found)) == found
    kernel.found["addresses"] = []
    (link,) = describe(kernel.found, kernel.root, "host", {"wlan1": b"Home"}).links
    assert link.dhcp


def test_what_cannot_be_set_up_is_left_out_with_the_reason(kernel: Kernel) -> None:
    kernel.card("eth0")
    kernel.card("wlan0")
    (kernel.root / "sys/class/net/wlan0/phy80211").mkdir()
    kernel.card("vf0")
    (kernel.root / "sys/class/net/vf0/device/physfn").mkdir()
    kernel.card("can0", ifi_type=280)
    # The card of a cloud's network acceleration follows the one that has the address.
    kernel.card("accel0", IFLA_MASTER=1)
    kernel.link("virtual0")
    kernel.link("wg0", "wireguard")
    kernel.link("gre1", "gretap")
    kernel.link("team0", "team")
    kernel.found["teams"]["team0"] = ""
    bridge = kernel.link("docker0", "bridge", {})
    kernel.link("veth1", "veth", IFLA_MASTER=bridge, IFLA_LINK_NETNSID=0)
    kernel.link("docker0.5", "vlan", {"IFLA_VLAN_ID": 5}, IFLA_LINK=bridge)
    found = kernel.describe()
    assert [link.name for link in found.links] == ["eth0"]
    assert {item.name: item.reason for item in found.left_out} == {
        "wlan0": "a radio, and RESCUE_WIRELESS is off or means another one",
        "vf0": "a virtual function that the driver of its card creates",
        "can0": "neither Ethernet nor InfiniBand",
        "accel0": "follows eth0 by itself",
        "virtual0": "no hardware",
        "wg0": "its keys do not belong in a rescue system",
        "gre1": "links of kind gretap are not set up in the rescue system",
        "team0": "without the configuration in teamd",
        "docker0": "no members that connect to another machine",
        "veth1": "a cable into a container",
        "docker0.5": "depends on docker0, which is left out",
    }


def test_a_card_below_something_left_out_is_kept_without_it(kernel: Kernel) -> None:
    switch = kernel.link("ovs-system", "openvswitch")
    kernel.card("eth0", IFLA_MASTER=switch)
    found = kernel.describe()
    assert [(link.name, link.master) for link in found.links] == [("eth0", "")]
    assert found.left_out == (LeftOut("ovs-system", "Open vSwitch needs its own daemon"),)


def test_in_a_container_the_ends_of_its_cables_are_the_cards(kernel: Kernel) -> None:
    kernel.link("eth0", "veth", IFLA_LINK_NETNSID=0)
    kernel.link("pair0", "veth")
    assert [(link.name, link.driver) for link in kernel.describe().links] == [("eth0", "veth")]


def test_leased_and_announced_addresses_are_marked(kernel: Kernel) -> None:
    index = kernel.card("eth0")
    kernel.address(index, "192.0.2.7/24", flags=0, IFA_LABEL="eth0", IFA_BROADCAST="192.0.2.255")
    kernel.address(index, "2001:db8::7/64", flags=0x100)
    kernel.address(index, "2001:db8::abcd/64", flags=0x01)
    kernel.address(index, "2001:db8::8/64", flags=0x80 | 0x20 | 0x200)
    kernel.address(index, "fe80::1/64", scope=253)
    kernel.address(index, "169.254.3.4/16", scope=253)
    # What dhclient-script makes looks like made by hand.
    kernel.route("", RTA_OIF=index, RTA_GATEWAY="192.0.2.1")
    kernel.route("10.0.0.0/8", RTA_OIF=index, RTA_GATEWAY="192.0.2.1")
    found = kernel.describe()
    assert found.addresses == (
        Address("eth0", "192.0.2.7/24", broadcast="192.0.2.255", dynamic=True),
        Address("eth0", "2001:db8::7/64", dynamic=True),
        Address("eth0", "2001:db8::8/64", deprecated=True, noprefixroute=True),
    )
    assert [(route.destination, route.dynamic) for route in found.routes] == [
        ("default", True),
        ("10.0.0.0/8", False),
    ]
    assert found.links[0].dhcp


def test_an_address_that_the_kernel_does_not_send_is_no_address(kernel: Kernel) -> None:
    index = kernel.card("eth0")
    nobodys = {"index": index, "family": socket.AF_INET, "prefixlen": 0, "scope": 0, "flags": 0x80}
    # `ip address add 10.0.0.2 peer 0.0.0.0/0`, and 0.0.0.0 itself.
    kernel.found["addresses"] = [
        {**nobodys, "IFA_LOCAL": "10.0.0.2"}, nobodys, {**nobodys, "index": 99, "IFA_LOCAL": "10.0.0.3"},
    ]  # fmt: skip
    assert kernel.describe().addresses == (Address("eth0", "10.0.0.2/0", peer="0.0.0.0"),)


def test_what_a_kernel_leaves_out_of_a_link_is_its_default(kernel: Kernel) -> None:
    index = kernel.card("eth0")
    del kernel.found["links"][0]["IFLA_MTU"]
    kernel.card("eth1", IFLA_LINKINFO={"IFLA_INFO_SLAVE_KIND": "bridge"})
    kernel.link("macvlan0", "macvlan", {}, IFLA_LINK=index)
    kernel.link("bond0", "bond", {})
    kernel.card("eth2", IFLA_MASTER=4)
    # A port that came after the links were listed.
    kernel.found["vlans"] = [{"index": 99}]
    assert [(link.name, link.mtu, dict(link.options)) for link in kernel.describe().links] == [
        ("eth0", 1500, {}), ("eth1", 1500, {}), ("macvlan0", 1500, {}), ("bond0", 1500, {"mode": "balance-rr"}),
        ("eth2", 1500, {}),
    ]  # fmt: skip


def test_a_lease_without_end_shows_in_its_routes(kernel: Kernel) -> None:
    index = kernel.card("eth0")
    kernel.address(index, "192.0.2.7/24")
    kernel.route("", proto=16, RTA_OIF=index, RTA_GATEWAY="192.0.2.1", RTA_PRIORITY=100)
    found = kernel.describe()
    assert found.links[0].dhcp
    assert found.addresses[0].dynamic


def test_routes_that_make_themselves_are_left_out(kernel: Kernel) -> None:
    index = kernel.card("eth0")
    kernel.address(index, "192.0.2.7/24")
    kernel.address(index, "198.51.100.7/24", flags=0x80 | 0x200)
    kernel.address(index, "10.0.0.1/32", IFA_LOCAL="10.0.0.1", IFA_ADDRESS="10.0.0.2")
    kernel.route("192.0.2.0/24", proto=2, RTA_OIF=index)
    kernel.route("10.0.0.2/32", proto=2, RTA_OIF=index)
    kernel.route("198.51.100.0/24", proto=2, RTA_OIF=index, RTA_PRIORITY=100)
    kernel.route("192.0.2.7/32", table=255, type=2, RTA_OIF=index)
    kernel.route("fe80::/64", proto=2, RTA_OIF=index)
    kernel.route("203.0.113.0/24", proto=12, RTA_OIF=index, RTA_GATEWAY="192.0.2.9")
    kernel.route("203.0.114.0/24", proto=12, RTA_OIF=index, RTA_GATEWAY="192.0.2.9")
    kernel.route("", proto=12, RTA_OIF=index, RTA_GATEWAY="192.0.2.9")
    kernel.route("172.17.0.0/16", RTA_OIF=99)
    found = kernel.describe()
    assert found.routes == (
        Route(4, "198.51.100.0/24", (Hop("eth0"),), metric=100, protocol="kernel"),
        Route(4, "default", (Hop("eth0", "192.0.2.9"),), protocol="12"),
    )
    assert found.left_out == (LeftOut("2 routes", "learned by a routing daemon"),)


def test_rules_are_told_in_words(kernel: Kernel) -> None:
    kernel.card("eth0")
    rule = {
        "family": socket.AF_INET,
        "table": 254,
        "flags": 0,
        "src_len": 0,
        "dst_len": 0,
        "tos": 0,
        "action": 1,
    }
    kernel.found["rules"] = [
        {**rule, "table": 255},
        {**rule, "FRA_PRIORITY": 1000, "table": 0, "FRA_L3MDEV": 1},
        {**rule, "FRA_PRIORITY": 10, "flags": 2, "FRA_FWMARK": 0xCA6C, "FRA_TABLE": 51820},
        {**rule, "FRA_PRIORITY": 11, "src_len": 24, "FRA_SRC": "10.0.0.0", "FRA_OIFNAME": "eth0", "tos": 8},
        {
            **rule,
            "FRA_PRIORITY": 12,
            "FRA_IP_PROTO": 6,
            "FRA_DPORT_RANGE": "22:22",
            "UNKNOWN": [29],
            "action": 8,
        },
        {**rule, "FRA_PRIORITY": 13, "FRA_UID_RANGE": {"start": 0, "end": 9}, "action": 2, "FRA_GOTO": 99},
        {**rule, "FRA_PRIORITY": 14, "FRA_SUPPRESS_PREFIXLEN": 0},
        {**rule, "FRA_PRIORITY": 32766, "FRA_PROTOCOL": 2},
    ]
    assert kernel.describe().rules == (
        Rule(4, 10, "not from all fwmark 0xca6c/0xffffffff", "lookup 51820"),
        Rule(4, 11, "from 10.0.0.0/24 tos 0x8 oif eth0", "lookup 254"),
        Rule(4, 12, "from all dport 22-22 ipproto 6", "prohibit"),
        Rule(4, 13, "from all uidrange 0-9", "goto 99"),
        Rule(4, 14, "from all", "lookup 254 suppress_prefixlength 0"),
    )


def test_rules_that_are_not_understood_are_left_out_by_name(kernel: Kernel) -> None:
    rule = {"family": socket.AF_INET, "table": 254, "flags": 0, "src_len": 0, "dst_len": 0, "tos": 0, "action": 1}
    kernel.found["rules"] = [
        {**rule, "FRA_PRIORITY": 10, "FRA_TUN_ID": 7},
        {**rule, "FRA_PRIORITY": 11, "UNKNOWN": [29, 99]},
        {**rule, "FRA_PRIORITY": 12, "action": 77},
        {**rule, "FRA_PRIORITY": 13, "FRA_SUPPRESS_IFGROUP": 4},
        {**rule, "FRA_PRIORITY": 14, "FRA_SUPPRESS_IFGROUP": 0xFFFFFFFF},
    ]
    found = kernel.describe()
    assert [rule.priority for rule in found.rules] == [14]
    assert [str(item.reason) for item in found.left_out] == [
        f"it has {what}, which rear does not know"
        for what in ("FRA_TUN_ID", "the attribute 99", "the action 77", "FRA_SUPPRESS_IFGROUP")
    ]


def test_what_is_told_in_another_form_is_left_out_by_name_and_all_else_described(kernel: Kernel) -> None:
    index = kernel.card("eth0")
    rule = {"family": socket.AF_INET, "table": 254, "flags": 0, "src_len": 0, "dst_len": 0, "tos": 0, "action": 1}
    kernel.found["rules"] = [{**rule, "FRA_PRIORITY": 10, "src_len": 8}, {**rule, "FRA_PRIORITY": 11}]
    kernel.route("", RTA_OIF=index, RTA_GATEWAY="192.0.2.1")
    kernel.route("", RTA_OIF=index, dst_len=24)
    kernel.address(index, "192.0.2.7/24")
    kernel.address(index, "somewhere/24")
    kernel.card("eth1")
    del kernel.found["links"][-1]["flags"]
    found = kernel.describe()
    assert [rule.priority for rule in found.rules] == [11]
    assert [route.destination for route in found.routes] == ["default"]
    assert [address.address.partition("/")[0] for address in found.addresses] == ["192.0.2.7"]
    assert [link.name for link in found.links] == ["eth0"]
    names = ["eth1", "address somewhere", "route to all others", "rule 10"]
    assert [item.name for item in found.left_out] == names
    assert all("does not understand" in item.reason for item in found.left_out)


def test_the_servers_behind_a_resolver_on_this_machine_are_found(kernel: Kernel) -> None:
    for path, text in {
        "etc/resolv.conf": "nameserver 127.0.0.53\noptions edns0\n",
        "run/systemd/resolve/resolv.conf": "nameserver 192.0.2.53\nnameserver fe80::1%e\nsearch a.org\n",
    }.items():
        (kernel.root / path).parent.mkdir(parents=True, exist_ok=True)
        (kernel.root / path).write_text(text)
    assert kernel.describe().resolver == Resolver(("192.0.2.53", "fe80::1%e"), ("a.org",))


def test_a_name_server_of_this_machine_alone_is_left_out(kernel: Kernel) -> None:
    (kernel.root / "etc").mkdir()
    (kernel.root / "etc/resolv.conf").write_text("search example.org\nnameserver 127.0.0.1\n")
    found = kernel.describe()
    assert found.resolver == Resolver((), ("example.org",))
    assert found.left_out == (LeftOut("name server 127.0.0.1", "runs on this machine itself"),)


def test_resolv_conf_is_read_as_the_resolver_does() -> None:
    text = "# nameserver 192.0.2.1\nnameserver 192.0.2.2 # here\n;x\ndomain a.org\nsearch b.org c.org .\n"
    assert parse_resolver(text + "options rotate\noptions timeout:1\nnameserver\n") == Resolver(
        ("192.0.2.2",), ("b.org", "c.org"), ("rotate", "timeout:1")
    )


@pytest.mark.parametrize(
    ("dumped", "members", "ports"),
    [
        ({"eth1": {"prio": 1}, "eth2": {}}, ["eth1", "eth2"], {"eth1": {"prio": 1}, "eth2": {}}),
        ({"eth5": {"5": {"prio": 9}}, "eth5.5": {}}, ["eth5.5"], {"eth5.5": {"prio": 9}}),
        ({"eth5": {"5": {}, "prio": 1}}, ["eth5", "eth5.5"], {"eth5": {"prio": 1}, "eth5.5": {}}),
        ({"a": {"b": {"c": {"sticky": True}}}}, ["a.b.c"], {"a.b.c": {"sticky": True}}),
        ({"eth1": {}, "gone": {"prio": 2}}, ["eth1"], {"eth1": {}, "gone": {"prio": 2}}),
        ({"eth1": 5}, ["eth1"], {"eth1": {}}),
    ],
)
def test_the_ports_of_a_team_have_their_names_also_with_dots(
    dumped: dict[str, Any], members: list[str], ports: dict[str, Any]
) -> None:
    config = json.loads(team_config(json.dumps({"runner": {"name": "broadcast"}, "ports": dumped}), members))
    assert config == {"runner": {"name": "broadcast"}, "ports": ports}


@pytest.mark.parametrize("text", ["", "no JSON", "[]", '{"runner": {}}'])
def test_whatever_teamd_says_is_taken(text: str) -> None:
    assert team_config(text, ["eth1"]) == text
