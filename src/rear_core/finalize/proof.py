# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows that the recovered system can start: what is loaded is there, and what it takes to reach the files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .. import recovered
from ..boot.loader import Entry
from ..errors import RearError
from ..shell import Shell
from ..storage.layout import Layout
from ..storage.plan import Rebuilt
from . import drivers, initramfs
from .devices import Storage
from .names import command_line, naming_files
from .references import opened_at_start

if TYPE_CHECKING:
    from ..storage.kinds import StorageKind

MODULES = "/lib/modules"


def problems_of_entry(
    target: Path, loader: str, entry: Entry | None, storage: Storage, kinds: Sequence[StorageKind]
) -> list[str]:
    """What is missing for the default entry of a boot loader."""
    if entry is None:
        return [f"the configuration of {loader} has no entry with a kernel"]
    problems = [
        f"{path} of the entry {entry.title!r} is missing or empty"
        for path in (entry.hypervisor, entry.kernel, *entry.initramfs)
        if path and not _is_filled(recovered.inside(target, path))
    ]
    opened = opened_at_start(target, storage, naming_files(kinds, ()))
    named = command_line(kinds)(" ".join(entry.arguments))
    for found in named:
        now = found.value if found.value in opened else storage.now(found.tag, found.value)
        if not found.optional and now != found.value:
            name = f"{found.tag + '=' if found.tag else ''}{found.value} in the parameters of the kernel"
            problems.append(f"{name} is on no device" if now is None else f"{name} is {now} now")
    folder = modules_of(target, entry)
    if folder is None or not (folder / "modules.dep").is_file():
        problems.append(f"the modules of the kernel {entry.kernel} are missing in {MODULES}")
    return problems


def _is_filled(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def modules_of(target: Path, entry: Entry) -> Path | None:
    """The folder of the modules that belong to the entry's kernel, None when nothing tells its version.

    Unless the entry has it, perhaps behind the number of a snapshot (3@VERSION), the version stands in the name of the
    kernel, vmlinuz-VERSION, in that of a link to it, or in that of its folder (/usr/lib/modules/VERSION/vmlinuz). Of
    several the one that has modules is meant.
    """
    paths = Path(entry.kernel), recovered.inside(target, entry.kernel)
    versions = [entry.version.rpartition("@")[2], *(path.name.partition("-")[2] for path in paths)]
    versions += [path.parent.name for path in paths]
    folders = [recovered.inside(target, f"{MODULES}/{version}") for version in versions if version]
    return next((folder for folder in folders if folder.is_dir()), folders[0] if folders else None)


def needed_modules(layout: Layout, rebuilt: Rebuilt, sysfs: Path = Path("/sys")) -> set[str]:
    """What the initramfs must be able to load, for the disks that are here now."""
    needed: set[str] = set()
    for id in ("mount:/", "mount:/usr"):
        if id in layout:
            needed |= frozenset[str]().union(*(item.modules for item in layout.below(id)))
            for disk in rebuilt.disks(id):
                needed |= drivers.of_disk(disk, sysfs)
            if any(item.is_remote for item in layout.below(id)):
                needed |= drivers.of_cards(sysfs)
    return needed


def missing_modules(sh: Shell, target: Path, entry: Entry, needed: set[str]) -> list[str]:
    """Those that neither the kernel of the entry nor its initramfs has; raises when it cannot be read."""
    carried: frozenset[str] = frozenset()
    for name in entry.initramfs:
        path = recovered.inside(target, name)
        if path.is_file():
            carried |= initramfs.modules_in(sh, path, target, entry.part)
    folder = modules_of(target, entry)
    return drivers.missing(needed, carried, folder) if folder else []


def problems_of_initramfs(sh: Shell, target: Path, entry: Entry, needed: set[str]) -> list[str]:
    """Why the kernel would not reach its root file system."""
    try:
        missing = missing_modules(sh, target, entry, needed)
    except (RearError, OSError) as error:
        return [f"the initramfs cannot be read: {error}"]
    return [f"no driver for the root file system in the initramfs: {' '.join(missing)}"] if missing else []
