# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets up the recorded network in the rescue system, with nothing but `ip` and what the recorded links need.

`python -m rear_core.network.apply [network.json]`, in the rescue system also `rear-network`. Prints one
line for each link; details go to /var/log/rear-network.log. Exit status: 0 everything is up, 1 something
is not, 2 the description or ip= cannot be used.
"""

from __future__ import annotations

import shlex
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError, ExitCode, ProgramFailed, RearError
from ..report import Report, explanation
from ..shell import Shell
from . import identity, wireless
from .lease import write_resolver
from .model import CARD, Link, Network, hardware, load, odd_card
from .parameter import find, override, parse
from .plan import CLIENTS, LEASE_SCRIPT, Command, Match, Plan, default_metrics, match, plan

__all__ = ["Command", "Match", "Plan", "apply", "main", "match", "plan", "present"]

DESCRIPTION = Path("/etc/rear/recovery/network.json")
LOG = Path("/var/log/rear-network.log")

# Seconds: for drivers to find their cards, radios with their firmware, for a cable to be seen, for a DHCP server to
# answer.
CARD_WAIT, RADIO_WAIT, CARRIER_WAIT, LEASE_WAIT = 5, 15, 5, 20


def present(sh: Shell, sysfs: Path = Path("/sys/class/net")) -> tuple[list[Link], list[str]]:
    """The cards of this machine, and the names of its virtual links."""
    cards, others = [], []
    links = sh.json("ip", "-json", "-details", "link", "show")
    links = [link for link in links if link["link_type"] != "loopback"]
    contained = not any((sysfs / link["ifname"] / "device").exists() for link in links)
    for link in links:
        kind = link.get("linkinfo", {}).get("info_kind", "")
        cable = contained and kind == "veth" and "link_netnsid" in link
        is_card = kind in ("", "ipoib") and (sysfs / link["ifname"] / "device").exists()
        # A modem that speaks IP and nothing below it has no address, and is not recorded.
        is_card = is_card and "address" in link and not odd_card(sysfs, link["ifname"])
        if cable or is_card:
            cards.append(_card(link, kind, sysfs))
        else:
            others.append(link["ifname"])
    return cards, others


def _card(link: dict[str, Any], kind: str, sysfs: Path) -> Link:
    found = hardware(sysfs, link["ifname"])
    permanent = link.get("permaddr", "")
    return replace(
        found,
        driver=found.driver or kind,
        mac=link["address"],
        permanent_mac="" if permanent == link["address"] else permanent,
        mtu=link["mtu"],
        up="UP" in link["flags"],
    )


def wait_for_cards(sh: Shell, cables: int, radios: int = 0) -> tuple[list[Link], list[str]]:
    """What is present as soon as there are so many cards of both kinds, or after some seconds."""
    deadline = time.monotonic() + (RADIO_WAIT if radios else CARD_WAIT)
    while True:
        cards, others = present(sh)
        found = sum(card.radio for card in cards)
        if (found >= radios and len(cards) - found >= cables) or time.monotonic() > deadline:
            return cards, others
        time.sleep(0.5)


def apply(network: Network, todo: Plan, sh: Shell) -> dict[str, list[str]]:
    """Run the plan; what fails never stops the rest. The remarks on each link, failures marked as such."""
    remarks: dict[str, list[str]] = {found.link: [] for found in todo.matches}
    wireless.leave()
    _write_lease_script(network)
    try:
        write_resolver(network.resolver)
    except OSError as error:
        remarks.setdefault("", []).append(f"FAILED: /etc/resolv.conf: {error.strerror}")
    for command in todo.commands:
        remarks.setdefault(command.link, []).extend(_perform(command, sh))
    return remarks


def _perform(command: Command, sh: Shell) -> list[str]:
    try:
        if command.lease and not _wait_for_carrier(command.link):
            raise RearError("no carrier")
        if command.ssid:
            wireless.join(sh, command.link, command.ssid)
        else:
            sh.run(*command.argv, timeout=LEASE_WAIT if command.lease else 30)
    except RearError as error:
        if command.argv[2:4] == ("rule", "add") and "File exists" in _last_line(error):
            return []
        if command.ssid and not isinstance(error, ProgramFailed):
            return [f"FAILED: {error.message}"]
        if not command.otherwise:
            return [f"FAILED: {shlex.join(command.argv)}: {_last_line(error)}"]
        remarks = [f"no lease ({_last_line(error)}), using the recorded one"] if command.lease else []
        return remarks + [remark for instead in command.otherwise for remark in _perform(instead, sh)]
    return []


def _last_line(error: RearError) -> str:
    lines = error.output.strip().splitlines() if isinstance(error, ProgramFailed) else []
    return lines[-1].strip() if lines else error.message


def _wait_for_carrier(link: str) -> bool:
    carrier = Path("/sys/class/net") / link / "carrier"
    deadline = time.monotonic() + CARRIER_WAIT
    while True:
        try:
            if carrier.read_text().strip() == "1":
                return True
        except OSError:
            pass  # A link that is down has no carrier to read.
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)


def _write_lease_script(network: Network) -> None:
    """The program for the DHCP client, with the metric of each link's default route."""
    metrics = [f"{link}={metric}" for link, metric in default_metrics(network.routes).items()]
    python = shlex.join([sys.executable, "-m", "rear_core.network.lease", *metrics, "--"])
    script = Path(LEASE_SCRIPT)
    path = shlex.quote(":".join(sys.path))
    script.write_text(f'#!/bin/sh\nPYTHONPATH={path} exec {python} "$@"\n')
    script.chmod(0o700)


