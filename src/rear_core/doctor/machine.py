# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of the machine itself: kernel and drivers, boot loader, network, clock, memory, keyboard, keys, identity."""

from __future__ import annotations

import ipaddress
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .. import records
from ..archive.progress import duration, size
from ..health.checks import State
from .drivers import look_at_drivers
from .examination import Probe, Problem, work_area

if TYPE_CHECKING:
    from ..run import Run

# A machine with less than this has not been seen to run the rescue system (docs/explanation/tested.md).
ENOUGH_MEMORY = 768 << 20
# Seconds that a clock may be behind: it was set right since.
SLACK = 60
MEMINFO = Path("/proc/meminfo")
MACHINE_ID = Path("/etc/machine-id")
KEYS = (Path("/root/.ssh/authorized_keys"), Path("/root/.ssh/authorized_keys2"))


def kernel(run: Run) -> Iterator[Problem]:
    """The kernel that media would have now; after an update without a restart the running one has no modules."""
    from ..system.kernel import choose

    run.kernel = choose(run)
    advice = "restart the machine with a kernel that is installed as a whole, then run `rear mkrescue`"
    if run.system.virtualization.startswith("container:"):
        advice = "run rear on the machine itself"
    for warning in run.kernel.warnings:
        yield Problem(State.WARNING, warning, advice)
    yield Problem(State.OK, f"{run.kernel.version} has its image and its modules")


def boot_loader(run: Run) -> Iterator[Problem]:
    """The boot loaders that a recovery installs again, by the functions that describe them."""
    from ..builtin.system import look_for_boot_loaders

    mode = run.system.firmware.mode.upper()
    yield Problem(State.OK, f"{', '.join(look_for_boot_loaders(run))} ({mode})")


def network(run: Run) -> Iterator[Problem]:
    """The network that the rescue system sets up."""
    from ..builtin.network import look_at_network

    found = look_at_network(run)
    names = " ".join(link.name for link in found.links) or "no links"
    left_out = ", ".join(f"{entry.name} ({entry.reason})" for entry in found.left_out)
    yield Problem(State.OK, f"{names} will be set up" + (f"; left out: {left_out}" if left_out else ""))


def server_names(run: Run) -> Iterator[Problem]:
    """The servers of all settings that are URLs, by the resolver of this machine."""
    from ..storage.spared import urls

    named: dict[str, list[str]] = {}
    for setting, url in urls(run).items():
        if url.host and not _is_address(url.host):
            named.setdefault(url.host, []).append(setting)
    for host, settings in named.items():
        # getent(1): 2 for a name that is not known.
        if run.sh.run("getent", "ahosts", host, ok=(0, 2), timeout=30).status:
            yield Problem(
                State.CRITICAL,
                f"the server {host} of {' and '.join(settings)} has no address",
                "correct the name, or give it an address in /etc/hosts, which the rescue system gets",
            )
    yield Problem(State.OK, f"{' '.join(named)}: known" if named else "no setting names a server")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return False
    return True


def clock(run: Run) -> Iterator[Problem]:
    """By its time a backup is told from others, and certificates of servers are valid or not."""
    ended = max((record.ended for record in records.load(run.var_dir)), default=0)
    advice = "set the clock: `timedatectl set-ntp true`, or `date --set`"
    if (behind := ended - time.time()) > SLACK:
        moment = time.strftime("%Y-%m-%d %H:%M", time.gmtime(ended))
        text = f"the last run of rear ended at {moment} UTC, {duration(behind)} after what the clock says now"
        yield Problem(State.CRITICAL, text, advice)
    if run.system.virtualization.startswith("container:"):
        yield Problem(State.OK, "it is that of the host")
        return
    synchronized = ""
    if run.sh.which("timedatectl"):
        # Without D-Bus it says nothing on its standard output.
        command = ("timedatectl", "show", "--property=NTPSynchronized", "--value")
        synchronized = run.sh.query(*command, ok=range(256), timeout=30).strip()
    if synchronized == "no":
        yield Problem(State.WARNING, "no time server has set it", f"install chrony or systemd-timesyncd; {advice}")
    yield Problem(State.OK, "a time server sets it" if synchronized == "yes" else "not before the last run of rear")


def memory(_run: Run) -> Iterator[Problem]:
    """The rescue system runs in memory."""
    found = re.search(r"^MemTotal:\s+(\d+) kB$", MEMINFO.read_text(), re.MULTILINE)
    total = int(found[1]) * 1024 if found else 0
    # The kernel keeps some of it for itself.
    if 0 < total < ENOUGH_MEMORY * 0.9:
        yield Problem(
            State.WARNING,
            f"{size(total)}: the rescue system was only seen to run with {size(ENOUGH_MEMORY)} or more",
            "give the machine more memory for a recovery, or leave drivers out (EXCLUDE_MODULES); then try the media",
        )
    yield Problem(State.OK, f"{size(total)} for the rescue system")


def keyboard(run: Run) -> Iterator[Problem]:
    """The layout that the console of the rescue system gets, made in the work area as media make it."""
    from ..questions import KEYMAP_NAME
    from ..rescue.keymap import add_keymap
    from ..rescue.tree import Tree

    tree = Tree(work_area(run) / "keyboard")
    add_keymap(run.sh, tree, run.report.warn)
    name = tree.inside(KEYMAP_NAME)
    yield Problem(State.OK, f"layout {name.read_text().strip()}" if name.is_file() else "layout of the US")


def remote_login(run: Run) -> Iterator[Problem]:
    """Who can log in to the rescue system: nobody has to, where there is a console."""
    keys = [path for path in KEYS if path.is_file() and path.read_text(errors="replace").strip()]
    if not run.sh.which("sshd"):
        yield Problem(State.OK, "no sshd is installed: only the console reaches the rescue system")
    elif keys:
        for path in keys if run.sh.which("ssh-keygen") else ():
            if run.sh.run("ssh-keygen", "-l", "-f", path, ok=range(256), timeout=30).status:
                yield Problem(State.WARNING, f"{path} has no key that ssh-keygen can read", "put a public key there")
        yield Problem(State.OK, "the keys of root log in to the rescue system by ssh")
    elif run.settings["SSH_ROOT_PASSWORD"]:
        yield Problem(State.OK, "a password logs in to the rescue system by ssh")
    else:
        text = "nobody can: root has no authorized_keys, and SSH_ROOT_PASSWORD is not set; the console is enough"
        yield Problem(State.OK, text)


def machine_id(_run: Run) -> Iterator[Problem]:
    """What tells this machine's backups from those of another one of its name."""
    try:
        text = MACHINE_ID.read_text(errors="replace").strip()
    except OSError:
        text = ""
    if not re.fullmatch("[0-9a-f]{32}", text):
        yield Problem(
            State.WARNING,
            f"{os.fspath(MACHINE_ID)} has none: backups of machines of one name cannot be told apart",
            "run `systemd-machine-id-setup`, or `dbus-uuidgen --ensure=/etc/machine-id`",
        )


BEFORE = (
    Probe("kernel", "", kernel),
    Probe("network", "", network, "check the addresses and routes of this machine"),
)
AFTER = (
    Probe("drivers", "the rescue system has those of the disks and network cards in use", look_at_drivers),
    Probe("boot-loader", "", boot_loader, "mount or install what is missing, and try the recovery with `rear drill`"),
    Probe("servers", "", server_names),
    Probe("clock", "", clock),
    Probe("memory", "", memory),
    Probe("keyboard", "", keyboard, "install the package console-setup or kbd"),
    Probe("remote-login", "", remote_login),
    Probe("machine-id", "there is one", machine_id),
)
