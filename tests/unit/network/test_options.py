# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of virtual links in the words of `ip link`, from what the kernel reports."""

from __future__ import annotations

from typing import Any

import pytest

from rear_core.network.options import bridge_vlans, member_options, options

PREFIX = {"bond": "IFLA_BOND_", "bridge": "IFLA_BR_", "vlan": "IFLA_VLAN_", "macvlan": "IFLA_MACVLAN_"}
QOS = {"IFLA_VLAN_QOS_MAPPING": [{"from": 2, "to": 3}, {"from": 4, "to": 5}]}

# A bond about which nothing was said.
BOND = {
    "MODE": 1, "MIIMON": 0, "UPDELAY": 0, "DOWNDELAY": 0,
    "USE_CARRIER": 1, "ARP_INTERVAL": 0, "ARP_VALIDATE": 0,
    "ARP_ALL_TARGETS": 0, "PRIMARY_RESELECT": 0, "FAIL_OVER_MAC": 0,
    "XMIT_HASH_POLICY": 0, "RESEND_IGMP": 1, "NUM_PEER_NOTIF": 1,
    "ALL_SLAVES_ACTIVE": 0, "MIN_LINKS": 0, "LP_INTERVAL": 1,
    "PACKETS_PER_SLAVE": 1, "AD_LACP_RATE": 0, "AD_SELECT": 0,
    "TLB_DYNAMIC_LB": 1,
}  # fmt: skip


def words(kind: str, data: dict[str, Any]) -> dict[str, str]:
    """The options of a link with these attributes; their names lack the prefix of the kind."""
    prefix = PREFIX.get(kind, "IFLA_VRF_")
    named = {prefix + name: value for name, value in data.items()}
    return options({"IFLA_LINKINFO": {"IFLA_INFO_KIND": kind, "IFLA_INFO_DATA": named}}, {3: "eth1"})


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, {"mode": "active-backup"}),
        ({"PRIMARY": 3, "PRIMARY_RESELECT": 2, "MIIMON": 100},
         {"mode": "active-backup", "miimon": "100", "primary_reselect": "failure", "primary": "eth1"}),
        ({"ARP_INTERVAL": 500, "ARP_IP_TARGET": ["192.0.2.1", "192.0.2.2"],
          "ARP_VALIDATE": 3},
         {"mode": "active-backup", "arp_interval": "500", "arp_validate": "all",
          "arp_ip_target": "192.0.2.1,192.0.2.2"}),
        ({"MODE": 4, "AD_LACP_RATE": 1, "XMIT_HASH_POLICY": 1,
          "AD_ACTOR_SYSTEM": "00:00:00:00:00:00"},
         {"mode": "802.3ad", "xmit_hash_policy": "layer3+4", "lacp_rate": "fast"}),
        ({"MODE": 0, "PACKETS_PER_SLAVE": 8, "AD_LACP_RATE": 1},
         {"mode": "balance-rr", "packets_per_slave": "8"}),
        ({"MODE": 5, "TLB_DYNAMIC_LB": 0}, {"mode": "balance-tlb", "tlb_dynamic_lb": "0"}),
        ({"MODE": 6, "TLB_DYNAMIC_LB": 0}, {"mode": "balance-alb"}),
    ],
)  # fmt: skip
def test_a_bond_has_what_differs_in_its_mode(changed: dict[str, Any], expected: dict[str, str]) -> None:
    assert words("bond", {**BOND, **changed}) == expected


@pytest.mark.parametrize(
    ("kind", "data", "expected"),
    [
        ("bridge", {"FORWARD_DELAY": 1500, "STP_STATE": 0, "VLAN_PROTOCOL": 0x8100}, {}),
        ("bridge", {"STP_STATE": 1, "VLAN_FILTERING": 1, "VLAN_PROTOCOL": 0x88A8},
         {"stp_state": "1", "vlan_filtering": "1", "vlan_protocol": "802.1ad"}),
        ("vlan", {"ID": 7, "PROTOCOL": 0x8100, "FLAGS": {"flags": 1}}, {"id": "7"}),
        ("vlan", {"ID": 7, "PROTOCOL": 0x88A8, "FLAGS": {"flags": 6},
                  "EGRESS_QOS": QOS},
         {"protocol": "802.1ad", "id": "7", "reorder_hdr": "off", "gvrp": "on", "loose_binding": "on",
          "egress-qos-map": "2:3 4:5"}),
        ("macvlan", {"MODE": "private"}, {"mode": "private"}),
        ("vrf", {"TABLE": 1007}, {"table": "1007"}),
        ("dummy", {}, {}),
    ],
)  # fmt: skip
def test_other_kinds_have_what_differs(kind: str, data: dict[str, Any], expected: dict[str, str]) -> None:
    assert words(kind, data) == expected


def test_a_port_of_a_bridge_has_options_and_a_member_of_a_bond_none() -> None:
    data = {"IFLA_BRPORT_PRIORITY": 32, "IFLA_BRPORT_COST": 2, "IFLA_BRPORT_MODE": 1}
    info = {"IFLA_INFO_SLAVE_KIND": "bridge", "IFLA_INFO_SLAVE_DATA": data}
    assert member_options({"IFLA_LINKINFO": info}) == {"hairpin": "on"}
    assert member_options({"IFLA_LINKINFO": {**info, "IFLA_INFO_SLAVE_KIND": "bond"}}) == {}


def test_vlans_of_ports_are_told_in_words_of_bridge() -> None:
    vlans = [{"vid": 1, "flags": 6}, {"vid": 30, "flags": 0}, {"vid": 31, "flags": 4}]
    message = {"index": 3, "IFLA_AF_SPEC": {"IFLA_BRIDGE_VLAN_INFO": vlans}}
    assert bridge_vlans([message], {3: "eth1"}) == {"eth1": ("1 pvid untagged", "30", "31 untagged")}
