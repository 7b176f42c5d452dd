# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of bonds, bridges, VLANs, macvlans and VRFs: from netlink attributes to the words of `ip link`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Message = Mapping[str, Any]

# attribute: word, the kernel's default, names of the values
Option = tuple[str, int, tuple[str, ...]]

MODES = ("balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb")
ARP_VALIDATE = ("none", "active", "backup", "all", "filter", "filter_active", "filter_backup")
HASH = ("layer2", "layer3+4", "layer2+3", "encap2+3", "encap3+4", "vlan+srcmac")

BOND: Mapping[str, Option] = {
    "IFLA_BOND_MIIMON": ("miimon", 0, ()),
    "IFLA_BOND_UPDELAY": ("updelay", 0, ()),
    "IFLA_BOND_DOWNDELAY": ("downdelay", 0, ()),
    "IFLA_BOND_USE_CARRIER": ("use_carrier", 1, ()),
    "IFLA_BOND_ARP_INTERVAL": ("arp_interval", 0, ()),
    "IFLA_BOND_ARP_VALIDATE": ("arp_validate", 0, ARP_VALIDATE),
    "IFLA_BOND_ARP_ALL_TARGETS": ("arp_all_targets", 0, ("any", "all")),
    "IFLA_BOND_PRIMARY_RESELECT": ("primary_reselect", 0, ("always", "better", "failure")),
    "IFLA_BOND_FAIL_OVER_MAC": ("fail_over_mac", 0, ("none", "active", "follow")),
    "IFLA_BOND_XMIT_HASH_POLICY": ("xmit_hash_policy", 0, HASH),
    "IFLA_BOND_RESEND_IGMP": ("resend_igmp", 1, ()),
    "IFLA_BOND_NUM_PEER_NOTIF": ("num_grat_arp", 1, ()),
    "IFLA_BOND_ALL_SLAVES_ACTIVE": ("all_slaves_active", 0, ()),
    "IFLA_BOND_MIN_LINKS": ("min_links", 0, ()),
    "IFLA_BOND_LP_INTERVAL": ("lp_interval", 1, ()),
}
# The kernel refuses these in other modes, but reports some of them there.
BOND_IN_MODE: Mapping[str, Mapping[str, Option]] = {
    "balance-rr": {"IFLA_BOND_PACKETS_PER_SLAVE": ("packets_per_slave", 1, ())},
    "802.3ad": {
        "IFLA_BOND_AD_LACP_RATE": ("lacp_rate", 0, ("slow", "fast")),
        "IFLA_BOND_AD_SELECT": ("ad_select", 0, ("stable", "bandwidth", "count")),
        "IFLA_BOND_AD_ACTOR_SYS_PRIO": ("ad_actor_sys_prio", 65535, ()),
        "IFLA_BOND_AD_USER_PORT_KEY": ("ad_user_port_key", 0, ()),
    },
    "balance-tlb": {"IFLA_BOND_TLB_DYNAMIC_LB": ("tlb_dynamic_lb", 1, ())},
}
BRIDGE: Mapping[str, Option] = {
    "IFLA_BR_FORWARD_DELAY": ("forward_delay", 1500, ()),
    "IFLA_BR_HELLO_TIME": ("hello_time", 200, ()),
    "IFLA_BR_MAX_AGE": ("max_age", 2000, ()),
    "IFLA_BR_AGEING_TIME": ("ageing_time", 30000, ()),
    "IFLA_BR_STP_STATE": ("stp_state", 0, ()),
    "IFLA_BR_PRIORITY": ("priority", 32768, ()),
    "IFLA_BR_GROUP_FWD_MASK": ("group_fwd_mask", 0, ()),
    "IFLA_BR_VLAN_FILTERING": ("vlan_filtering", 0, ()),
    "IFLA_BR_VLAN_DEFAULT_PVID": ("vlan_default_pvid", 1, ()),
    "IFLA_BR_MCAST_SNOOPING": ("mcast_snooping", 1, ()),
    "IFLA_BR_MCAST_QUERIER": ("mcast_querier", 0, ()),
}
# The cost of a port follows its speed, so it is left to the kernel.
BRIDGE_PORT: Mapping[str, Option] = {
    "IFLA_BRPORT_PRIORITY": ("priority", 32, ()),
    "IFLA_BRPORT_MODE": ("hairpin", 0, ("off", "on")),
    "IFLA_BRPORT_GUARD": ("guard", 0, ("off", "on")),
    "IFLA_BRPORT_PROTECT": ("root_block", 0, ("off", "on")),
    "IFLA_BRPORT_FAST_LEAVE": ("fastleave", 0, ("off", "on")),
    "IFLA_BRPORT_LEARNING": ("learning", 1, ("off", "on")),
    "IFLA_BRPORT_UNICAST_FLOOD": ("flood", 1, ("off", "on")),
    "IFLA_BRPORT_ISOLATED": ("isolated", 0, ("off", "on")),
}
VLAN_PROTOCOLS = {0x8100: "802.1Q", 0x88A8: "802.1ad"}
# flag: word, set by default
VLAN_FLAGS = {
    0x1: ("reorder_hdr", True),
    0x2: ("gvrp", False),
    0x4: ("loose_binding", False),
    0x8: ("mvrp", False),
}
PVID, UNTAGGED = 0x2, 0x4


