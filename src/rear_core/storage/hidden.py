# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that lie in a mounted file system below the mount point of another one: nobody sees, and nobody saves them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from tempfile import mkdtemp

from ..errors import ProgramFailed
from ..mounts import mount_points
from ..shell import Shell
from .layout import Layout, LeftOut
from .mount import Mount

# Where the system mounts memory: what was there before, as nodes of an installation, nobody misses.
OF_THE_SYSTEM = ("/dev", "/proc", "/run", "/sys", "/tmp")
# Without the mounts in it, and in a namespace of its own: whatever ends it, nothing stays mounted.
LOOK = 'mount --bind "$1" "$2"; shift 2; exec find "$@"'
# Folders and empty files are what is mounted on.
WITH_CONTENTS = ("-xdev", "(", "-type", "l", "-o", "-type", "f", "-size", "+0c", ")", "-print", "-quit")


def hidden_files(sh: Shell, layout: Layout) -> Iterator[LeftOut]:
    """What other mounts hide of each mounted file system, named by one of its files."""
    targets = [point.target for point in mount_points()]
    for mount in layout.of(Mount):
        if mount.mounted and (points := mounted_in(mount.target, targets)):
            name = f"files below mounts in {mount.target}"
            try:
                if found := _first(sh, mount.target, points):
                    advice = "unmount what hides them to move or remove them, or name them in GIVE_UP"
                    yield LeftOut(name, f"nobody sees them, as {found}: {advice}", lost=True, on=mount.needs[:1])
            except ProgramFailed as error:
                yield LeftOut(name, f"whether there are any is unknown: {error.message}", lost=True)


def mounted_in(top: str, targets: list[str]) -> list[str]:
    """The mount points in a file system itself, relative to its top, without those of the system."""
    inside = sorted({target for target in targets if target != top and _is_below(target, top)})
    return [
        os.path.relpath(target, top)
        for target in inside
        if not any(_is_below(target, folder) for folder in OF_THE_SYSTEM)
        and not any(other != target and _is_below(target, other) for other in inside)
    ]


def _is_below(path: str, folder: str) -> bool:
    return f"{path}/".startswith(f"{folder.rstrip('/')}/")


def _first(sh: Shell, target: str, points: list[str]) -> str:
    """A file below one of the mount points, "" where there is none."""
    place = mkdtemp(prefix="rear-", dir="/run")
    try:
        alone = ("unshare", "--mount", "--propagation", "private", "sh", "-ec", LOOK, "sh", target, place)
        found = sh.query(*alone, *(f"{place}/{point}" for point in points), *WITH_CONTENTS, timeout=600)
    finally:
        os.rmdir(place)
    # A name may have any bytes.
    name = found[len(place) :].rstrip("\n").encode(errors="backslashreplace").decode()
    return f"{target.rstrip('/')}{name}" if found else ""
