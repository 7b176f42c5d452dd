# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restored system must know to reach its iSCSI disks: the target of its root file system before all others."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from .. import recovered
from ..errors import RearError
from ..storage.disk import Disk
from ..storage.inventory import read_devices
from ..storage.layout import of_type
from ..storage.mount import Mount
from ..storage.references import NamingFile
from ..storage.technologies.iscsi import FOLDERS, IscsiUnit, places
from . import initramfs, names, recorded

if TYPE_CHECKING:
    from ..boot.loader import Entry
    from ..run import Run

# Of Debian's initramfs, see README.Debian of open-iscsi.
SETTINGS = "/etc/iscsi/iscsi.initramfs"
INITIATOR = "/etc/iscsi/initiatorname.iscsi"
# What tells an initramfs its target: in SETTINGS, in words for Debian's (iscsi_..., root=iscsi:...), and in those of
# dracut.cmdline(7). With `auto`, `firmware` and `ibft` it asks the firmware.
TOLD = re.compile(r"^[ \t]*(?:ISCSI_TARGET_NAME|ISCSI_AUTO)=[\"']?\w", re.MULTILINE)
WORD = re.compile(
    r"iscsi_auto|iscsi_target_name=.+|(?:root|netroot)=iscsi.*|rd\.iscsi\.(?:firmware|ibft|target\.name).*"
)


def moved(run: Run) -> dict[str, str]:
    """The names of targets and the addresses of portals that others took the place of: those of now, by the old ones.

    A portal that has no counterpart stays as it is.
    """
    assert run.layout is not None and run.rebuilt is not None
    found: dict[str, str] = {}
    devices = read_devices(run.sh, run.report.log)
    for disk in run.layout.of(Disk):
        old = [unit for id in disk.needs for unit in run.layout.of(IscsiUnit) if unit.id == id]
        device = devices.get(run.rebuilt.device(disk.id)) if old and run.rebuilt.disks(disk.id) else None
        paths = (device.path, *device.parents) if device else ()
        now = [unit for _, unit in places(run.sh, (devices[path] for path in paths if path in devices))]
        found |= _pairs(sorted({unit.target for unit in old}), sorted({unit.target for unit in now}))
        found |= _pairs(_addresses(old), _addresses(now))
    return found


def _addresses(units: Iterable[IscsiUnit]) -> list[str]:
    return sorted({portal.rpartition(":")[0] for unit in units for portal in unit.portals})


def _pairs(old: Sequence[str], now: Sequence[str]) -> dict[str, str]:
    """Each that is gone with one that is new; where they share one, some are only out of reach at the moment."""
    return dict(zip(old, now)) if not set(old) & set(now) else {}


def rewritten(text: str, changed: Mapping[str, str]) -> str:
    """The text with the new names in the place of the old ones."""
    any_of = "|".join(map(re.escape, sorted(changed, key=len, reverse=True)))
    # An address may have a port behind it, and the name of a target is longer with whatever may be in one.
    return re.sub(rf"(?<![\w.-])(?:{any_of})(?![\w.-]|:[a-z])", lambda found: changed[found[0]], text)


def update(run: Run) -> None:
    """Write the targets and portals of the new disks where the initramfs is told those of the old ones."""
    changed = moved(run)
    run.recovery.differences += [f"iSCSI: {new} instead of {old}" for old, new in sorted(changed.items())]
    loaders = [loader for loader, _ in recorded.loaders(run)]
    files = [NamingFile(SETTINGS, lambda _: ()), *names.files_with_words(loaders)] if changed else []
    for name in names.change_words(run.target, files, lambda text: rewritten(text, changed)):
        run.recovery.rewritten.append(name)
        run.recovery.done.append(f"{name}: the targets and portals of the new iSCSI disks")
    for old in changed:
        for folder in FOLDERS:
            if recovered.inside(run.target, f"{folder}/nodes/{old}").is_dir():
                run.recovery.differences.append(
                    f"{folder}/nodes still has {old}: log in to the new target with iscsiadm after the first start"
                )


def check(run: Run) -> None:
    """Say what keeps the system from reaching its iSCSI disks when it starts."""
    assert run.rebuilt is not None
    layout = run.rebuilt.site.layout
    targets = {
        mount: {unit.target for unit in of_type(layout.below(mount.id), IscsiUnit)} for mount in layout.of(Mount)
    }
    early = set().union(*(found for mount, found in targets.items() if mount.target in ("/", "/usr")))
    if early:
        run.recovery.problems += _problems(run)
    run.recovery.differences += [
        f"{mount.target} lies on iSCSI, but its line of /etc/fstab lacks the option _netdev: the system may look for it"
        " before it has logged in"
        for mount, found in targets.items()
        if found - early and mount.fstab_options and not _is_late(mount)
    ]


def _is_late(mount: Mount) -> bool:
    return bool({"_netdev", "noauto", "nofail"}.intersection(mount.fstab_options.split(",")))


def _problems(run: Run) -> Iterator[str]:
    """What the initramfs lacks to log in to the target of the root file system."""
    if not recovered.inside(run.target, INITIATOR).is_file():
        yield f"{INITIATOR} is missing: the target does not know the machine without its initiator name"
    for entry in recorded.entries(run)[:1]:
        settings = recovered.inside(run.target, SETTINGS)
        told = settings.is_file() and TOLD.search(recovered.read(settings))
        if not told and not any(WORD.fullmatch(word) for word in entry.arguments):
            yield (
                f"nothing tells the initramfs its iSCSI target: neither {SETTINGS} nor the parameters of the kernel"
                " (iscsi_auto, netroot=iscsi:..., rd.iscsi.firmware)"
            )
        if not _has_initiator(run, entry):
            yield "the initramfs cannot log in to the iSCSI target: it lacks the program iscsistart of open-iscsi"


def _has_initiator(run: Run, entry: Entry) -> bool:
    paths = [recovered.inside(run.target, name) for name in entry.initramfs]
    try:
        found = [
            name for path in paths if path.is_file() for name in initramfs.names(run.sh, path, run.target, entry.part)
        ]
    except (RearError, OSError):
        # Whoever looks for its modules has said so.
        return True
    return any(name.rpartition("/")[2] == "iscsistart" for name in found)