def options(link: Message, names: Mapping[int, str]) -> dict[str, str]:
    """The options of a virtual link as words of `ip link add ... type KIND`, without defaults."""
    info = link.get("IFLA_LINKINFO", {})
    data = info.get("IFLA_INFO_DATA")
    kind = info.get("IFLA_INFO_KIND")
    if not isinstance(data, dict):
        return {}
    if kind == "bond":
        return _bond(data, names)
    if kind == "bridge":
        found = _words(data, BRIDGE)
        if VLAN_PROTOCOLS.get(data.get("IFLA_BR_VLAN_PROTOCOL", 0)) == "802.1ad":
            found["vlan_protocol"] = "802.1ad"
        return found
    if kind == "vlan":
        return _vlan(data)
    attribute, word = {"macvlan": ("IFLA_MACVLAN_MODE", "mode"), "vrf": ("IFLA_VRF_TABLE", "table")}.get(kind, ("", ""))
    return {word: str(data[attribute])} if attribute in data else {}


def member_options(link: Message) -> dict[str, str]:
    """The options of a link as a port of a bridge."""
    info = link.get("IFLA_LINKINFO", {})
    data = info.get("IFLA_INFO_SLAVE_DATA")
    is_port = info.get("IFLA_INFO_SLAVE_KIND") == "bridge" and isinstance(data, dict)
    return _words(data, BRIDGE_PORT) if is_port else {}


def bridge_vlans(messages: Iterable[Message], names: Mapping[int, str]) -> dict[str, tuple[str, ...]]:
    """The VLANs of each port of a filtering bridge, and of the bridge itself, in words of `bridge vlan`."""
    found: dict[str, tuple[str, ...]] = {}
    for message in messages:
        if message["index"] not in names:
            continue  # It came after the links were listed.
        vlans = message.get("IFLA_AF_SPEC", {}).get("IFLA_BRIDGE_VLAN_INFO", [])
        found[names[message["index"]]] = tuple(
            str(vlan["vid"])
            + (" pvid" if vlan["flags"] & PVID else "")
            + (" untagged" if vlan["flags"] & UNTAGGED else "")
            for vlan in vlans
        )
    return found


def _words(data: Message, table: Mapping[str, Option]) -> dict[str, str]:
    words = {}
    for attribute, (word, default, values) in table.items():
        value = data.get(attribute, default)
        if value != default:
            words[word] = values[value] if value < len(values) else str(value)
    return words


def _bond(data: Message, names: Mapping[int, str]) -> dict[str, str]:
    mode = MODES[data.get("IFLA_BOND_MODE", 0)]
    found = {"mode": mode, **_words(data, BOND), **_words(data, BOND_IN_MODE.get(mode, {}))}
    targets = [str(target) for target in data.get("IFLA_BOND_ARP_IP_TARGET", ())]
    if targets:
        found["arp_ip_target"] = ",".join(targets)
    primary = names.get(data.get("IFLA_BOND_PRIMARY", 0))
    if primary:
        found["primary"] = primary
    system = str(data.get("IFLA_BOND_AD_ACTOR_SYSTEM", ""))
    if mode == "802.3ad" and system.strip("0:"):
        found["ad_actor_system"] = system
    return found


def _vlan(data: Message) -> dict[str, str]:
    found = {}
    protocol = VLAN_PROTOCOLS.get(data.get("IFLA_VLAN_PROTOCOL", 0x8100), "802.1Q")
    if protocol != "802.1Q":
        found["protocol"] = protocol
    found["id"] = str(data.get("IFLA_VLAN_ID", 0))
    flags = data.get("IFLA_VLAN_FLAGS", {"flags": 0x1})["flags"]
    for flag, (word, default) in VLAN_FLAGS.items():
        if bool(flags & flag) != default:
            found[word] = "off" if default else "on"
    for attribute, word in (
        ("IFLA_VLAN_INGRESS_QOS", "ingress-qos-map"),
        ("IFLA_VLAN_EGRESS_QOS", "egress-qos-map"),
    ):
        mapping = data.get(attribute, {}).get("IFLA_VLAN_QOS_MAPPING", [])
        if mapping:
            found[word] = " ".join(f"{pair['from']}:{pair['to']}" for pair in mapping)
    return found
