# SPDX-License-Identifier: GPL-3.0-or-later
"""The network of a rescue system as it finds it."""

from __future__ import annotations

import json
from pathlib import Path

from rear_core.network.apply import present
from rear_core.testing.fake_shell import FakeShell


def test_what_is_never_recorded_takes_no_place_of_a_card(tmp_path: Path) -> None:
    for name in ("eth0", "wwan0", "wlan0", "vf0"):
        (tmp_path / name / "device").mkdir(parents=True)
    card = {"ifname": "eth0", "link_type": "ether", "address": "52:54:00:00:00:01", "mtu": 1500, "flags": ["UP"]}
    modem = {"ifname": "wwan0", "link_type": "none", "mtu": 1500, "flags": ["NOARP"]}
    radio, virtual = {**card, "ifname": "wlan0"}, {**card, "ifname": "vf0"}
    (tmp_path / "wlan0/phy80211").mkdir()
    (tmp_path / "vf0/device/physfn").mkdir()
    sh = FakeShell({"ip -json -details link show": json.dumps([card, modem, radio, virtual])})
    cards, others = present(sh, tmp_path)
    assert [(found.name, found.radio) for found in cards] == [("eth0", False), ("wlan0", True)]
    assert others == ["wwan0", "vf0"]
