# SPDX-License-Identifier: GPL-3.0-or-later
"""Describes the network in recovery/network.json; the rescue system sets it up again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..contents import Contents
from ..hookspecs import hookimpl
from ..step import Step

if TYPE_CHECKING:
    from ..network.model import Network
    from ..run import Run

# ip= at the boot prompt can ask for a lease on any machine.
CLIENTS = ("dhclient", "dhcpcd", "udhcpc", "busybox")
MODULES = ("af_packet", "ipv6", "8021q", "bonding", "bridge", "dummy", "macvlan", "vrf")
TEAM_MODES = ("activebackup", "broadcast", "loadbalance", "random", "roundrobin")
TEAM = ("team", *(f"team_mode_{mode}" for mode in TEAM_MODES))


@hookimpl
def rear_rescue_contents(run: Run) -> Contents:
    """What sets up any network, and the drivers and programs of the recorded one."""
    needed, modules = _recorded(run.network) if run.network else ((), ())
    return Contents(
        programs=["ip", *needed],
        optional_programs=[*CLIENTS, "bridge", "ethtool"],
        modules=[*MODULES, *modules],
    )


def _recorded(network: Network) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The programs and modules without which the recorded links cannot be set up."""
    kinds = {link.kind for link in network.links}
    programs = ("bridge",) if any(link.vlans for link in network.links) else ()
    drivers = tuple(dict.fromkeys(link.driver for link in network.links if link.driver))
    if "team" in kinds:
        return ("teamd", *programs), (*TEAM, *drivers)
    return programs, drivers


@hookimpl
def rear_analyse_dr() -> Iterable[Step]:
    """After the storage; nobody else looks at it in this phase."""
    yield Step(30, "Describe the network", describe_network)


def describe_network(run: Run) -> None:
    """Write the links, addresses, routes and rules of this machine to network.json."""
    from ..network.capture import capture
    from ..network.model import save

    run.network = capture(run.sh)
    save(run.network, run.recovery_dir / "network.json")
    run.report.detail(f"Network: {' '.join(link.name for link in run.network.links) or 'no links'}")
    for item in run.network.left_out:
        run.report.detail(f"Left out: {item.name} ({item.reason})")
    if not run.network.addresses:
        run.report.warn("no address was recorded: the rescue system will need the kernel parameter ip=")
