# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the initramfs of a recovered system with dracut, for each kernel that its boot menu offers.

dracut(8) decides by the machine that it runs on what an image needs. Here it runs in a chroot of the rescue system, so
what the root file system lies on is named to it besides.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from .. import recovered
from ..boot.chroot import run_inside
from ..boot.loader import Entry
from ..errors import RearError
from ..storage.layout import Item
from . import proof, recorded

if TYPE_CHECKING:
    from ..run import Run

SECONDS = 3600


def make_images(run: Run) -> None:
    """Make the image of the default entry, which must succeed, and then those of the others."""
    assert run.layout is not None and run.rebuilt is not None
    items = run.layout.below(*(id for id in ("mount:/", "mount:/usr") if id in run.layout))
    options = words(items, proof.needed_modules(run.layout, run.rebuilt))
    entries = recorded.entries(run)
    wanted = images(run.target, entries)
    if not wanted and entries and all(entry.part for entry in entries):
        return
    if not wanted:
        raise RearError("no kernel of the boot menu has its modules in /lib/modules", "install a kernel in a chroot")
    for number, (image, version) in enumerate(wanted.items()):
        try:
            run_inside(run, "dracut", "--force", *options, "--kver", version, image, timeout=SECONDS)
        except RearError as error:
            if number == 0:
                raise
            run.report.warn(f"cannot rebuild {image}: {error.message}")
            run.recovery.differences.append(f"the kernel {version} keeps its old initramfs")
        else:
            recovered.label(recovered.inside(run.target, image))


def words(items: Iterable[Item], needed: Iterable[str]) -> tuple[str, ...]:
    """The options that name what the root file system lies on, and the drivers that lead to it."""
    modules = sorted({item.dracut for item in items} - {""})
    named = {"--add": modules, "--add-drivers": sorted(needed)}
    return tuple(word for option, names in named.items() if names for word in (option, " ".join(names)))


def images(target: Path, entries: Iterable[Entry]) -> dict[str, str]:
    """The kernel's version by the path of its image, the default one first; what has no modules is left out.

    Of several files that an entry loads the last one is dracut's: microcode comes before it. An image that is a part of
    a file with the kernel is made by whoever makes that file.
    """
    found: dict[str, str] = {}
    for entry in entries:
        modules = proof.modules_of(target, entry)
        if modules is not None and modules.is_dir() and entry.initramfs and not entry.part:
            # What a link leads to: dracut would put the image in its place.
            image = recovered.inside(target, entry.initramfs[-1])
            found.setdefault("/" + image.relative_to(target).as_posix(), modules.name)
    return found
