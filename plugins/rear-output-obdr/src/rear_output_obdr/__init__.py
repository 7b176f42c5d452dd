# SPDX-License-Identifier: GPL-3.0-or-later
"""OUTPUT=OBDR: a tape that boots as a CD on drives with One Button Disaster Recovery, with room for a backup."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rear_core import Ask, Contents, Run, Setting, Step, hookimpl
from rear_core.media.loaders import Medium
from rear_core.settings.shared import KEEP_OLD_OUTPUT_COPY, OUTPUT_PREFIX, by_other_means

if TYPE_CHECKING:
    from rear_core.media.format import Format

BOOT_IMAGE = Medium("the boot image", ("xorriso",))

INSTEAD_OF_PREFIX = "use a tape for each machine"
INSTEAD_OF_OLD_COPY = "use two tapes in turns"


@hookimpl
def rear_settings() -> Iterable[Setting]:
    from rear_core.media.tape import DEVICE

    yield DEVICE
    yield by_other_means(OUTPUT_PREFIX, INSTEAD_OF_PREFIX)
    yield by_other_means(KEEP_OLD_OUTPUT_COPY, INSTEAD_OF_OLD_COPY)


@hookimpl
def rear_formats() -> Iterable[Format]:
    from rear_core.media.tape import FORMAT

    yield FORMAT


@hookimpl
def rear_setup() -> Iterable[Ask]:
    from rear_core.media.tape import ASK

    yield ASK


@hookimpl
def rear_rescue_contents() -> Contents:
    return Contents(modules=["st"])


@hookimpl
def rear_missing(run: Run) -> Iterable[str]:
    from rear_core.media import loaders

    return loaders.missing(run, BOOT_IMAGE, loaders.find_installed(run))


@hookimpl
def rear_prep(run: Run) -> Iterable[Step]:
    if "output" in run.phases:
        yield Step(1, "Check that the settings of the tape agree", check_settings, by_settings=True)
        yield Step(30, "Check the boot loaders for the tape", check_boot_loaders)
        yield Step(35, "Check the tape", check_tape)


@hookimpl
def rear_backup(run: Run) -> Iterable[Step]:
    # A tape is written from its beginning: the boot image has to be there before a backup is put behind it.
    if "output" in run.phases:
        yield Step(20, "Write the boot image to tape", write_boot_image)


@hookimpl
def rear_output(run: Run) -> Iterable[Step]:
    if "backup" not in run.phases:
        yield Step(50, "Write the boot image to tape", write_boot_image)


def check_boot_loaders(run: Run) -> None:
    """Warn of the machines that the tape will not boot on."""
    from rear_core.media.loaders import find_loaders

    find_loaders(run, BOOT_IMAGE)


def check_settings(run: Run) -> None:
    """Raise `ConfigurationError` for what a tape has no use for."""
    from rear_core.archive.published import refuse_old_copy, refuse_prefix

    refuse_prefix(run, INSTEAD_OF_PREFIX)
    refuse_old_copy(run, INSTEAD_OF_OLD_COPY)


def check_tape(run: Run) -> None:
    """Raise `Refused` unless the tape in the drive can be started from its beginning."""
    from .tape import check

    check(run, Path(run.settings["TAPE_DEVICE"]))


def write_boot_image(run: Run) -> None:
    """Make the boot image, write it to the beginning of the tape, and read it back."""
    from rear_core.media.iso import verify_iso
    from rear_core.media.loaders import find_loaders
    from rear_core.media.rescue_iso import efi_image_path, payload, write_rescue_iso

    from .tape import write

    device, image = Path(run.settings["TAPE_DEVICE"]), run.build_dir / "boot.iso"
    write_rescue_iso(run, image, find_loaders(run, BOOT_IMAGE, warn=False), volume_id="REAR-OBDR")
    efi_image = efi_image_path(run)
    verify_iso(run.sh, image, payload(run), efi_image if efi_image.exists() else None)
    write(run, device, image)
    image.unlink()
    run.results.append(device)