def summary(network: Network, todo: Plan, remarks: dict[str, list[str]], sh: Shell) -> list[str]:
    """One line for each link."""
    shown = {link["ifname"]: link["addr_info"] for link in sh.json("ip", "-json", "address", "show")}
    missing = {item.name: item.reason for item in todo.missing}
    cards = {found.link: f" ({found.card}, {found.reason})" for found in todo.matches}
    lines = []
    for link in network.links:
        found = [a for a in shown.get(link.name, []) if a["scope"] != "link" and "local" in a]
        addresses = " ".join(f"{a['local']}/{a['prefixlen']}" for a in found)
        state = [addresses or ("up" if link.up else "down"), *remarks.get(link.name, [])]
        failures = [remark for remark in state if remark.startswith("FAILED")]
        if link.name in missing:
            lines.append(f"{link.name}: {'FAILED: ' if link.up else ''}{missing[link.name]}")
        else:
            text = failures[0] if failures else ", ".join(state)
            lines.append(f"{link.name}{cards.get(link.name, '')}: {text}")
    return lines + [f"rules and name servers: {remark}" for remark in remarks.get("", [])]


def main(arguments: Sequence[str]) -> int:
    """Set up the network of the description, or what ip= asks for."""
    report = Report(terminal=sys.stdout)
    try:
        report.open_log(LOG)
        return _set_up(Path(arguments[0]) if arguments else DESCRIPTION, report)
    except RearError as error:
        for line in explanation(error, report.log_path):
            report.say(line)
        return int(error.exit_code)
    finally:
        report.close()


def _set_up(description: Path, report: Report) -> int:
    sh = Shell(log=report.log)
    command_line = Path("/proc/cmdline").read_text()
    asked, other = find(command_line), identity.asked_for(command_line)
    network = load(description) if description.exists() or not (asked or other is not None) else Network()
    used = [link for link in network.links if link.kind == CARD and link.up]
    radios = sum(link.radio for link in used)
    cards, others = wait_for_cards(sh, len(used) - radios if used else len(asked), radios)
    status = ExitCode.DONE
    if other is not None:
        network, status = _of_clone(network, other, cards, report)
        socket.sethostname(network.hostname)
    if asked:
        try:
            network = override(network, [parse(value) for value in asked], cards)
        except ConfigurationError as error:
            # A typing error at the boot prompt must not leave the machine without any network.
            for line in explanation(error):
                report.say(line)
            status = ExitCode.CONFIGURATION
        else:
            if network.hostname:
                socket.sethostname(network.hostname)
    client = next((name for name in CLIENTS if sh.which(name)), "")
    todo = plan(network, cards, others, client)
    lines = summary(network, todo, apply(network, todo, sh), sh)
    for line in lines:
        report.say(line)
    failed = [line.partition(":")[0] for line in lines if "FAILED" in line]
    again = [line.partition("FAILED: ")[2] for line in lines if "FAILED: wireless " in line]
    if failed:
        retry = f" ({'; '.join(again)}: to try again, run rear-network)" if again else ""
        report.say(f"differs from the record: {', '.join(failed)}{retry}; details: {report.log_path}")
    return int(ExitCode.FAILED if failed else status)


def _of_clone(network: Network, word: str, cards: Sequence[Link], report: Report) -> tuple[Network, ExitCode]:
    """The network of another identity; by DHCP where that cannot be read, and never with the recorded addresses."""
    found, status = identity.Identity(), ExitCode.DONE
    try:
        found = identity.load(word)
        identity.check_links(found, network)
    except ConfigurationError as error:
        for line in explanation(error):
            report.say(line)
        found, status = identity.Identity(hostname=found.hostname), ExitCode.CONFIGURATION
    return identity.set_up(network, found, cards), status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
