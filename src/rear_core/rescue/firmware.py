# SPDX-License-Identifier: GPL-3.0-or-later
"""The segment of kernel modules and exactly the firmware files that they name, straight from where they lie."""
from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..shell import Shell
from .initramfs import Member
from .modules import ModuleIndex

FIRMWARE = Path("/lib/firmware")
# Compressed files that the kernel reads in place of the plain one (CONFIG_FW_LOADER_COMPRESS).
SUFFIXES = ("", ".zst", ".xz")
# Texts from which depmod makes modules.*.bin; modprobe reads only those.
TEXTS = frozenset({"modules.alias", "modules.dep", "modules.symbols"})


def firmware_names(sh: Shell, modules: Sequence[Path]) -> list[str]:
    """What the modules ask the kernel to load from /lib/firmware; one process for all of them."""
    if not modules:
        return []
    return sorted(set(sh.query("modinfo", "--field", "firmware", *modules, timeout=600).split()))


def firmware_files(names: Iterable[str], version: str, root: Path = FIRMWARE) -> list[Path]:
    """The installed files of these names, in the places where the kernel looks; a name may be a pattern."""
    places = [root / "updates" / version, root / "updates", root / version, root]
    existing = [place for place in places if place.is_dir()]
    found = set()
    for name in names:
        for place in existing:
            for suffix in SUFFIXES:
                found.update(_matching(place, name + suffix))
    return sorted(found)


def _matching(place: Path, name: str) -> list[Path]:
    if any(letter in name for letter in "*?["):
        return [path for path in place.glob(name) if path.is_file()]
    path = place / name
    return [path] if path.is_file() else []


def installed_firmware(root: Path = FIRMWARE) -> list[Path]:
    """All firmware files, for the key of the cache: an update of any may change what the modules get."""
    return sorted(Path(folder, name) for folder, _, names in os.walk(root) for name in names if _is_file(folder, name))


def _is_file(folder: str, name: str) -> bool:
    return os.path.isfile(os.path.join(folder, name))


def members(
    sh: Shell, index: ModuleIndex, selected: Sequence[str], lib: str, firmware: Path = FIRMWARE
) -> list[Member]:
    """The archive members of the modules, the machine's index and their firmware, below `lib` (`lib` or `usr/lib`).

    The index also names modules that are left out. modprobe and udev pass over those as over modules that do not load.
    """
    version = index.directory.name
    modules = [index.directory / path for path in selected]
    indexes = [path for path in sorted(index.directory.glob("modules.*")) if path.is_file() and not _is_text(path)]
    inside = f"{lib}/modules/{version}"
    taken = [_member(f"{inside}/{path.relative_to(index.directory)}", path) for path in modules + indexes]
    for path in firmware_files(firmware_names(sh, modules), version, firmware):
        # A link is stored as the file it leads to: whole chains of links across directories need no care then.
        taken.append(_member(f"{lib}/firmware/{path.relative_to(firmware)}", path))
    return taken


def _is_text(path: Path) -> bool:
    return path.name in TEXTS and path.with_name(path.name + ".bin").is_file()


def _member(name: str, source: Path) -> Member:
    return Member(name, stat.S_IFREG | 0o644, int(source.stat().st_mtime), source=os.fspath(source))
