# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives the configuration of a restored system other addresses, in the language of whatever sets its network up.

A clone that comes up with the addresses of the machine it was made from takes that off the network. So a link that had
addresses gets those that are wanted, or DHCP; and a file that this does not understand, or that still names an old
address afterwards, is put aside: then its links stay down.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ... import recovered
from ..identity import Identity
from ..model import Network
from ..rename import CONFIGURATION
from . import dhclient, dhcpcd, ifcfg, ifupdown, keyfile, netplan, networkd
from .wanted import NotUnderstood, Wanted

# Outside of all folders in which a file counts whatever its name is.
ASIDE = "/var/lib/rear/aside"

Rewrite = Callable[[str, str, Wanted], str]

# The files of each family but ifupdown, with what rewrites the text of one of that name.
FAMILIES: Sequence[tuple[str, Rewrite]] = (
    ("/etc/netplan/*.yaml", netplan.rewritten),
    ("/etc/NetworkManager/system-connections/*", keyfile.rewritten),
    ("/etc/systemd/network/*.network", networkd.rewritten),
    ("/etc/systemd/network/*.network.d/*.conf", networkd.rewritten),
    ("/etc/systemd/network/*.netdev", networkd.rewritten),
    ("/etc/systemd/network/*.link", networkd.rewritten),
    ("/etc/sysconfig/network-scripts/ifcfg-*", ifcfg.of_redhat),
    ("/etc/sysconfig/network/ifcfg-*", ifcfg.of_suse),
    ("/etc/sysconfig/network/config", ifcfg.netconfig),
    ("/etc/systemd/networkd.conf", networkd.rewritten),
    ("/etc/systemd/networkd.conf.d/*.conf", networkd.rewritten),
    ("/etc/dhcpcd.conf", dhcpcd.rewritten),
    ("/etc/dhcp/dhclient*.conf", dhclient.rewritten),
    ("/etc/dhclient*.conf", dhclient.rewritten),
)
# What leads to the old networks alone, or is in a language that nothing here writes.
PUT_ASIDE = (
    "/etc/sysconfig/network-scripts/route-*", "/etc/sysconfig/network-scripts/route6-*",
    "/etc/sysconfig/network-scripts/rule-*", "/etc/sysconfig/network-scripts/rule6-*", "/etc/sysconfig/network/routes",
    "/etc/sysconfig/network/ifroute-*", "/etc/sysconfig/network/ifrule-*",
)  # fmt: skip
UNKNOWN = ("/etc/wicked/ifconfig/*.xml", "/etc/wireguard/*.conf")
# A client asks for the address again that it had, and takes it where no server answers.
LEASES = (
    "/var/lib/dhcp/dhclient*", "/var/lib/dhclient/*", "/var/lib/dhcpcd/*", "/var/lib/dhcpcd5/*",
    "/var/lib/NetworkManager/*lease*", "/var/lib/NetworkManager/secret_key", "/var/lib/wicked/*.xml",
    "/var/lib/systemd/network/*", "/etc/dhcpcd.duid", "/etc/dhclient.duid",
)  # fmt: skip
MORE = (
    "/etc/dhcp/dhclient*.conf", "/etc/dhclient*.conf", "/etc/rc.local", "/usr/lib/netplan/*.yaml",
    "/usr/lib/systemd/network/*.network", "/usr/local/lib/systemd/network/*.network",
    "/usr/lib/NetworkManager/system-connections/*",
)  # fmt: skip


