# SPDX-License-Identifier: GPL-3.0-or-later
"""Packs the tree and the kernel modules into one initramfs."""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from .. import architectures
from ..errors import Interrupted
from ..hookspecs import hookimpl
from ..run import DRIVERS, RescueImage
from ..step import Step

if TYPE_CHECKING:
    from ..rescue.initramfs import Member
    from ..rescue.modules import ModuleIndex
    from ..run import Run
    from ..system.kernel import Kernel

# What depmod's links to the modules and its index take at most.
INDEX_SIZE = 64 << 20
MODULES_SEGMENT = "modules.cpio"
CONFIGURED_SEGMENT = "configured.cpio"
# Beginnings of paths in the archive that differ by configuration, and may hold what others must not read.
CONFIGURED = ("etc", "home", "mnt", "opt", "root/.ssh", "srv", "var")
# Parameters that decide how network interfaces are called: the recorded names must mean the same devices.
KEPT_PARAMETERS = ("net.ifnames=", "biosdevname=", "console=")

# The modules that the kernel has loaded.
LOADED = Path("/proc/modules")

# The step that packs the modules waits for what was begun before it.
_packing_modules = threading.Lock()


@hookimpl
def rear_build() -> Iterable[Step]:
    yield Step(6, "Start packing kernel modules and firmware", begin_modules)


@hookimpl
def rear_pack() -> Iterable[Step]:
    yield Step(30, "Pack kernel modules and firmware", pack_modules)
    yield Step(50, "Pack the rescue system", pack_tree)
    yield Step(99, "Free the memory of the tree", free_tree)


def _kernel(run: Run) -> Kernel:
    assert run.kernel is not None, "analyse_rescue comes before pack"
    return run.kernel


def compression(run: Run) -> str:
    from ..rescue.initramfs import choose_compression

    wanted = run.settings["INITRAMFS_COMPRESSION"]
    return choose_compression(_kernel(run).config, wanted, lambda name: run.sh.which(name) is not None)


def begin_modules(run: Run) -> None:
    """Bring the modules into the cache while the tree is built, by a thread that ends when the run does.

    What becomes of it is seen in `pack_modules`, which takes from the cache or, after a failure, tries and tells.
    """
    from concurrent.futures import ThreadPoolExecutor

    ended = threading.Event()
    thread = run.undo.enter_context(ThreadPoolExecutor(max_workers=1))
    run.undo.callback(ended.set)
    thread.submit(modules_segment, run, ended)


def pack_modules(run: Run) -> None:
    """The segment of kernel modules and firmware for this run."""
    from ..rescue.modules import ALL, ModuleIndex

    assert run.contents is not None, "analyse_rescue comes before pack"
    index = ModuleIndex(_kernel(run).modules)
    for name in (*run.contents.modules, *run.contents.load):
        if name != ALL and not index.find(name) and not index.is_builtin(name):
            run.report.detail(f"This kernel has no module {name}")
    warn_of_excluded(run, index)
    segment = modules_segment(run, threading.Event())
    (run.build_dir / MODULES_SEGMENT).symlink_to(segment)
    run.report.detail(f"Kernel modules and firmware: {segment.stat().st_size / 1e6:.0f} MB packed")


def modules_segment(run: Run, ended: threading.Event) -> Path:
    """The segment of kernel modules and firmware, from the cache when nothing about them has changed."""
    from ..rescue import initramfs
    from ..rescue.modules import ModuleIndex

    index = ModuleIndex(_kernel(run).modules)
    selected = initial_modules(run, index)
    method = compression(run)
    key = key_of_modules(index, selected, _lib(run), *initramfs.COMPRESSORS[method], str(_newest()))

    def make(target: Path) -> None:
        with module_members(run, index, selected) as members:
            initramfs.pack(run.sh, _until(ended, members), target, method, _newest())

    with _packing_modules:
        return initramfs.cached_segment(run.cache_dir, "modules", key, make)


def key_of_modules(index: ModuleIndex, selected: Sequence[str], *options: str) -> str:
    """A key that changes with these modules, their index and all firmware."""
    from ..rescue import firmware, initramfs

    inputs = [*(index.directory / path for path in selected), *sorted(index.directory.glob("modules.*"))]
    return initramfs.key_of([*inputs, *firmware.installed_firmware()], index.directory.name, *options)


def selected_modules(run: Run, index: ModuleIndex) -> list[str]:
    """The module files of the rescue system."""
    from ..rescue.modules import select, without

    assert run.contents is not None, "analyse_rescue comes before pack"
    selected = select(index, [*run.contents.modules, *run.contents.load])
    return without(index, selected, run.settings["EXCLUDE_MODULES"])


def initial_modules(run: Run, index: ModuleIndex) -> list[str]:
    """The module files in the initramfs; with RESCUE_SPLIT the others come later."""
    from ..rescue import drivers

    selected = selected_modules(run, index)
    if not run.settings["RESCUE_SPLIT"]:
        return selected
    assert run.contents is not None, "analyse_rescue comes before pack"
    used = [*loaded(), *run.contents.modules, *run.contents.load]
    return drivers.early(index, selected, used, run.plugins.manager.hook.rear_media_reach(run=run))


