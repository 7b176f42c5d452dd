# SPDX-License-Identifier: GPL-3.0-or-later
"""Describes the network in recovery/network.json; the rescue system sets it up again, if asked also by radio."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..contents import Contents, merge
from ..errors import RearError
from ..hookspecs import hookimpl
from ..settings.model import Setting
from ..step import Step

if TYPE_CHECKING:
    from ..network.known import KnownNetwork
    from ..network.model import Network
    from ..run import Run

# ip= at the boot prompt can ask for a lease on any machine.
CLIENTS = ("dhclient", "dhcpcd", "udhcpc", "busybox")
MODULES = ("af_packet", "ipv6", "8021q", "bonding", "bridge", "dummy", "macvlan", "vrf")
TEAM_MODES = ("activebackup", "broadcast", "loadbalance", "random", "roundrobin")
TEAM = ("team", *(f"team_mode_{mode}" for mode in TEAM_MODES))


def _is_name(value: str) -> str:
    from ..network.known import LONGEST_NAME

    if value == "no":
        return "must be empty to leave wireless cards out: RESCUE_WIRELESS="
    size = len(os.fsencode(value))
    return "" if size <= LONGEST_NAME else f"must be the name of a network, of up to {LONGEST_NAME} bytes, not {size}"


@hookimpl
def rear_settings() -> Iterable[Setting]:
    yield Setting(
        "RESCUE_WIRELESS",
        str,
        check=_is_name,
        help="Name (SSID) of the wireless network that the rescue system joins, or `yes` for the one that this machine"
        " is connected to when media are made. If empty, wireless cards are left out. NetworkManager, wpa_supplicant,"
        " netplan, iwd or ifupdown must have the key of that network for the whole machine. Security: anyone with the"
        " media can then read that key.",
    )


@hookimpl
def rear_rescue_contents(run: Run) -> Contents:
    """What sets up any network, and the drivers and programs of the recorded one."""
    needed, modules = _recorded(run.network) if run.network else ((), ())
    cable = Contents(
        programs=["ip", *needed],
        optional_programs=[*CLIENTS, "bridge", "ethtool"],
        modules=[*MODULES, *modules],
    )
    return merge([cable, _for_wireless(run)]) if run.settings["RESCUE_WIRELESS"] else cable


def _for_wireless(run: Run) -> Contents:
    """What joins a network, and the file whose change makes media outdated: not that of whichever is in reach now."""
    from ..network import known, wireless

    wanted = run.settings["RESCUE_WIRELESS"]
    watched = [] if wanted == wireless.CURRENT else known.sources(os.fsencode(wanted))
    return Contents(
        programs=["iw", "wpa_supplicant"],
        optional_programs=["wpa_cli"],
        modules=[*wireless.drivers(), *wireless.CIPHERS],
        watched=watched,
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
    from ..network.model import save

    save(look_at_network(run), run.recovery_dir / "network.json")


def look_at_network(run: Run) -> Network:
    """The network as it is now, also as that of the run; warn when there is no address."""
    from ..network.capture import capture

    run.network = capture(run.sh, radios=_radios(run))
    run.report.detail(f"Network: {' '.join(link.name for link in run.network.links) or 'no links'}")
    for item in run.network.left_out:
        run.report.detail(f"Left out: {item.name} ({item.reason})")
    if not run.network.addresses and not any(link.ssid for link in run.network.links):
        run.report.warn("no address was recorded: the rescue system will need the kernel parameter ip=")
    return run.network


def _radios(run: Run) -> dict[str, bytes]:
    """The wireless link to record, with the name of its network; `Refused` where media need one and there is none."""
    from ..network import wireless

    if not (wanted := run.settings["RESCUE_WIRELESS"]):
        return {}
    try:
        return dict([wireless.choose(wanted, wireless.radios(run.sh))])
    except RearError as error:
        if "build" in run.phases:
            raise
        # A backup must not fail because a laptop hangs on a cable today.
        run.report.warn(f"no wireless network is described: {error.message}")
        return {}


@hookimpl
def rear_prep(run: Run) -> Iterable[Step]:
    if "build" in run.phases and run.settings["RESCUE_WIRELESS"]:
        yield Step(15, "Check that there is a wireless card", check_card)
        yield Step(25, "Check that the rescue system can join the wireless network", check_wireless)


def check_card(run: Run) -> None:
    """Raise `Refused` without a wireless card, before anybody installs programs for one."""
    from ..network import wireless

    if not wireless.has_card():
        check_wireless(run)


def check_wireless(run: Run) -> None:
    """Raise `Refused` unless there is a wireless card and the key of its network."""
    for name in _radios(run).values():
        _known(run, name)


def _known(run: Run, name: bytes) -> KnownNetwork:
    from ..network import known

    found = known.find(name)
    for secret in found.secrets:
        run.report.mask(secret)
    return found


@hookimpl
def rear_build(run: Run) -> Iterable[Step]:
    if run.settings["RESCUE_WIRELESS"]:
        yield Step(62, "Add the key of the wireless network", add_wireless)


def add_wireless(run: Run) -> None:
    """Write what wpa_supplicant needs, for the network that was recorded."""
    from ..network import known, wireless
    from ..rescue.tree import Tree

    assert run.network is not None
    for link in run.network.links:
        if link.ssid:
            found = _known(run, os.fsencode(link.ssid))
            text = known.configuration(found)
            Tree(run.rootfs_dir).text(os.fspath(wireless.CONFIGURATION), text, 0o600)
            if found.secrets:
                run.report.say(f"The media hold the key of the wireless network {link.ssid!r}: whoever has them has it")
