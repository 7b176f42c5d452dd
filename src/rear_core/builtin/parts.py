# SPDX-License-Identifier: GPL-3.0-or-later
"""Warns of a large rescue system, with a table of its largest parts and what leaves each of them out."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..hookspecs import hookimpl
from ..step import Step
from . import pack

if TYPE_CHECKING:
    from ..rescue.parts import Part
    from ..run import Run

MIB = 1 << 20
# What can be added by settings; each is named in the table, and is all that leaves it out.
LISTS = ("RESCUE_FILES", "RESCUE_LIBRARIES", "RESCUE_BINARIES", "RESCUE_BINARIES_OPTIONAL")
LOOKED_AT, LARGEST = 24, 12
# Names of modules in a line, of those that are advised, and of those that share firmware.
FEW, MANY = 3, 6
# Parts that take less than this share of the image are not worth a line.
LEAST_SHARE = 0.01


@hookimpl
def rear_pack() -> Iterable[Step]:
    yield Step(60, "Check the size of the rescue system", check_size)


def check_size(run: Run) -> None:
    """Warn of an image that is larger than RESCUE_SIZE_WARNING, with its largest parts."""
    assert run.image is not None
    limit, size = run.settings["RESCUE_SIZE_WARNING"], run.image.initramfs.stat().st_size
    if limit and size > limit << 20:
        reach = run.plugins.manager.hook.rear_media_reach(run=run)
        later = " RESCUE_SPLIT=yes leaves most drivers for later;" if reach and not run.settings["RESCUE_SPLIT"] else ""
        run.report.warn(
            f"the rescue system has {size / 2**20:.0f} MiB packed, more than RESCUE_SIZE_WARNING={limit};{later}"
            " the table shows its largest parts"
        )
        for line in largest_parts(run, size):
            run.report.say(line)


def largest_parts(run: Run, size: int) -> Iterator[str]:
    """Lines of the table, for an image of `size` bytes.

    The share of a part is what it takes in the image: it is packed once more by itself.
    """
    from ..rescue import initramfs
    from ..rescue.modules import ModuleIndex, name_of
    from ..rescue.parts import namers, parts

    assert run.kernel is not None
    index = ModuleIndex(run.kernel.modules)
    selected = pack.initial_modules(run, index)
    with pack.module_members(run, index, selected) as modules:
        found = parts([*initramfs.members_of(run.rootfs_dir), *modules], _listed(run))[:LOOKED_AT]
        packed = {part.name: _packed(run, part) for part in found}
    firmware = [part.name for part in found if part.name.startswith("firmware ")]
    named_by = namers(run.sh, [index.directory / path for path in selected], firmware)
    needed = {name_of(other) for path in selected for other in index.dependencies.get(path, ())} | pack.loaded()
    yield f"{'unpacked':>12}{'in the image':>14}{'share':>8}  part: what leaves it out"
    for part in sorted(found, key=lambda part: -packed[part.name])[:LARGEST]:
        taken = packed[part.name]
        if taken > size * LEAST_SHARE:
            row = f"{part.size / MIB:8.1f} MiB{taken / MIB:10.1f} MiB{100 * taken / size:6.0f} %"
            yield f"{row}  {part.name}: {_advice(run, part, named_by.get(part.name, ()), needed)}"


def _listed(run: Run) -> dict[str, list[str]]:
    """Paths and patterns by the setting that asks for them; a program is found as the shell finds it."""
    found: dict[str, list[str]] = {}
    for setting in LISTS:
        words = run.settings[setting]
        paths = [word if word.startswith("/") else run.sh.which(word) for word in words]
        found[setting] = [os.fspath(path) for path in paths if path]
    return found


def _packed(run: Run, part: Part) -> int:
    """The bytes that a part takes when it is packed."""
    from ..rescue import initramfs

    target = run.build_dir / "part.cpio"
    try:
        initramfs.pack(run.sh, part.members, target, pack.compression(run), initramfs.source_date())
        return target.stat().st_size
    finally:
        target.unlink(missing_ok=True)


def _advice(run: Run, part: Part, named_by: Sequence[str], needed: Container[str]) -> str:
    """What leaves a part out, as somebody writes it into the configuration; never modules that others `need`."""
    from ..rescue.modules import ALL

    assert run.contents is not None
    setting = part.name.partition(" ")[0]
    if setting in LISTS:
        return f"remove it from {setting}"
    if setting == "kernel":
        names = [name for name in _modules_by_size(part) if name not in needed][:FEW]
        everything = ["removing all_modules from MODULES"] if ALL in run.contents.modules else []
        excluding = [f"for the largest EXCLUDE_MODULES+=( {' '.join(names)} )"] if names else []
        return ", or ".join([*everything, *excluding]) or "nothing; others need them"
    if any(name in needed for name in named_by):
        return "nothing; modules that this machine uses name it"
    if len(named_by) > MANY:
        return f"EXCLUDE_MODULES with {' '.join(named_by[:MANY])} and {len(named_by) - MANY} more that name it"
    if named_by:
        return f"EXCLUDE_MODULES+=( {' '.join(named_by)} )"
    return "nothing; it comes with rear or a plugin"


def _modules_by_size(part: Part) -> list[str]:
    """The modules of a part, the largest first."""
    from ..rescue.modules import name_of

    files = [member for member in part.members if ".ko" in member.name]
    return [name_of(member.name) for member in sorted(files, key=lambda member: -Path(member.source).stat().st_size)]
