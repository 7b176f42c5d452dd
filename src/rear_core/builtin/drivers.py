# SPDX-License-Identifier: GPL-3.0-or-later
"""RESCUE_SPLIT: puts kernel modules and firmware into a file beside the rescue system, which takes it once it runs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import Refused
from ..hookspecs import hookimpl
from ..run import DRIVERS
from ..step import Step
from . import pack

if TYPE_CHECKING:
    from ..run import Run

PROGRAM = "mksquashfs"


@hookimpl
def rear_missing(run: Run) -> Iterable[str]:
    return [PROGRAM] if run.settings["RESCUE_SPLIT"] and run.sh.which(PROGRAM) is None else []


@hookimpl
def rear_prep(run: Run) -> Iterable[Step]:
    if "build" in run.phases and run.settings["RESCUE_SPLIT"]:
        yield Step(1, "Check that the media have a place for drivers", check_media, by_settings=True)
        yield Step(30, "Check that the rescue system can take drivers later", check_kernel)


@hookimpl
def rear_pack(run: Run) -> Iterable[Step]:
    if run.settings["RESCUE_SPLIT"]:
        yield Step(40, "Pack the drivers that the rescue system takes later", pack_drivers)


def check_media(run: Run) -> None:
    """Raise `Refused` where the media carry the rescue system in one part."""
    if not run.plugins.manager.hook.rear_media_reach(run=run):
        raise Refused(
            f"OUTPUT={run.settings['OUTPUT']} carries the rescue system in one part",
            "remove RESCUE_SPLIT; EXCLUDE_MODULES makes the rescue system smaller",
        )


def check_kernel(run: Run) -> None:
    """Raise `Refused` where the kernel cannot read the drivers."""
    from ..rescue.modules import ModuleIndex
    from ..system.kernel import choose

    kernel = choose(run)
    index = ModuleIndex(kernel.modules)
    for name in ("loop", "squashfs"):
        if not index.find(name) and not index.is_builtin(name):
            raise Refused(
                f"kernel {kernel.version} has no module {name}, which RESCUE_SPLIT needs",
                "install the package with the other modules of this kernel, or remove RESCUE_SPLIT",
            )


def pack_drivers(run: Run) -> None:
    """All modules and firmware as a squashfs, from the cache when nothing about them has changed; and its checksum."""
    from ..places.delivery import checksum
    from ..rescue import drivers, initramfs
    from ..rescue.late_drivers import CHECKSUM
    from ..rescue.modules import ModuleIndex
    from .build import tree_of

    assert run.kernel is not None, "analyse_rescue comes before pack"
    index = ModuleIndex(run.kernel.modules)
    selected = pack.selected_modules(run, index)
    compression = drivers.choose_compression(run.kernel.config)
    key = pack.key_of_modules(index, selected, PROGRAM, compression)

    def make(target: Path) -> None:
        with pack.module_members(run, index, selected, "lib") as members:
            drivers.write_squashfs(run.sh, members, target, compression, run.build_dir)

    packed = initramfs.cached_segment(run.cache_dir, "drivers", key, make, ".squashfs")
    (run.build_dir / DRIVERS).symlink_to(packed)
    tree_of(run).text(str(CHECKSUM), checksum(packed) + "\n")
    run.report.detail(f"Drivers that come later: {packed.stat().st_size / 1e6:.0f} MB packed")
