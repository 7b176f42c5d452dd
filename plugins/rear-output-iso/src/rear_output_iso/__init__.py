# SPDX-License-Identifier: GPL-3.0-or-later
"""OUTPUT=ISO: a rescue image that boots on BIOS and UEFI, from CD and, copied as it is, from a stick."""
from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rear_core import Run, Setting, Step, hookimpl

MIB = 1024 * 1024
# What a rescue system has needed so far; the exact number is known when it is packed.
USUAL_SIZE = 300 * MIB
BOOT_LOADER_SIZE = 32 * MIB
MENU_SECONDS = 10


@hookimpl
def rear_settings() -> Iterable[Setting]:
    yield Setting(
        "ISO_DIR", str, default="/var/lib/rear/output", check=_absolute,
        help="Folder in which the finished ISO image and its checksum are kept.",
    )
    yield Setting(
        "ISO_PREFIX", str, check=_file_name,
        help="Name of the ISO image without .iso. Left empty it is rear-<hostname>.",
    )
    yield Setting(
        "ISO_VOLID", str, default="REAR-ISO", check=_volume_id,
        help="Volume label of the ISO image, at most 32 characters.",
    )
    yield Setting(
        "OUTPUT_URL", str, check=_url,
        help="Where the ISO image is copied to: file:///folder or nfs://server/export/folder. Left empty it"
        " stays in ISO_DIR alone.",
    )
    yield Setting(
        "OUTPUT_OPTIONS", str,
        help="Options for mounting OUTPUT_URL, such as vers=4.2.",
    )  # fmt: skip


@hookimpl
def rear_missing(run: Run) -> Iterable[str]:
    from .boot import missing

    return missing(run)


@hookimpl
def rear_prep(run: Run) -> Iterable[Step]:
    if "output" in run.phases:
        yield Step(30, "Check what makes the ISO image boot", check_boot_loaders)
        yield Step(50, "Check the places the ISO image goes to", check_places)


@hookimpl
def rear_output(run: Run) -> Iterable[Step]:
    yield Step(50, "Make the ISO image", make_image)
    yield Step(60, "Read the ISO image back", verify_image)
    if run.settings["OUTPUT_URL"]:
        yield Step(80, "Copy the ISO image to OUTPUT_URL", copy_image)


def check_boot_loaders(run: Run) -> None:
    """Warn of the machines that the image will not boot on."""
    from .boot import find_loaders

    find_loaders(run)


def check_places(run: Run) -> None:
    """Raise `Refused` unless ISO_DIR and OUTPUT_URL can be written and have room."""
    from rear_core.media.location import check_room, check_writable, opened
    from rear_core.media.url import parse_url

    previous = image_path(run)
    needed = max(USUAL_SIZE, previous.stat().st_size * 11 // 10 if previous.exists() else 0)
    check_room(previous.parent, needed, "ISO_DIR")
    if run.settings["OUTPUT_URL"]:
        url = parse_url(run.settings["OUTPUT_URL"], "OUTPUT_URL")
        with opened(run, url, run.settings["OUTPUT_OPTIONS"]) as directory:
            check_room(directory, needed, "OUTPUT_URL")
            if directory.exists():
                check_writable(directory, str(url))


def image_path(run: Run) -> Path:
    """Where the finished image is kept on this machine."""
    name = run.settings["ISO_PREFIX"] or f"rear-{run.system.hostname}"
    return Path(run.settings["ISO_DIR"], f"{name}.iso")


def make_image(run: Run) -> None:
    """Write the image beside its place."""
    from rear_core.media.delivery import beside
    from rear_core.media.location import check_room

    from .boot import find_loaders
    from .image import write_image

    assert run.image is not None
    path = image_path(run)
    sizes = (file.stat().st_size for file in (run.image.kernel, run.image.initramfs))
    check_room(path.parent, sum(sizes) + BOOT_LOADER_SIZE, "ISO_DIR")
    path.parent.mkdir(parents=True, exist_ok=True)
    run.undo.callback(beside(path).unlink, missing_ok=True)
    write_image(run, beside(path), find_loaders(run, warn=False), MENU_SECONDS)


def verify_image(run: Run) -> None:
    """Compare the image with what it was made of, then give it its name and write its checksum."""
    from rear_core.media.delivery import beside, checksum, put_in_place
    from rear_core.media.iso import verify_iso

    from .image import efi_image_path, payload

    path = image_path(run)
    efi_image = efi_image_path(run)
    verify_iso(run.sh, beside(path), payload(run), efi_image if efi_image.exists() else None)
    put_in_place(beside(path), path, checksum(beside(path)))
    run.results.append(path)
    run.report.say(f"{path} ({path.stat().st_size / MIB:.0f} MiB)")


def copy_image(run: Run) -> None:
    """Copy the image and its checksum to OUTPUT_URL and prove the copy."""
    from rear_core.media.delivery import checksum, deliver
    from rear_core.media.location import check_room, opened
    from rear_core.media.url import parse_url

    path = image_path(run)
    url = parse_url(run.settings["OUTPUT_URL"], "OUTPUT_URL")
    if url.scheme == "file" and Path(url.path).resolve() == path.parent.resolve():
        return
    with opened(run, url, run.settings["OUTPUT_OPTIONS"]) as directory:
        check_room(directory, path.stat().st_size, "OUTPUT_URL")
        copy = deliver(path, directory, checksum(path))
    if url.scheme == "file":
        run.results.append(copy)
    run.report.say(f"Copied to {url}/{path.name}")


def _absolute(value: str) -> str:
    return "" if value.startswith("/") else "must be an absolute path"


def _file_name(value: str) -> str:
    return "must be a file name without folders" if "/" in value or value.startswith(".") else ""


def _volume_id(value: str) -> str:
    if not 1 <= len(value) <= 32:
        return "must have 1 to 32 characters"
    return "" if value.isascii() and value.isprintable() else "must be printable ASCII"


def _url(value: str) -> str:
    from rear_core.media.url import url_problem

    return url_problem(value) if value else ""
