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
# What depmod reads besides the modules themselves.
INDEX_INPUTS = ("modules.order", "modules.builtin", "modules.builtin.modinfo")


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
    sh: Shell, index: ModuleIndex, selected: Sequence[str], work: Path, lib: str, firmware: Path = FIRMWARE
) -> list[Member]:
    """The archive members of the modules, their fresh index and their firmware, below `lib` (`lib` or `usr/lib`)."""
    version = index.directory.name
    modules = {path: index.directory / path for path in selected}
    inside = f"{lib}/modules/{version}"
    taken = [_member(f"{inside}/{path}", source) for path, source in modules.items()]
    taken += [_member(f"{inside}/{path.name}", path) for path in _fresh_index(sh, index, modules, work)]
    for path in firmware_files(firmware_names(sh, list(modules.values())), version, firmware):
        # A link is stored as the file it leads to: whole chains of links across directories need no care then.
        taken.append(_member(f"{lib}/firmware/{path.relative_to(firmware)}", path))
    return taken


def _member(name: str, source: Path) -> Member:
    return Member(name, stat.S_IFREG | 0o644, int(source.stat().st_mtime), source=os.fspath(source))


def _fresh_index(sh: Shell, index: ModuleIndex, modules: dict[str, Path], work: Path) -> list[Path]:
    """The files that depmod writes for just these modules; depmod reads them through links below `work`.

    With the machine's own index udev and modprobe complain of each module that was left out.
    """
    version = index.directory.name
    if len(modules) == len(index.dependencies):
        return sorted(path for path in index.directory.glob("modules.*") if path.is_file())
    folder = work / "lib/modules" / version
    for path in {*(os.path.dirname(path) for path in modules), ""}:
        (folder / path).mkdir(parents=True, exist_ok=True)
    for path, source in modules.items():
        os.symlink(source, folder / path)
    for name in INDEX_INPUTS:
        if (index.directory / name).is_file():
            (folder / name).symlink_to(index.directory / name)
    sh.run("depmod", "--all", "--basedir", work, version)
    return sorted(path for path in folder.glob("modules.*") if path.is_file())
