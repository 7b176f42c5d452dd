# SPDX-License-Identifier: GPL-3.0-or-later
"""What came into a recorded Btrfs since it was described: subvolumes, and files where nothing was mounted."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from tempfile import mkdtemp

from rear_core.errors import ProgramFailed
from rear_core.shell import Shell
from rear_core.storage.inventory import Device
from rear_core.storage.layout import Layout
from rear_core.storage.mount import Mount

from .capture import Btrfs, Subvolume
from .snapshots import LISTING, read_identities, read_subvolumes, read_uuid, sorted_out, unoriginal
from .unseen import FILES, first_unseen, look, unseen_holders


def within(sh: Shell, devices: Mapping[str, Device], layout: Layout) -> dict[str, list[str]]:
    """The subvolumes that nobody recorded, a file that no mounted subvolume shows, and that it is the seed of another
    one, by the devices of their file systems.

    One of which nothing was mounted is lost as a whole. What cannot be read is said only where nothing else was found:
    a file system that is broken may be why the machine is recovered.
    """
    found: dict[str, list[str]] = {}
    failed: list[ProgramFailed] = []
    named = {entry.name for entry in layout.left_out}
    for filesystem in layout.of(Btrfs):
        paths = [path for path, device in devices.items() if device.fstype == "btrfs" and _is(device, filesystem)]
        mounts = [mount for mount in layout.of(Mount) if mount.mounted and filesystem in layout.below(mount.needs[0])]
        if not paths or not mounts:
            continue
        known = {item.path for item in layout.of(Subvolume) if filesystem in layout.below(item.id)}
        lost = any(entry.name.startswith(FILES) and {*entry.on} & {*filesystem.needs} for entry in layout.left_out)
        holders = [] if lost else unseen_holders(layout, filesystem)
        try:
            here = subvolumes(sh, paths)
            # btrfs(5), SEEDING DEVICE: a file system on other disks, which need not be here, has its old files there.
            seed = "SEEDING" in sh.query("btrfs", "inspect-internal", "dump-super", paths[0])
            file = first_unseen(sh, paths[0], holders, _options(paths)) if holders else ""
        except ProgramFailed as error:
            failed.append(error)
            continue
        new = [name for name in here if name not in known and not named & {f"snapshot {name}", f"subvolume {name}"}]
        ids = [f"subvolume:{filesystem.uuid}/{name}" for name in new]
        ids += [f"file:{filesystem.uuid}{file} outside of all that was mounted"] * bool(file)
        ids += [f"seed:{filesystem.uuid} on which another file system may stand"] * seed
        found.update({path: ids for path in paths if ids})
    if failed and not found:
        raise failed[0]
    return found


def _options(paths: Sequence[str]) -> list[str]:
    """Options for the mount, to be tried in this order: the log is not replayed, as that would change the disk; and
    one of the disks may be missing."""
    words = ",".join(["ro", "noatime", "subvolid=5", "degraded", *(f"device={path}" for path in paths)])
    return [f"{words},rescue=nologreplay", f"{words},nologreplay"]


def _is(device: Device, filesystem: Btrfs) -> bool:
    return bool(device.uuid) and device.uuid.lower() == filesystem.uuid.lower()


def subvolumes(sh: Shell, paths: Sequence[str]) -> list[str]:
    """The subvolumes on devices, without those of containers and snapshots of what is there; nothing is written."""
    place = mkdtemp(prefix="rear-", dir="/run")
    options = _options(paths)

    def told(*argv: str) -> str:
        return look(sh, paths[0], place, options, *argv, place)

    try:
        rows = read_subvolumes(told(*LISTING))
        read_only = {number for number, _, _ in read_subvolumes(told(*LISTING, "-r"))}
        kept, snapshots, _ = sorted_out(rows, read_only, set())
        gone: Mapping[int, str] = {}
        if snapshots:
            identities = read_identities(told("btrfs", "subvolume", "list", "-u", "-R", "-a"))
            described = [identities[number][0] for number, _ in kept if number in identities]
            described.append(read_uuid(told("btrfs", "subvolume", "show")))
            gone = unoriginal(snapshots, identities, described)
    finally:
        os.rmdir(place)
    own = {number for number, _ in kept} | gone.keys()
    return [path for number, _, path in rows if number in own]
