# SPDX-License-Identifier: GPL-3.0-or-later
"""LVM's list of its devices, which knows disks by their serial numbers (lvmdevices(8)), and its filters by names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .. import recovered
from ..boot.chroot import run_inside
from ..errors import RearError
from ..storage.disk import Disk
from ..storage.technologies.lvm import PhysicalVolume
from .devices import read_devices

if TYPE_CHECKING:
    from ..run import Run

LIST = "/etc/lvm/devices/system.devices"
# The second one has precedence.
CONFIGURATIONS = ("/etc/lvm/lvm.conf", "/etc/lvm/lvmlocal.conf")
PATTERN = r'"((?:[^"\\]|\\.)*)"'
FILTER = re.compile(rf"(?<![\w/])(?:devices/)?((?:global_)?filter)\s*=\s*\[?((?:[\s,]*{PATTERN})*)")


def are_other_disks(run: Run) -> bool:
    """Whether a disk was replaced, or has another name."""
    assert run.layout is not None and run.rebuilt is not None
    now = {disk.id: disk for disk in run.rebuilt.site.layout.of(Disk)}
    return any(disk.id in now and _identity(disk) != _identity(now[disk.id]) for disk in run.layout.of(Disk))


def _identity(disk: Disk) -> tuple[str, str, str]:
    return disk.device, disk.serial, disk.wwn


def update_list(run: Run) -> None:
    """Rebuild the list: LVM uses no disk that it does not name, and all of them where there is no list."""
    path = recovered.inside(run.target, LIST)
    if not path.is_file() or not are_other_disks(run):
        return
    path.unlink()
    run.recovery.rewritten.append(LIST)
    try:
        run_inside(run, "lvm", "vgimportdevices", "--all")
    except RearError as error:
        run.recovery.differences.append(f"{LIST} is removed, so LVM searches all devices: {error.message}")
        return
    if path.is_file():
        recovered.label(path)
    run.recovery.done.append(f"{LIST}: the disks of this machine")


def check_filters(run: Run) -> None:
    """Tell which physical volumes LVM will not see: its filters name disks, which may have other names now."""
    assert run.rebuilt is not None
    patterns = filters(run.target)
    # LVM ignores them where it has a list.
    if not patterns or recovered.inside(run.target, LIST).is_file():
        return
    site, devices = run.rebuilt.site, read_devices(run.sh)
    needed = {id for top in ("mount:/", "mount:/usr") if top in site.layout for id in site.below(top)}
    for item in site.layout.of(PhysicalVolume):
        path = site.device(item.id)
        names = next((device.names for device in devices if path in device.names), frozenset({path}))
        if all(accepts(some, names) for some in patterns):
            continue
        told = run.recovery.problems if item.id in needed else run.recovery.differences
        told.append(
            f"{path} is hidden from LVM by the filter in {CONFIGURATIONS[0]}: add its current disks, and rebuild the"
            " initramfs, which has a copy"
        )


def filters(target: Path) -> list[list[str]]:
    """The filters of the recovered system, each with its patterns in their order: a|^/dev/sda|, r|.*|."""
    found: dict[str, list[str]] = {}
    for name in CONFIGURATIONS:
        path = recovered.inside(target, name)
        text = re.sub(r"^\s*#.*$", "", recovered.read(path) if path.is_file() else "", flags=re.MULTILINE)
        for match in FILTER.finditer(text):
            patterns = [re.sub(r"\\(.)", r"\1", pattern) for pattern in re.findall(PATTERN, match[2])]
            # LVM puts those of both files together, but not those of global_filter.
            found[match[1]] = patterns + (found.get("filter", []) if match[1] == "filter" else [])
    return [patterns for patterns in found.values() if patterns]


def accepts(patterns: Sequence[str], names: Iterable[str]) -> bool:
    """Whether a filter lets a device with these names pass, as lvm.conf(5) says it.

    >>> accepts(["a|^/dev/sda|", "r|.*|"], ["/dev/vda", "/dev/disk/by-id/x"])
    False
    """
    verdicts = {next((pattern[:1] for pattern in patterns if _matches(pattern, name)), "") for name in names}
    return "a" in verdicts or "r" not in verdicts


def _matches(pattern: str, name: str) -> bool:
    try:
        return re.search(pattern[2:-1], name) is not None
    except re.error:
        # LVM would not take it either.
        return False
