# SPDX-License-Identifier: GPL-3.0-or-later
"""OUTPUT=RAMDISK: kernel and initramfs as two files, for a boot loader of your own, with a text that says how."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from rear_core import Ask, Run, Setting, Step, hookimpl
from rear_core.settings.shared import OUTPUT

MIB = 1 << 20
# What kernel and initramfs have needed so far; the exact number is known when they are packed.
USUAL_SIZE = 300 * MIB
HOW_TO_BOOT = "RAMDISK_how_to_boot.txt"


@hookimpl
def rear_settings() -> Iterable[Setting]:
    yield Setting(
        "RAMDISK_SUFFIX",
        str,
        check=_name,
        help="What the names of the files end with: kernel-SUFFIX, initramfs-SUFFIX.img and ramdisk-SUFFIX.txt. If"
        " empty: the host name.",
    )
    yield from OUTPUT


@hookimpl
def rear_setup() -> Iterable[Ask]:
    from rear_core.settings.shared import ASK_OUTPUT_URL

    yield ASK_OUTPUT_URL


@hookimpl
def rear_missing(run: Run) -> Iterable[str]:
    from rear_core.places.opening import missing_programs

    url = run.settings["OUTPUT_URL"]
    return missing_programs(run, url) if url else ()


@hookimpl
def rear_prep(run: Run) -> Iterable[Step]:
    from rear_core.archive.published import check_settings

    if "output" in run.phases:
        yield Step(1, "Check what OUTPUT_URL is wanted for", check_settings, by_settings=True)
        yield Step(50, "Check the places for kernel and initramfs", check_places)


@hookimpl
def rear_output(run: Run) -> Iterable[Step]:
    yield Step(50, "Copy kernel and initramfs, and read them back", copy_files)
    if run.settings["OUTPUT_URL"]:
        yield Step(80, "Copy kernel and initramfs to OUTPUT_URL", copy_to_url)


def check_places(run: Run) -> None:
    """Raise `Refused` unless both places can be written and have room, and hold no files of another machine."""
    from rear_core.archive.published import check_output
    from rear_core.places.room import check_room

    check_room(folder(run), USUAL_SIZE, "VAR_DIR")
    check_output(run, medium(run), USUAL_SIZE)
    how_to_boot(run, "version", "")


def copy_files(run: Run) -> None:
    """Copy all files beside their places and read them back; then all get their names."""
    from rear_core.places.delivery import checksum
    from rear_core.places.folder import Folder
    from rear_core.places.room import check_room

    assert run.image is not None
    kernel, initramfs, text = paths(run)
    work = run.build_dir / "ramdisk"
    work.mkdir(exist_ok=True)
    (work / kernel.name).symlink_to(run.image.kernel)
    (work / initramfs.name).symlink_to(run.image.initramfs)
    (work / text.name).write_text(how_to_boot(run, run.image.kernel_version, run.image.command_line))
    sources = [work / path.name for path in paths(run)]
    check_room(kernel.parent, sum(path.stat().st_size for path in sources) + MIB, "VAR_DIR")
    sums = {path: checksum(path) for path in sources}
    keep_old = run.settings["KEEP_OLD_OUTPUT_COPY"]
    Folder(kernel.parent).put_all(sums, medium(run), "", keep_old)
    run.results += paths(run)
    for path in (kernel, initramfs):
        run.report.say(f"{path} ({path.stat().st_size / MIB:.0f} MiB)")
    run.report.say(f"{text} says how to boot them")


def copy_to_url(run: Run) -> None:
    """Copy the files to OUTPUT_URL and read the copies back."""
    from rear_core.archive.published import copy_to_output

    copy_to_output(run, {medium(run): paths(run)})


def how_to_boot(run: Run, kernel_version: str, command_line: str) -> str:
    """What the text beside the files says."""
    from rear_core.media.menu import entries
    from rear_core.template import render

    kernel, initramfs, _ = paths(run)
    title = f"{run.system.hostname}, Linux {kernel_version}"
    return render(
        run, HOW_TO_BOOT,
        title=title, kernel=kernel.name, initramfs=initramfs.name, entries=entries(run.system.hostname, command_line),
        machine=run.system.machine,
    )  # fmt: skip


def medium(run: Run) -> str:
    """What all files together are called, and their checksums after it."""
    return f"ramdisk-{run.settings['RAMDISK_SUFFIX'] or run.system.hostname}"


def paths(run: Run) -> list[Path]:
    """Kernel, initramfs and text on this machine."""
    suffix = run.settings["RAMDISK_SUFFIX"] or run.system.hostname
    names = (f"kernel-{suffix}", f"initramfs-{suffix}.img", f"{medium(run)}.txt")
    return [folder(run) / name for name in names]


def folder(run: Run) -> Path:
    """Where finished media are kept on this machine."""
    return run.var_dir / "output"


def _name(value: str) -> str:
    return "" if re.fullmatch(r"[\w.@+-]*", value, re.ASCII) else "may have letters, digits and . _ - + @"
