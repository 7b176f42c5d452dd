# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides what the rescue system is made of: kernel, programs, modules; and checks that this machine has it."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ..contents import Contents, merge
from ..errors import Refused
from ..hookspecs import hookimpl
from ..settings.model import Setting
from ..step import Step
from ..trees import walk

if TYPE_CHECKING:
    from ..run import Run

MIB = 1 << 20
# What the tree takes without kernel modules and the administrator's files, and that packed; measured, with a margin.
TREE_SIZE = 300 * MIB
# What the packed parts take that are kept; measured, with a margin.
CACHE_SIZE = 100 * MIB
# Programs that only the making of the rescue system needs.
BUILD_PROGRAMS = ("chroot", "cp", "depmod", "modinfo", "mount", "umount")


def _is_hash(value: str) -> str:
    return "" if not value or value.startswith("$") else "must be a password hash as `openssl passwd -6` prints it"


@hookimpl
def rear_settings() -> Iterable[Setting]:
    yield Setting(
        "RESCUE_BINARIES",
        list,
        aliases=("REQUIRED_PROGS",),
        help="More programs that the rescue system must have: names in the search path, or full paths.",
    )
    yield Setting(
        "RESCUE_BINARIES_OPTIONAL",
        list,
        aliases=("PROGS",),
        help="More programs that the rescue system gets if they are installed.",
    )
    yield Setting(
        "RESCUE_FILES",
        list,
        existing=True,
        aliases=("COPY_AS_IS",),
        help="Files and directories, by full path or pattern, to copy into the rescue system, with the libraries"
        " that programs among them need.",
    )
    yield Setting(
        "RESCUE_FILES_EXCLUDE",
        list,
        aliases=("COPY_AS_IS_EXCLUDE",),
        help="Paths or patterns to leave out when RESCUE_FILES names a whole directory.",
    )
    yield Setting(
        "RESCUE_LIBRARIES",
        list,
        aliases=("LIBS",),
        help="Libraries, by full path or pattern, that a program loads by name while it runs.",
    )
    yield Setting(
        "MODULES",
        list,
        help="Kernel modules to add to the default set, which has the drivers for storage, network, file systems and"
        " input that a recovery on other hardware can need. ( all_modules ) adds all.",
    )
    yield Setting(
        "RESCUE_MODULES",
        list,
        help="More kernel modules, used like MODULES; scripts can extend this list.",
    )
    yield Setting(
        "EXCLUDE_MODULES",
        list,
        help="Kernel modules to leave out of the rescue system, with the modules that need them, and the firmware that"
        " only these name. rear warns if this machine uses one of them.",
    )
    yield Setting(
        "RESCUE_SPLIT",
        bool,
        default=False,
        help="Whether the rescue system starts with the drivers of this machine and of the media alone, and takes all"
        " others, with their firmware, from a second file on the media (OUTPUT=ISO, USB, RAWDISK, PXE), as large"
        " firmware needs it. PXE needs PXE_HTTP_DOWNLOAD_URL for it.",
    )
    yield Setting(
        "RESCUE_SIZE_WARNING",
        int,
        default=200,
        check=lambda value: "" if value >= 0 else "must be 0 or more",
        help="Size of the packed rescue system, in MiB, above which rear warns, and shows its largest parts with what"
        " leaves them out; some firmware cannot load larger ones. 0 never warns.",
    )
    yield Setting(
        "MODULES_LOAD",
        list,
        help="Kernel modules that the rescue system always loads when it starts, even without matching hardware.",
    )
    yield Setting(
        "INITRAMFS_COMPRESSION",
        str,
        choices=("", "zstd", "xz", "gzip"),
        help="Compression of the rescue system. If empty: the first of zstd, xz, gzip that the kernel can read.",
    )
    yield Setting(
        "KERNEL_CMDLINE",
        str,
        help="More kernel parameters of the rescue system; consoles and interface naming come from this machine.",
    )
    yield Setting(
        "SSH_ROOT_PASSWORD",
        str,
        secret=True,
        check=_is_hash,
        help="Hash of a password with which root can log in to the rescue system by ssh, as `openssl passwd -6`"
        " prints it. If empty, only root's authorized keys are accepted.",
    )
    yield Setting(
        "SSH_HOST_KEYS",
        bool,
        default=False,
        help="Whether the rescue system has this machine's ssh host keys. Anyone can then read them on the media;"
        " without them it creates new ones at each start.",
    )
    yield Setting(
        "RESCUE_ALLOW_SECRETS",
        list,
        help="Paths or patterns in the rescue system that may hold private keys or password hashes. Any other such"
        " file stops the build.",
    )


