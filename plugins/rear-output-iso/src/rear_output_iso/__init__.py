# SPDX-License-Identifier: GPL-3.0-or-later
"""OUTPUT=ISO: a rescue image that boots on BIOS and UEFI, from CD and, copied as it is, from a stick."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rear_core import Ask, Refused, Run, Setting, Step, hookimpl
from rear_core.settings.shared import OUTPUT

if TYPE_CHECKING:
    from rear_core.media.carried import Room


@hookimpl
def rear_settings() -> Iterable[Setting]:
    yield Setting(
        "ISO_DIR",
        str,
        default="/var/lib/rear/output",
        check=_absolute,
        help="Folder for the finished ISO image and its checksum.",
    )
    yield Setting(
        "ISO_PREFIX",
        str,
        check=_file_name,
        help="Name of the ISO image without .iso. If empty: rear-<hostname>.",
    )
    yield Setting(
        "ISO_VOLID",
        str,
        default="REAR-ISO",
        check=_volume_id,
        help="Volume label of the ISO image, at most 32 characters.",
    )
    yield Setting(
        "ISO_MAX_SIZE",
        str,
        check=_size,
        help="Size of a medium: a number of MiB, a size such as 4.7GB or 4300MiB, or CD, DVD, DVD-DL, BD, BD-DL. A"
        " larger backup on the rescue media continues on further images. If empty: no limit.",
    )
    yield Setting(
        "ISO_BURN",
        str,
        check=_device,
        help="Drive to burn the finished images with, such as /dev/sr0; this erases a rewritable disc in it. If"
        " empty, rear burns nothing.",
    )
    yield from OUTPUT


@hookimpl
def rear_setup() -> Iterable[Ask]:
    from rear_core.settings.shared import ASK_OUTPUT_URL

    yield ASK_OUTPUT_URL


@hookimpl
def rear_missing(run: Run) -> Iterable[str]:
    from rear_core.places.opening import missing_programs

    from .boot import missing

    url = run.settings["OUTPUT_URL"]
    return [*missing(run), *(missing_programs(run, url) if url else ())]


@hookimpl
def rear_media_room(run: Run) -> Room:
    from .discs import room

    return room(run)


@hookimpl
def rear_media_reach() -> str:
    return "disk"


@hookimpl
def rear_prep(run: Run) -> Iterable[Step]:
    from rear_core.archive.published import check_settings

    if "output" in run.phases:
        yield Step(1, "Check what OUTPUT_URL is wanted for", check_settings, by_settings=True)
        yield Step(30, "Check the boot loaders for the ISO image", check_boot_loaders)
        yield Step(50, "Check the places for the ISO image", check_places)


@hookimpl
def rear_output(run: Run) -> Iterable[Step]:
    from .discs import make_further

    if run.carried and len(run.carried.media) > 1:
        yield Step(40, "Create the images with the rest of the backup", make_further)
    yield Step(50, "Create the ISO image", make_image)
    yield Step(60, "Read the ISO image back", verify_image)
    if run.settings["OUTPUT_URL"]:
        yield Step(80, "Copy the ISO image to OUTPUT_URL", copy_image)
    if run.settings["ISO_BURN"]:
        yield Step(90, "Burn", burn_images)


def check_boot_loaders(run: Run) -> None:
    """Warn of the machines that the image will not boot on."""
    from .boot import find_loaders

    find_loaders(run)


def check_places(run: Run) -> None:
    """Raise `Refused` unless ISO_DIR, OUTPUT_URL and the burner can be written, have room, and no backup gets lost."""
    from rear_core.archive.published import check_output
    from rear_core.places.room import check_room

    from .burn import check_burner, drive_path
    from .discs import USUAL_SIZE, carries_backup, check_owner, image_path

    previous = image_path(run)
    carries = carries_backup(run, previous)
    if carries and "backup" not in run.phases:
        raise Refused(
            f"{previous} carries a backup, which an image without one would replace",
            "run `rear mkbackup`, or set ISO_PREFIX or ISO_DIR to keep it",
        )
    check_owner(run, previous)
    # For a backup on the image the backup method checks the room, when it knows what is to be saved.
    bare = previous.exists() and not carries
    needed = max(USUAL_SIZE, previous.stat().st_size * 11 // 10 if bare else 0)
    check_room(previous.parent, needed, "ISO_DIR")
    check_output(run, previous.name, needed, lambda folder: check_owner(run, folder / previous.name))
    if run.settings["ISO_BURN"]:
        check_burner(run)
        check_owner(run, drive_path(run.settings["ISO_BURN"]))


def make_image(run: Run) -> None:
    """Write the image beside its place."""
    from rear_core.places.delivery import beside
    from rear_core.places.room import check_room

    from .boot import find_loaders
    from .discs import image_path, rescue_size
    from .image import carried, write_image

    path = image_path(run)
    needed = rescue_size(run) + sum(file.source.stat().st_size for file in carried(run).values())
    check_room(path.parent, needed, "ISO_DIR")
    path.parent.mkdir(parents=True, exist_ok=True)
    run.undo.callback(beside(path).unlink, missing_ok=True)
    write_image(run, beside(path), find_loaders(run, warn=False))


def verify_image(run: Run) -> None:
    """Compare the image with what it was made of, then give all images their names and write their checksums."""
    from rear_core.media.iso import verify_iso
    from rear_core.media.rescue_iso import efi_image_path, payload
    from rear_core.places.delivery import beside

    from .discs import MIB, check_size, discard, image_path, put_all_in_place, sums
    from .image import carried

    part = beside(image_path(run))
    efi_image = efi_image_path(run)
    verify_iso(run.sh, part, payload(run), efi_image if efi_image.exists() else None, sums(carried(run)))
    check_size(run, part)
    discard(carried(run))
    for path in put_all_in_place(run):
        run.results.append(path)
        run.report.say(f"{path} ({path.stat().st_size / MIB:.0f} MiB)")


def copy_image(run: Run) -> None:
    """Copy the images and their checksums to OUTPUT_URL and prove the copies; the first comes last, as in ISO_DIR."""
    from rear_core.archive.published import copy_to_output

    from .discs import further_paths, image_path, remove_older

    first, further = image_path(run), further_paths(run)
    keep_old = run.settings["KEEP_OLD_OUTPUT_COPY"]
    media = {path.name: [path] for path in (*further, first)}
    copy_to_output(run, media, lambda folder: remove_older(folder / first.name, further, keep_old=keep_old))


def burn_images(run: Run) -> None:
    """Burn every image and read it back."""
    from .burn import burn
    from .discs import further_paths, image_path

    burn(run, [image_path(run), *further_paths(run)])


def _absolute(value: str) -> str:
    return "" if value.startswith("/") else "must be an absolute path"


def _file_name(value: str) -> str:
    return "must be a file name without folders" if "/" in value or value.startswith(".") else ""


def _volume_id(value: str) -> str:
    if not 1 <= len(value) <= 32:
        return "must have 1 to 32 characters"
    return "" if value.isascii() and value.isprintable() else "must be printable ASCII"


def _size(value: str) -> str:
    from .discs import size_of

    try:
        size_of(value)
    except ValueError as error:
        return str(error)
    return ""


def _device(value: str) -> str:
    return "" if not value or value.startswith(("/dev/", "stdio:/")) else "must be a drive such as /dev/sr0"
