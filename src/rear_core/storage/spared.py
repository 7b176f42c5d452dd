# SPDX-License-Identifier: GPL-3.0-or-later
"""The disks of the places that settings name: a recovery spares them, and no backup is made where it could not."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import Refused
from ..mounts import device_number, devices_below, unescaped
from ..places.url import Url
from .command import Site
from .disk import Disk
from .fate import Exclusions
from .layout import Item, Layout
from .links import linked
from .mapping import NONE
from .mount import Mount
from .present import Machine

if TYPE_CHECKING:
    from ..run import Run

# A disk with one of these is erased by every recovery: without them there is no system.
SYSTEM = ("/", "/usr", "/var", "/boot", "/boot/efi", "/efi")


def urls(run: Run) -> dict[str, Url]:
    """The values of all settings that are URLs, also those of other people's plugins, by name."""
    return {name: value for name in run.settings.declared if isinstance(value := run.settings[name], Url)}


def disks_of_urls(run: Run, machine: Machine) -> dict[str, str]:
    """The disks of this machine that a URL means, plugged in or mounted for it: by path, why to spare them."""
    found: dict[str, str] = {}
    for name, url in urls(run).items():
        names, numbers = _place(run, url)
        all_names = {path: {path, f"/dev/{device.kernel_name}"} for path, device in machine.devices.items()}
        meant = [d for path, d in machine.devices.items() if all_names[path] & names or d.number in numbers]
        # The other devices of the same file system carry its UUID, too.
        uuids = {device.uuid for device in meant if device.uuid}
        for disk in machine.disks:
            if any(part in meant or part.uuid in uuids for part in machine.above(disk.path)):
                found[disk.path] = f"{name} names it"
    return found


def with_backups_noted(run: Run, layout: Layout) -> Layout:
    """The layout of this machine with a note on the mounts that hold its backups, by whatever links and mounts.

    The recovery cannot find that out: it may take the backup from elsewhere, and the links are on the lost machine.
    """
    if "BACKUP_URL" not in urls(run):
        return layout
    holders = {*_holders(run, layout, run.settings["BACKUP_PREFIX"] or run.system.hostname)}
    found = [
        mount
        for mount in layout.of(Mount)
        if mount.target not in SYSTEM and holders & {item.id for item in layout.below(mount.needs[0])}
    ]
    noted = {mount.id: replace(mount, holds_backups=True) for mount in found}
    return replace(layout, items=tuple(noted.get(item.id, item) for item in layout))


def backup_disks(run: Run, layout: Layout) -> dict[str, str]:
    """The recorded disks that hold a backup in a folder or on a disk of this machine: they stay as they are.

    They are those that BACKUP_URL means now, and those that it meant when the machine was described. A disk of the
    system cannot stay so; backups that were made on one are somewhere else by now.
    """
    system = _disks(layout, _system(run, layout))
    noted = [_disks(layout, [mount.needs[0]]) for mount in layout.of(Mount) if mount.holds_backups]
    kept = {disk for disks in noted if not disks & system for disk in disks}
    meant = _disks(layout, _meant(run, layout))
    if not (run.settings.get("BACKUP_ALLOW_SYSTEM_DISK") and meant & system):
        kept |= meant
    return dict.fromkeys(sorted(kept), NONE)


def check_backup_survives(run: Run, folder: str) -> None:
    """Raise `Refused` when a backup is to be made on a disk that a recovery erases; warn when only media are made.

    `folder` is that of this machine's backups, below BACKUP_URL.
    """
    assert run.layout is not None
    url = urls(run).get("BACKUP_URL")
    if url is None or run.settings["BACKUP_ALLOW_SYSTEM_DISK"]:
        return
    shared = _disks(run.layout, _holders(run, run.layout, folder)) & _disks(run.layout, _system(run, run.layout))
    if not shared:
        return
    listed = " and ".join(str(run.layout[disk]) for disk in sorted(shared))
    problem = f"BACKUP_URL={url} lies on {listed}, which a recovery of this machine erases, and the backup with it"
    if "backup" not in run.phases:
        run.report.warn(problem)
        return
    raise Refused(
        problem,
        "name a server or another disk, as nfs://server/export or usb:///dev/disk/by-label/REAR-000;"
        " BACKUP_ALLOW_SYSTEM_DISK=yes if another program copies the backups to another machine",
    )


def _place(run: Run, url: Url) -> tuple[set[str], set[str]]:
    """The paths and numbers of the devices that hold the place of a URL on this machine, as it is now."""
    from ..places.devices import devices_named

    if url.scheme == "usb":
        names = {os.path.realpath(name) for name in devices_named(run.sh, url.path)}
        return names, {number for name in names for number in devices_below(name)}
    return set(), {*devices_below(url.path)} if url.scheme == "file" else set()


def _holders(run: Run, layout: Layout, folder: str) -> list[str]:
    """The ids of the recorded devices that hold the backups of this machine, where links and mounts lead to them."""
    url = urls(run)["BACKUP_URL"]
    names, numbers = _place(run, replace(url, path=f"{url.path}/{folder}") if url.scheme == "file" else url)
    devices = ((item.id, str(getattr(item, "device", ""))) for item in layout)
    return [id for id, device in devices if device and (device in names or device_number(device) in numbers - {""})]


def _meant(run: Run, layout: Layout) -> list[str]:
    """The ids of the recorded items that BACKUP_URL means by its words."""
    url = urls(run).get("BACKUP_URL")
    if url is not None and url.scheme == "usb":
        item = linked(layout, unescaped(url.path))
        return [item.id] if item else [item.id for item in layout if _spelled(unescaped(url.path)) in _names(item)]
    return _recorded_below(layout, url.path) if url is not None and url.scheme == "file" else []


def _system(run: Run, layout: Layout) -> list[str]:
    """The ids of the mounted file systems without which there is no system, and which a recovery recreates."""
    exclusions = Exclusions.of(run.settings)
    mounts = [item for item in layout.of(Mount) if item.mounted and item.target in SYSTEM]
    return [mount.needs[0] for mount in mounts if not exclusions.of_mount(mount.target)]


def _disks(layout: Layout, ids: list[str]) -> set[str]:
    """The ids of all disks that these items lie on."""
    site = Site(layout, {})
    return {disk.id for disk in layout.of(Disk)} & {below for id in ids for below in site.below(id)}


def _names(item: Item) -> set[str]:
    """The paths below /dev that a recorded partition, volume or file system had."""
    labels = {getattr(item, name, "") for name in ("label", "name")}
    paths = {f"/dev/disk/by-{kind}/{label}" for kind in ("label", "partlabel") for label in labels if label}
    if uuid := getattr(item, "uuid", ""):
        paths |= {f"/dev/disk/by-uuid/{uuid}", f"/dev/disk/by-partuuid/{uuid}"}
    return {_spelled(path) for path in (*paths, *item.device_paths)}


def _spelled(path: str) -> str:
    """A path below /dev with its identifier in small letters: in labels, large ones are others."""
    return path.lower() if path.startswith(("/dev/disk/by-uuid/", "/dev/disk/by-partuuid/")) else path


def _recorded_below(layout: Layout, path: str) -> list[str]:
    """What the recorded file system that held a folder lay on."""
    mounts = [m for m in layout.of(Mount) if f"{path}/".startswith(f"{m.target.rstrip('/')}/")]
    holder = max(mounts, key=lambda mount: len(mount.target), default=None)
    # The root file system of the rescue system is another one: whatever is there is in memory or mounted.
    return [] if holder is None or holder.target == "/" else [holder.needs[0]]