@hookimpl
def rear_rescue_contents(run: Run) -> Contents:
    from ..rescue.programs import base_contents
    from .scripts import listed_contents

    own = Contents(
        optional_programs=run.settings["RESCUE_BINARIES_OPTIONAL"],
        libraries=run.settings["RESCUE_LIBRARIES"],
        modules=[name for name in run.settings["MODULES"] if name != "no_modules"],
        load=run.settings["MODULES_LOAD"],
    )
    return merge([base_contents(), own, listed_contents(run)])


@hookimpl
def rear_prep(run: Run) -> Iterable[Step]:
    if "build" in run.phases:
        yield Step(20, "Check that the programs of the rescue system are installed", check_programs)
        yield Step(20, "Check that the listed files exist", check_files)
        yield Step(20, "Check that media overwrite nothing by themselves", warn_of_recovery)
        yield Step(30, "Check that there is room to build the rescue system", check_space)
        yield Step(30, "Check that there is room for its cached parts", check_cache)


@hookimpl
def rear_analyse_rescue() -> Iterable[Step]:
    yield Step(10, "Choose the kernel", choose_kernel)
    yield Step(20, "Decide the contents of the rescue system", decide_contents)


def all_contents(run: Run) -> Contents:
    """What the core, plugins and settings declare, as one."""
    return merge(run.plugins.call("rear_rescue_contents", run=run))


def warn_of_recovery(run: Run) -> None:
    """Say loudly that the media will not ask before they overwrite disks."""
    from ..media.menu import UNATTENDED_SECONDS, recovers_by_itself

    if recovers_by_itself(run.settings["KERNEL_CMDLINE"]):
        run.report.warn(
            "KERNEL_CMDLINE has rear.auto=recover: a machine that starts from these media overwrites its disks WITHOUT"
            f" A QUESTION after {UNATTENDED_SECONDS} seconds, at every start: take them out when it has come back"
        )


def check_programs(run: Run) -> None:
    """Name all missing programs at once, with the command that installs them."""
    from ..rescue.programs import missing

    absent = missing(run.sh, merge([Contents(BUILD_PROGRAMS), all_contents(run)]))
    if "output" in run.phases:
        absent += run.plugins.call("rear_missing", run=run)
    if absent:
        absent = list(dict.fromkeys(absent))
        raise Refused(f"not installed: {', '.join(absent)}", run.plugins.install_advice(absent))


def check_files(run: Run) -> None:
    """Warn of each path or pattern of the configuration that no file has: it was mistyped, or is not there yet."""
    for name in ("RESCUE_FILES", "RESCUE_LIBRARIES"):
        for pattern in run.settings[name]:
            if not pattern.startswith("/"):
                run.report.warn(f"{name}: {pattern!r} is not a full path")
            elif not any(glob.iglob(pattern)):
                run.report.warn(f"{name}: {pattern} does not exist, and will be missing in the rescue system")


def check_space(run: Run) -> None:
    """Refuse to begin a build that would fill the disk."""
    from ..places.room import check_room
    from ..system.kernel import choose

    place = run.build_dir if run.build_dir != Path() else Path(run.settings["TMPDIR"])
    check_room(place, tree_size(run) + _size(choose(run).modules) // 2, "TMPDIR")


def check_cache(run: Run) -> None:
    """Refuse to begin a build whose packed parts cannot be kept; those that are there may be used again."""
    from ..places.room import check_room

    check_room(run.cache_dir, max(0, CACHE_SIZE - _size(run.cache_dir)), "CACHE_DIR")


def tree_size(run: Run) -> int:
    """What the tree will take, and that packed; scripts may add to it."""
    return TREE_SIZE + 2 * sum(_size(Path(path)) for path in run.settings["RESCUE_FILES"] if "*" not in path)


def _size(path: Path) -> int:
    if path.is_dir():
        found = (os.path.join(folder, name) for folder, _, names in walk(os.fspath(path)) for name in names)
        return sum(os.lstat(file).st_size for file in found)
    return path.stat().st_size if path.is_file() else 0


def choose_kernel(run: Run) -> None:
    """Decide for a kernel and tell when it is not the running one."""
    from ..system.kernel import choose

    run.kernel = choose(run)
    for warning in run.kernel.warnings:
        run.report.warn(warning)
    run.report.detail(f"Kernel {run.kernel.version}")


def decide_contents(run: Run) -> None:
    """Merge all declarations, now that layout and network are known; what they add must be installed as well."""
    check_programs(run)
    run.contents = all_contents(run)