@contextmanager
def module_members(run: Run, index: ModuleIndex, selected: Sequence[str], lib: str = "") -> Iterator[list[Member]]:
    """The members of the segment of modules and firmware, below `lib`; their index is there until the block ends."""
    from ..rescue import firmware, initramfs, memory

    with ExitStack() as undo:
        work = Path(undo.enter_context(TemporaryDirectory(dir=run.build_dir)))
        memory.mount(run.sh, work, INDEX_SIZE, undo)
        yield initramfs.with_parents(firmware.members(run.sh, index, selected, work, lib or _lib(run)))


def warn_of_excluded(run: Run, index: ModuleIndex) -> None:
    """Warn of modules that are left out and that this machine uses: a recovery may need their hardware."""
    from ..rescue.modules import name_of, select, without

    assert run.contents is not None, "analyse_rescue comes before pack"
    excluded = run.settings["EXCLUDE_MODULES"]
    for name in excluded:
        if not index.find(name):
            run.report.warn(f"EXCLUDE_MODULES: this kernel has no module {name}")
    chosen = select(index, [*run.contents.modules, *run.contents.load]) if excluded else []
    gone = {name_of(path) for path in chosen} - {name_of(path) for path in without(index, chosen, excluded)}
    if in_use := sorted(gone & (loaded() | set(run.contents.load))):
        run.report.warn(
            f"EXCLUDE_MODULES leaves out what this machine uses: {', '.join(in_use)};"
            " a recovery cannot reach what depends on it"
        )


def loaded() -> set[str]:
    """The names of the modules that this machine uses."""
    return {line.split()[0] for line in LOADED.read_text().splitlines()} if LOADED.exists() else set()


def _until(ended: threading.Event, members: Iterable[Member]) -> Iterator[Member]:
    for member in members:
        if ended.is_set():
            raise Interrupted("the run ended before its modules were packed")
        yield member


def _newest() -> int:
    """Without SOURCE_DATE_EPOCH modules and firmware keep their own times: the segment is then the same at any time."""
    return int(os.environ.get("SOURCE_DATE_EPOCH", 0xFFFFFFFF))


def _lib(run: Run) -> str:
    """Where the tree has /lib: the segment must not lay a directory over a link."""
    return "usr/lib" if (run.rootfs_dir / "lib").is_symlink() else "lib"


def pack_tree(run: Run) -> None:
    """The segments of the tree, and the initramfs of all.

    Programs and Python are a segment of their own: they seldom change and come from the cache then; what is
    configured changes often, is small, may be secret and is not kept.
    """
    from ..rescue import initramfs

    method, newest = compression(run), initramfs.source_date()
    members = [*initramfs.members_of(run.rootfs_dir)]
    present = {member.name for member in members}
    members += [member for member in initramfs.DEVICES if member.name not in present]
    lasting = [member for member in members if not member.name.startswith(CONFIGURED)]
    options = initramfs.COMPRESSORS[method]
    key, size = initramfs.key_of_archive(lasting, newest, *options)

    def make(target: Path) -> None:
        initramfs.pack(run.sh, lasting, target, method, newest)

    programs = initramfs.cached_segment(run.cache_dir, "programs", key, make)
    configured = run.build_dir / CONFIGURED_SEGMENT
    size += initramfs.pack(
        run.sh, [member for member in members if member.name.startswith(CONFIGURED)], configured, method, newest
    )
    target = run.build_dir / "initramfs.img"
    initramfs.concatenate([programs, configured, run.build_dir / MODULES_SEGMENT], target)
    kernel = _kernel(run)
    drivers = run.build_dir / DRIVERS
    run.image = RescueImage(
        kernel.image, target, kernel.version, command_line(run.settings["KERNEL_CMDLINE"]),
        drivers.resolve() if drivers.exists() else None,
    )  # fmt: skip
    run.report.detail(
        f"The initramfs has {target.stat().st_size / 1e6:.0f} MB;"
        f" without modules it takes {size / 1e6:.0f} MB of memory"
    )


def free_tree(run: Run) -> None:
    """A backup, which may take hours, needs the memory more than a tree that is packed."""
    from ..rescue import memory

    memory.give_back(run.sh, run.rootfs_dir)


def command_line(configured: str, own: str | None = None) -> str:
    """The kernel parameters of the rescue system: consoles and naming of this machine, then the configured ones."""
    words = (Path("/proc/cmdline").read_text() if own is None else own).split()
    kept = [word for word in words if word.startswith(KEPT_PARAMETERS)]
    if not any(word.startswith("console=") for word in (*kept, *configured.split())):
        kept.append(architectures.supported(platform.machine()).consoles)
    return " ".join([*kept, *configured.split()])
