# SPDX-License-Identifier: GPL-3.0-or-later
"""Burns finished images by xorriso, and proves each disc by reading it back."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from rear_core import ProgramFailed, RearError, Refused, Run, questions
from rear_core.places.delivery import CHUNK, checksum

from .discs import check_owner

HOURS = 3600
# What xorriso calls a file that stands for a drive.
PSEUDO = "stdio:"


def drive_path(drive: str) -> Path:
    """The device, or the file that stands for one."""
    return Path(drive[len(PSEUDO) :] if drive.startswith(PSEUDO) else drive)


def check_burner(run: Run) -> None:
    """Raise `Refused` unless ISO_BURN is an optical drive, or a file that stands for one."""
    drive = run.settings["ISO_BURN"]
    path = drive_path(drive)
    if drive.startswith(PSEUDO):
        if path.is_block_device():
            raise Refused(f"ISO_BURN={drive} is a device, not a file", "copy the image to a stick by hand")
        return
    # Major number 11 are optical drives (devices.txt of the kernel): xorriso would write on any disk.
    if not path.is_block_device() or os.major(path.stat().st_rdev) != 11:
        raise Refused(f"ISO_BURN={drive} is not an optical drive", "look for it with `xorriso -devices`")


def burn(run: Run, images: Sequence[Path]) -> None:
    """Burn the images one after the other, asking for a blank disc before each but the first."""
    for number, image in enumerate(images, start=1):
        if number > 1:
            ask_for_blank(run, number, images)
        burn_one(run, image)
        run.report.say(f"Burned and read back: disc {number} of {len(images)}, {image.name}")


def ask_for_blank(run: Run, number: int, images: Sequence[Path]) -> None:
    """Wait for the next blank disc; nobody there to put it in is an error that names what is left."""
    if not questions.is_interactive(run):
        left = " ".join(os.fspath(image) for image in images[number - 1 :])
        raise RearError(
            f"this run is unattended and cannot ask for disc {number} of {len(images)}",
            f"burn the rest by hand: {left}",
        )
    drive = run.settings["ISO_BURN"]
    request = f"Put a blank disc for disc {number} of {len(images)} into {drive}"
    questions.wait(run, request, quits=f"stopped before burning disc {number}, as requested; the images are finished")


def burn_one(run: Run, image: Path) -> None:
    """Burn an image and compare what the disc holds with it."""
    drive = run.settings["ISO_BURN"]
    check_owner(run, drive_path(drive))
    try:
        run.sh.run("xorriso", "-as", "cdrecord", "-v", f"dev={drive}", "blank=as_needed", image, timeout=12 * HOURS)
    except ProgramFailed as error:
        raise RearError(
            f"cannot burn {image.name} with {drive}: {error.message}",
            f"insert another blank disc and run: xorriso -as cdrecord -v dev={drive} blank=as_needed {image}",
        ) from error
    path, size = drive_path(drive), image.stat().st_size
    if read_back(path, size) != checksum(image):
        raise RearError(f"the disc in {drive} differs from {image}", "use another disc, or burn more slowly")


def read_back(path: Path, size: int) -> str:
    """The SHA-256 of the first `size` bytes of a disc, from the disc and not from memory."""
    digest = hashlib.sha256()
    try:
        with path.open("rb", buffering=0) as disc:
            if stat.S_ISREG(os.fstat(disc.fileno()).st_mode):
                os.fsync(disc.fileno())
            os.posix_fadvise(disc.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            while size and (block := disc.read(min(CHUNK, size))):
                digest.update(block)
                size -= len(block)
    except OSError as error:
        raise RearError(f"the disc in {path} cannot be read back: {error.strerror}", "use another disc") from error
    if size:
        raise RearError(f"the disc in {path} ends {size} bytes too early", "use another disc")
    return digest.hexdigest()
