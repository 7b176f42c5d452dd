# SPDX-License-Identifier: GPL-3.0-or-later
"""OUTPUT=RAWDISK: the image of a disk that boots on BIOS, UEFI and Secure Boot when it is written to one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rear_core import Ask, Run, Setting, Step, hookimpl
from rear_core.media.loaders import Medium
from rear_core.settings.shared import OUTPUT

MIB = 1 << 20
# What a rescue system has needed so far; the exact number is known when it is packed.
USUAL_SIZE = 300 * MIB
BOOT_LOADER_SIZE = 32 * MIB
DISK_IMAGE = Medium("the disk image", ("sfdisk", "mkfs.vfat", "mmd", "mcopy"))


@hookimpl
def rear_settings() -> Iterable[Setting]:
    yield Setting(
        "RAWDISK_IMAGE_NAME",
        str,
        check=_file_name,
        help="Name of the disk image without .raw. If empty: rear-<hostname>.",
    )
    yield from OUTPUT


@hookimpl
def rear_setup() -> Iterable[Ask]:
    from rear_core.settings.shared import ASK_OUTPUT_URL

    yield ASK_OUTPUT_URL


@hookimpl
def rear_missing(run: Run) -> Iterable[str]:
    from rear_core.media import loaders
    from rear_core.places.opening import missing_programs

    url = run.settings["OUTPUT_URL"]
    found = loaders.missing(run, DISK_IMAGE, loaders.find_installed(run))
    return [*dict.fromkeys([*found, *(missing_programs(run, url) if url else ())])]


@hookimpl
def rear_media_reach() -> str:
    return "disk"


@hookimpl
def rear_prep(run: Run) -> Iterable[Step]:
    from rear_core.archive.published import check_settings

    if "output" in run.phases:
        yield Step(1, "Check what OUTPUT_URL is wanted for", check_settings, by_settings=True)
        yield Step(30, "Check the boot loaders for the disk image", check_boot_loaders)
        yield Step(50, "Check the places for the disk image", check_places)


@hookimpl
def rear_output(run: Run) -> Iterable[Step]:
    yield Step(50, "Create the disk image and read it back", make_image)
    if run.settings["OUTPUT_URL"]:
        yield Step(80, "Copy the disk image to OUTPUT_URL", copy_image)


def check_boot_loaders(run: Run) -> None:
    """Warn of the machines that the image will not boot on."""
    from rear_core.media.loaders import find_loaders

    find_loaders(run, DISK_IMAGE)


def check_places(run: Run) -> None:
    """Raise `Refused` unless both places can be written and have room, and hold no image of another machine."""
    from rear_core.archive.published import check_output
    from rear_core.places.room import check_room

    check_room(image_path(run).parent, 2 * USUAL_SIZE, "VAR_DIR")
    check_output(run, image_path(run).name, USUAL_SIZE)


def make_image(run: Run) -> None:
    """Write the image beside its place and read it back; then it gets its name and checksum."""
    from rear_core.media.loaders import find_loaders
    from rear_core.media.rescue_disk import write_rescue_disk
    from rear_core.places.delivery import beside, checksum, put_in_place
    from rear_core.places.room import check_room

    assert run.image is not None
    path = image_path(run)
    needed = run.image.size + BOOT_LOADER_SIZE
    check_room(path.parent, 2 * needed, "VAR_DIR")
    path.parent.mkdir(parents=True, exist_ok=True)
    run.undo.callback(beside(path).unlink, missing_ok=True)
    write_rescue_disk(run, beside(path), find_loaders(run, DISK_IMAGE, warn=False))
    put_in_place(path, checksum(beside(path)), keep_old=run.settings["KEEP_OLD_OUTPUT_COPY"])
    run.results.append(path)
    run.report.say(f"{path} ({path.stat().st_size / MIB:.0f} MiB)")


def copy_image(run: Run) -> None:
    """Copy the image to OUTPUT_URL and read the copy back."""
    from rear_core.archive.published import copy_to_output

    copy_to_output(run, {image_path(run).name: [image_path(run)]})


def image_path(run: Run) -> Path:
    """Where the finished image is kept on this machine."""
    name = run.settings["RAWDISK_IMAGE_NAME"] or f"rear-{run.system.hostname}"
    return run.var_dir / "output" / f"{name}.raw"


def _file_name(value: str) -> str:
    return "must be a file name without folders" if "/" in value or value.startswith(".") else ""
