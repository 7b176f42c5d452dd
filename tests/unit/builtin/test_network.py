# SPDX-License-Identifier: GPL-3.0-or-later
"""What the rescue system carries for the network."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from rear_core.builtin.network import CLIENTS, rear_rescue_contents
from rear_core.contents import Contents
from rear_core.network import plan as network_plan
from rear_core.network.model import Link, Network
from rear_core.run import Run


def contents(network: Network | None, wireless: str = "") -> Contents:
    run = SimpleNamespace(network=network, settings={"RESCUE_WIRELESS": wireless})
    return rear_rescue_contents(cast(Run, run))


def test_any_network_can_be_set_up_before_one_is_described() -> None:
    found = contents(None)
    assert tuple(found.programs) == ("ip",)
    assert {"bonding", "8021q", "bridge", "ipv6"} <= set(found.modules)


def test_the_clients_that_are_taken_along_are_those_that_are_asked() -> None:
    assert tuple(network_plan.CLIENTS) == CLIENTS
    assert set(CLIENTS) <= set(contents(None).optional_programs)


def test_recorded_links_bring_their_programs_and_drivers() -> None:
    found = contents(
        Network(
            links=(
                Link("eth0", driver="igb"),
                Link("eth1", driver="igb"),
                Link("team0", "team"),
                Link("br0", "bridge", vlans=("1 pvid untagged",)),
            )
        )
    )
    assert tuple(found.programs) == ("ip", "teamd", "bridge")
    assert {"igb", "team", "team_mode_activebackup"} <= set(found.modules)


def test_a_radio_needs_what_joins_its_network_only_where_it_is_asked_for() -> None:
    assert "wpa_supplicant" in contents(None, "Home").programs
    assert "wpa_supplicant" not in contents(None).programs
    assert {"ccm", "cmac"} <= set(contents(None, "yes").modules)
