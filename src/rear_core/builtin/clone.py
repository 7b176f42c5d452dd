# SPDX-License-Identifier: GPL-3.0-or-later
"""Recovers a machine as another one, beside the one it was made from: a copy for a laboratory."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigurationError, RearError
from ..hookspecs import hookimpl
from ..step import Step

if TYPE_CHECKING:
    from ..network.model import Network
    from ..run import Run

# What was asked for in this rescue system: who resumes a recovery must not get the old machine by forgetting a word.
CHOSEN = Path("/run/rear/identity")
COMMAND_LINE = Path("/proc/cmdline")
# How many lines with old addresses the report has.
MENTIONED = 20
# Bytes of what may be configuration.
LARGEST = 1 << 18


def wanted(run: Run) -> str | None:
    """The identity that is asked for: by --identity, by an earlier run, by the kernel parameter; None for the old one.

    The kernel parameter may be empty, which is no identity.
    """
    from ..network.identity import asked_for

    if run.options.identity:
        return run.options.identity
    if CHOSEN.is_file():
        return CHOSEN.read_text().strip()
    return asked_for(COMMAND_LINE.read_text()) if "finalize" in run.phases else None


@hookimpl
def rear_verify(run: Run) -> Iterable[Step]:
    if "finalize" in run.phases and wanted(run) is not None:
        yield Step(2, "Check the identity of the clone", check_identity)


@hookimpl
def rear_finalize(run: Run) -> Iterable[Step]:
    if wanted(run) is not None:
        yield Step(36, "Give the clone its own identity", make_clone)


def check_identity(run: Run) -> None:
    """Raise `ConfigurationError` unless the identity can be read and fits the network of this machine."""
    from ..network.identity import check_links, load

    word = wanted(run) or ""
    found, recorded = load(word), _recorded(run)
    check_links(found, recorded)
    name = found.named(_hostname(run))
    # A name with another domain, or in capitals, is still that of the other machine for whoever asks by the short one.
    if _short(name) == _short(_hostname(run)):
        raise ConfigurationError(f"{word}: HOST_NAME={name} is the name of the other machine", "choose another one")
    if CHOSEN.parent.is_dir():
        CHOSEN.write_text(word)
    run.report.say(f"This recovery makes a clone: {name}, which is another machine than {_hostname(run)}")
    _warn_of_own_addresses(run, recorded)


def _warn_of_own_addresses(run: Run, recorded: Network) -> None:
    """The rescue system may have taken the addresses of the other machine before anybody said that this is a clone."""
    from ..network.identity import Identity
    from ..network.readdress import old_addresses

    shown = run.sh.json("ip", "-json", "address", "show")
    here = {found.get("local", "") for link in shown for found in link.get("addr_info", ())}
    static = [address for address in recorded.addresses if not address.dynamic]
    own = set(old_addresses(type(recorded)(addresses=tuple(static)), Identity())) & here
    if own:
        run.report.warn(
            f"this rescue system has addresses of the other machine ({', '.join(sorted(own))}): if that is on the same"
            " network, restart with the kernel parameter rear.identity=dhcp"
        )


def _recorded(run: Run) -> Network:
    from ..network.model import Network, load

    path = run.recovery_dir / "network.json"
    return load(path) if path.is_file() else Network()


def _hostname(run: Run) -> str:
    from ..finalize import recorded

    return str(recorded.description(run)["system"]["hostname"])


def _short(name: str) -> str:
    return name.partition(".")[0].casefold()


def make_clone(run: Run) -> None:
    """Take all that is the other machine's from the restored system; what cannot be taken is a problem."""
    from ..finalize import clone
    from ..finalize.decision import COPIED
    from ..finalize.names import change_words, files_with_words
    from ..network.identity import load
    from ..network.readdress import old_addresses, readdress

    identity, network, recovery = load(wanted(run) or ""), _recorded(run), run.recovery
    name, old = identity.named(_hostname(run)), old_addresses(_recorded(run), identity)
    recovery.differences.append(f"this is a clone of {_hostname(run)}, called {name}")
    recovery.done += clone.rename(run.target, clone.names(run.target, _hostname(run)), name, old)
    recovery.done += clone.new_machine_id(run.target)
    done = readdress(run.target, network, identity, _macs(run, network))
    recovery.done += done.changes
    # Of these an initramfs has a copy.
    recovery.rewritten += [change.partition(":")[0] for change in done.changes if change.startswith(COPIED)]
    recovery.problems += done.problems
    files = files_with_words(run.plugins.call("rear_boot_loaders"))
    for file in change_words(run.target, files, clone.lease_early):
        recovery.done.append(f"{file}: ip=dhcp in the place of an address of the other machine")
        recovery.rewritten += [file] if file.startswith(COPIED) else []
    _make_host_keys(run, clone.new_host_keys(run.target))
    recovery.differences += [
        *clone.switch_off(run.target), *clone.forget_owner(run.target, run.var_dir), *clone.remarks(run.target),
    ]  # fmt: skip
    recovery.differences += _mentions(run, old)


def _macs(run: Run, network: Network) -> dict[str, str]:
    """The names of the recorded links by the addresses of their cards: those of then, and those of here."""
    from ..network.apply import present
    from ..network.model import CARD
    from ..network.rename import replaced_cards

    found = {link.hardware_mac.lower(): link.name for link in network.links if link.kind == CARD}
    new = replaced_cards(network, present(run.sh)[0])
    return {**found, **{card.hardware_mac.lower(): name for name, (_, card) in new.items()}}


def _make_host_keys(run: Run, removed: list[str]) -> None:
    """New ones where there were some; without any sshd would not start, and with the old ones it would lie."""
    from ..boot.chroot import run_inside

    if not removed:
        return
    try:
        run_inside(run, "ssh-keygen", "-A")
        run.recovery.done.append("/etc/ssh: new host keys")
    except RearError as error:
        run.recovery.problems.append(f"the clone has no ssh host keys: {error.message}; run `ssh-keygen -A` in it")


def _mentions(run: Run, old: list[str]) -> list[str]:
    """Where else in /etc an address of the other machine stands."""
    from .. import recovered
    from ..network.readdress import mentions

    found = []
    # What rear knows of the machine it was made from is no configuration.
    described = run.target / "etc/rear/recovery"
    for path in sorted((run.target / "etc").rglob("*")) if old else ():
        if described in path.parents or path.is_symlink() or not path.is_file() or path.stat().st_size > LARGEST:
            continue
        text = recovered.read(path)
        if "\0" not in text and (lines := mentions(text, old)):
            name = os.fspath(Path("/") / path.relative_to(run.target))
            found.append(f"{name}, line {lines[0]}: an address of the other machine; rear left it unchanged")
    return found[:MENTIONED] + ([f"{len(found) - MENTIONED} more files name it"] if found[MENTIONED:] else [])
