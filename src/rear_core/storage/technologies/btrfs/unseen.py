# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Btrfs holds outside of all that is mounted of it: files of its top, and of subvolumes that hold others."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from tempfile import mkdtemp

from rear_core.errors import ProgramFailed
from rear_core.shell import Argument, Shell
from rear_core.storage.layout import Layout, LeftOut
from rear_core.storage.mount import Mount

from .capture import Btrfs, Subvolume

# How what is left out of them is called.
FILES = "files of btrfs on "
# Mounts with the first of these options that the kernel knows, and then runs a program.
LOOK = """\
device=$1 place=$2 count=$3; shift 3
while ! mount -t btrfs -o "$1" "$device" "$place"; do
    [ "$count" -gt 1 ] || exit 32
    count=$((count - 1)); shift
done
shift "$count"
exec "$@"
"""


def look(sh: Shell, device: str, place: str, options: Sequence[str], *argv: Argument) -> str:
    """What a program prints while a Btrfs is mounted for it alone: whatever ends it, nothing stays mounted.

    `options` are those of mount(8), to be tried in this order.
    """
    alone = ("unshare", "--mount", "--propagation", "private", "sh", "-c", LOOK, "sh")
    return sh.query(*alone, device, place, str(len(options)), *options, *argv, timeout=600)


def unseen(sh: Shell, layout: Layout) -> Iterator[LeftOut]:
    """The files that no mounted subvolume shows; what has folders alone has nothing to lose."""
    for filesystem in layout.of(Btrfs):
        holders = unseen_holders(layout, filesystem)
        if not holders:
            continue
        device = next(str(getattr(layout[need], "device", "")) for need in filesystem.needs)
        try:
            name = first_unseen(sh, device, holders, ["ro,noatime,subvolid=5"])
            reason = f"they lie outside of all that is mounted of it, as {name}" if name else ""
        except ProgramFailed as error:
            reason = f"whether there are any outside of all that is mounted of it is unknown: {error.message}"
        if reason:
            yield LeftOut(f"{FILES}{device}", reason, lost=True, on=filesystem.needs)


def first_unseen(sh: Shell, device: str, holders: Sequence[str], options: Sequence[str]) -> str:
    """The path of a file in one of these folders of a Btrfs, "" where they have none; `options` are those of `look`."""
    place = mkdtemp(prefix="rear-", dir="/run")
    # What lies below has other subvolumes as it would have mounts.
    own = ("-xdev", "-mindepth", "1", "!", "-type", "d", "-print", "-quit")
    try:
        folders = [f"{place}/{path}".rstrip("/") for path in holders]
        found = look(sh, device, place, options, "find", *folders, *own)
        # A name may have any bytes.
        return found[len(place) :].rstrip("\n").encode(errors="backslashreplace").decode()
    finally:
        os.rmdir(place)


def unseen_holders(layout: Layout, filesystem: Btrfs) -> list[str]:
    """The paths of those subvolumes that are seen nowhere, and hold what is, "" for the top: SUSE's `@`, for one.

    Others that are seen nowhere are lost as a whole, and a file system of which nothing is mounted is, too.
    """
    paths = [
        part.path if isinstance(part, Subvolume) else ""
        for mount in layout.of(Mount)
        if mount.mounted and filesystem in layout.below(mount.needs[0])
        for part in [layout[mount.needs[0]]]
    ]
    if not paths or "" in paths:
        return []
    own = [item.path for item in layout.of(Subvolume) if filesystem in layout.below(item.id)]
    return [
        "",
        *(
            path
            for path in own
            if any(seen.startswith(f"{path}/") for seen in paths)
            and not any(f"{path}/".startswith(f"{seen}/") for seen in paths)
        ),
    ]
