# SPDX-License-Identifier: GPL-3.0-or-later
"""iSCSI: disks that are units of a target at the other end of a network."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rear_core.contents import Contents
from rear_core.errors import ProgramFailed, RearError
from rear_core.rescue.tree import Tree
from rear_core.shell import Shell
from rear_core.storage.command import Site
from rear_core.storage.disk import Disk
from rear_core.storage.inventory import Device
from rear_core.storage.kinds import StorageKind
from rear_core.storage.layout import Item, Layout, of_type
from rear_core.storage.survey import Survey

# Where open-iscsi keeps its records, and Red Hat and newer releases theirs.
FOLDERS = ("/etc/iscsi", "/var/lib/iscsi")
# In iscsid.conf and in records: node.session.auth.password = ...; in iscsi.initramfs: ISCSI_PASSWORD="..."
PASSWORD = re.compile(r"^[ \t]*(?:[\w.\[\]]+\.password(?:_in)?|ISCSI_(?:IN_)?PASSWORD)[ \t]*=[ \t]*\S.*$", re.MULTILINE)
# As udev names a disk by its place: ip-192.0.2.1:3260-iscsi-iqn.2026-11.example:web1-lun-1
PLACE = re.compile(r"^ID_PATH=(?:\S*-)?ip-(\S+):(\d+)-iscsi-(\S+)-lun-(\S+)$", re.MULTILINE)
# $ iscsiadm --mode session
# tcp: [1] 192.0.2.1:3260,1 iqn.2026-11.example:web1 (non-flash)
SESSION = re.compile(r"^\S+ \[\d+\] (\S+),-?\d+ (\S+)", re.MULTILINE)
# Exit statuses of iscsiadm(8).
NOTHING_FOUND, IS_THERE, NO_AUTHORIZATION = 21, 15, 24
# An initiator that was started, also one that waits to be, listens there.
DAEMON = "@ISCSIADM_ABSTRACT_NAMESPACE"
FIRMWARE = Path("/sys/firmware/ibft")
LOGIN_SECONDS = 300
# A portal that does not answer is no reason to wait for minutes.
PATIENCE = {"node.session.initial_login_retry_max": "2", "node.conn[0].timeo.login_timeout": "10"}
# Portals that this process has tried in vain.
_silent: set[tuple[str, str]] = set()


@dataclass(frozen=True)
class IscsiUnit(Item):
    """A unit of a target. `portals` are the addresses at which the machine had sessions with the target, as
    `192.0.2.1:3260` or `[2001:db8::1]:3260`; with several of them its disk has several paths."""

    type = "iSCSI unit"
    noun = "iSCSI unit"
    dracut = "iscsi"
    is_device = False
    is_remote = True

    target: str
    lun: str
    portals: tuple[str, ...] = field(default=(), compare=False)

    @property
    def modules(self) -> frozenset[str]:
        """The initiator of the kernel; a card that is one itself brings its own driver."""
        return frozenset({"iscsi_tcp"})


def places(sh: Shell, devices: Iterable[Device]) -> Iterator[tuple[str, IscsiUnit]]:
    """The paths of those devices that are units, each with what it is by this path."""
    for device in devices:
        if device.transport != "iscsi":
            continue
        known = sh.query("udevadm", "info", "--query=property", f"--name={device.path}")
        if found := PLACE.search(known):
            address, port, target, lun = found.groups()
            portal = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
            yield device.path, IscsiUnit(f"iscsi:{target}/{lun}", (), target, lun, (portal,))


def capture(survey: Survey) -> Iterator[Item]:
    """The units of all paths that there are, and which disk is reached by which of them."""
    units: dict[str, set[str]] = {}
    found = {}
    for path, unit in places(survey.sh, survey.devices.values()):
        survey.reached[path] = unit.id
        units.setdefault(unit.id, set()).update(unit.portals)
        found[unit.id] = unit
    for id, unit in found.items():
        yield IscsiUnit(id, (), unit.target, unit.lun, tuple(sorted(units[id])))


def contents(_layout: Layout) -> Contents:
    """The initiator; its name and its records come by `configure`, but for those with passwords: RESCUE_ALLOW_SECRETS
    has to name them."""
    secret = with_passwords()
    return Contents(
        programs=["iscsid", "iscsiadm"],
        optional_programs=["iscsistart", "iscsiuio"],
        modules=["iscsi_tcp", "iscsi_ibft", "be2iscsi", "bnx2i", "cxgb3i", "cxgb4i", "ib_iser", "qedi", "qla4xxx"],
        files=secret,
        secrets=secret,
        watched=[f"{FOLDERS[0]}/initiatorname.iscsi", f"{FOLDERS[0]}/iscsid.conf"],
    )


def _files() -> dict[str, str]:
    """The text of all files of this machine's initiator by path: its name, its settings, its records."""
    names = sorted(os.path.join(folder, name) for top in FOLDERS for folder, _, names in os.walk(top) for name in names)
    return {name: Path(name).read_text(errors="surrogateescape") for name in names if os.path.isfile(name)}