@dataclass
class Done:
    """What came of it: changes, and what somebody has to do before the clone has its network."""

    changes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def readdress(target: Path, recorded: Network, identity: Identity, macs: Mapping[str, str]) -> Done:
    """Rewrite all configuration of the network; `macs` are the names of links by the addresses of their cards."""
    done, wanted = Done(), Wanted(identity, {mac.lower(): name for mac, name in macs.items()})
    texts = [_rewrite(target, done, name, path, ifupdown.rewritten, wanted) for name, path in ifupdown.files(target)]
    for pattern, rewrite in FAMILIES:
        for name, path in list(recovered.find(target, pattern)):
            texts.append(_rewrite(target, done, name, path, rewrite, wanted))
    for name, path in _found(target, PUT_ASIDE):
        _aside(target, name, path)
        done.changes.append(f"{name}: put aside in {ASIDE}, its routes are those of the other machine")
    for name, path in _found(target, UNKNOWN):
        _put_aside(target, done, name, path, "nothing here can write such a file")
    for name, created, text in ifcfg.routes_of_suse(target, wanted):
        recovered.create(created, text)
        texts.append(text)
        done.changes.append(f"{name}: the gateway of the clone")
    for _, path in _found(target, LEASES):
        path.unlink()
    _audit(target, done, recorded, wanted)
    done.problems += _unwritten("\n".join(texts), identity)
    return done


def _unwritten(text: str, identity: Identity) -> Iterator[str]:
    """What the text of all files lacks: none names the link, or the language of one has no words for it."""

    def lost(addresses: Iterable[str]) -> str:
        return " ".join(each for each in addresses if not mentions(text, [each.partition("/")[0]]))

    for link, addresses in identity.addresses.items():
        if missing := lost(addresses):
            yield f"{link} should have {missing}, but no configuration of the network could be given that"
    for what, servers in (("gateways", identity.gateways), ("name servers", identity.nameservers)):
        if missing := lost(servers):
            yield f"no configuration of the network could be given the {what} {missing}"


def _rewrite(target: Path, done: Done, name: str, path: Path, rewrite: Rewrite, wanted: Wanted) -> str:
    """Rewrite a file; its text, "" for one that was put aside."""
    text = recovered.read(path)
    try:
        new = rewrite(path.name, text, wanted)
    except NotUnderstood as reason:
        _put_aside(target, done, name, path, str(reason))
        return ""
    if new != text:
        recovered.replace(path, new)
        done.changes.append(f"{name}: what the clone is in the network")
    return new


def _put_aside(target: Path, done: Done, name: str, path: Path, reason: str) -> None:
    _aside(target, name, path)
    done.problems.append(f"{name}: put aside in {ASIDE}, and its links are down: {reason}; write it for this clone")


def _aside(target: Path, name: str, path: Path) -> None:
    place = recovered.inside(target, f"{ASIDE}{name}")
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # /var may be a file system of its own.
    shutil.move(path, place)


def _found(target: Path, patterns: Iterable[str]) -> list[tuple[str, Path]]:
    return list(dict(pair for pattern in patterns for pair in recovered.find(target, pattern)).items())


def old_addresses(recorded: Network, identity: Identity) -> list[str]:
    """Those of the other machine that the clone must not have, without their prefix lengths."""
    kept = {address.partition("/")[0] for addresses in identity.addresses.values() for address in addresses}
    found = (address.address.partition("/")[0] for address in recorded.addresses if address.scope == "global")
    return sorted({*found} - kept)


def mentions(text: str, addresses: Sequence[str]) -> list[int]:
    """The numbers of the lines, other than remarks, that have one of the addresses."""
    any_of = "|".join(map(re.escape, addresses)) or "(?!)"
    pattern = re.compile(rf"(?<![\w.:])(?:{any_of})(?![\w:]|\.\w)", re.IGNORECASE)
    lines = enumerate(text.splitlines(), 1)
    return [number for number, line in lines if not line.lstrip().startswith(("#", ";")) and pattern.search(line)]


def _audit(target: Path, done: Done, recorded: Network, wanted: Wanted) -> None:
    """Whatever still has an old address is put aside: nothing sets that up any more."""
    old = old_addresses(recorded, wanted.identity)
    for name, path in {
        **dict(_found(target, (*CONFIGURATION, "/etc/dhcpcd.conf", *MORE))), **dict(ifupdown.files(target)),
    }.items():  # fmt: skip
        if lines := mentions(recovered.read(path), old):
            _put_aside(target, done, name, path, f"its line {lines[0]} has an address of the other machine")