def with_passwords() -> list[str]:
    """Those of them that hold passwords of CHAP."""
    return [name for name, text in _files().items() if PASSWORD.search(text)]


def configure(tree: Tree) -> None:
    """Take them along as only root may read them, without passwords; those that are to be there with them are."""
    for name, text in _files().items():
        if not tree.has(name):
            tree.text(name, PASSWORD.sub("", text), 0o600)


def notes(_unit: IscsiUnit, _site: Site) -> Iterator[str]:
    """Who has to type passwords in a recovery should know before."""
    if found := with_passwords():
        yield (
            f"the rescue system gets the passwords in {', '.join(found)} only if RESCUE_ALLOW_SECRETS names these"
            " files: without them, recover stops until you have entered them"
        )


def connect(layout: Layout, sh: Shell, warn: Callable[[str], None]) -> None:
    """Log in at all portals, by the firmware's own record and those of the machine. One that does not answer is a
    warning, as long as each disk has another path; a disk without any is an error."""
    units = layout.of(IscsiUnit)
    wanted = {(unit.target, portal) for unit in units for portal in unit.portals}
    missing = sorted(wanted - sessions(sh) - _silent)
    if missing:
        _start(sh)
        if FIRMWARE.is_dir():
            sh.run("iscsiadm", "--mode", "fw", "--login", ok=range(256), timeout=LOGIN_SECONDS)
    failures: dict[str, ProgramFailed] = {}
    for target, portal in missing:
        try:
            _log_in(sh, target, portal)
        except ProgramFailed as error:
            _silent.add((target, portal))
            failures[f"{target} at {portal}"] = error
    if missing:
        sh.run("udevadm", "settle", "--timeout=60")
        _check_paths(layout, sh, failures)
    for place, failure in failures.items():
        warn(f"a path to iSCSI disks is missing: cannot log in to {place}: {_why(failure)}")


def sessions(sh: Shell) -> set[tuple[str, str]]:
    """The targets that this machine has sessions with, each with its portal."""
    text = sh.query("iscsiadm", "--mode", "session", ok=(0, NOTHING_FOUND))
    return {(target, portal) for portal, target in SESSION.findall(text)}


def _start(sh: Shell) -> None:
    sh.run("modprobe", "--all", "--quiet", "iscsi_tcp", "iscsi_ibft", ok=(0, 1))
    if DAEMON not in Path("/proc/net/unix").read_text():
        sh.run("iscsid")


def _log_in(sh: Shell, target: str, portal: str) -> None:
    record = ("iscsiadm", "--mode", "node", "--targetname", target, "--portal", portal)
    # One of the machine may have passwords; the program that starts a machine from iSCSI leaves none.
    if sh.run(*record, ok=(0, NOTHING_FOUND)).status == NOTHING_FOUND:
        sh.run(*record, "--op", "new")
    for name, value in PATIENCE.items():
        sh.run(*record, "--op", "update", "--name", name, "--value", value)
    sh.run(*record, "--login", ok=(0, IS_THERE), timeout=LOGIN_SECONDS)


def _check_paths(layout: Layout, sh: Shell, failures: dict[str, ProgramFailed]) -> None:
    """Raise `RearError` where a disk has no path, and nobody has logged in to something that may take its place."""
    reached = {target for target, _ in sessions(sh)}
    # A card that logs in by itself, or a virtual machine, may bring the disk in another way.
    here = {*sh.query("lsblk", "--nodeps", "--noheadings", "--raw", "--output", "WWN").split()}
    lost = []
    for disk in layout.of(Disk):
        units = of_type((layout[id] for id in disk.needs), IscsiUnit)
        if units and disk.wwn not in here and not any(unit.target in reached for unit in units):
            lost.append(f"{disk}")
    known = {unit.target for unit in layout.of(IscsiUnit)}
    if not lost or reached - known:
        return
    told = "; ".join(f"{place}: {_why(error)}" for place, error in failures.items())
    advice = "check the network (`ip address`) and the target"
    if any(error.status == NO_AUTHORIZATION for error in failures.values()):
        advice = (
            "enter the password: `iscsiadm --mode node --targetname ... --portal ... --op update --name"
            " node.session.auth.password --value ...`"
        )
    raise RearError(
        f"no path leads to {' and '.join(lost)}: {told}",
        f"{advice}, then run rear again; for a disk of another target log in to it before, for any other disk set"
        " DISK_MAPPING",
    )


def _why(error: ProgramFailed) -> str:
    """The reason, which iscsiadm tells before its last line."""
    found = re.search(r"reported error \(\d+ - (.+)\)", error.output)
    return found[1] if found else error.message


KIND = StorageKind(
    "iscsi", (IscsiUnit,), capture, contents, recreate=lambda _unit, _site: (), configure=configure, notes=notes,
    connect=connect,
)  # fmt: skip
