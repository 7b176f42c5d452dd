# SPDX-License-Identifier: GPL-3.0-or-later
"""OUTPUT=USB: a disk or stick that boots on BIOS and UEFI, with rescue systems of several machines and dates."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rear_core import Ask, Run, Setting, Step, hookimpl
from rear_core.settings.shared import KEEP_OLD_OUTPUT_COPY, OUTPUT_PREFIX, by_other_means

if TYPE_CHECKING:
    from rear_core.media.format import Format

MIB = 1024 * 1024
# What a rescue system has needed so far; the exact number is known when it is packed.
USUAL_SIZE = 300 * MIB

INSTEAD_OF_PREFIX = "find the rescue systems of each machine in boot/rear/HOSTNAME on the disk"
INSTEAD_OF_OLD_COPY = "set USB_RETAIN_BACKUP_NR=2 or more"


@hookimpl
def rear_settings() -> Iterable[Setting]:
    yield Setting(
        "USB_DEVICE",
        str,
        check=_device,
        help="The file system for the rescue system, on a disk that `rear format` prepared. If empty, rear finds it"
        " by its label, /dev/disk/by-label/REAR-000.",
    )
    yield Setting(
        "USB_DEVICE_FILESYSTEM_LABEL",
        str,
        default="REAR-000",
        check=_label,
        help="The label that `rear format` sets, and by which rear finds the disk. Disks used in turns can share a"
        " label or have one each.",
    )
    yield by_other_means(OUTPUT_PREFIX, INSTEAD_OF_PREFIX)
    yield by_other_means(KEEP_OLD_OUTPUT_COPY, INSTEAD_OF_OLD_COPY)
    yield Setting(
        "USB_RETAIN_BACKUP_NR", int, default=2, check=_positive,
        help="How many rescue systems of this machine to keep on the disk. rear removes the oldest after a new one"
        " is in the menu, so there must be room for one more. BACKUP_KEEP sets the number of backups.",
    )  # fmt: skip


@hookimpl
def rear_formats() -> Iterable[Format]:
    from rear_core.media.format import Format

    from .disk import becomes, examine, suits, write

    yield Format("a disk or USB stick", suits, examine, becomes, write)


@hookimpl
def rear_setup() -> Iterable[Ask]:
    yield Ask("USB_DEVICE", "The stick, if it has another label than REAR-000; `rear format /dev/sdX` prepares one")


@hookimpl
def rear_missing(run: Run) -> Iterable[str]:
    from .loaders import missing

    return missing(run)


@hookimpl
def rear_media_reach() -> str:
    return "disk"


@hookimpl
def rear_prep(run: Run) -> Iterable[Step]:
    if "output" in run.phases:
        yield Step(1, "Check that the settings of the USB disk agree", check_settings, by_settings=True)
        yield Step(30, "Check the boot loaders for the USB disk", check_boot_loaders)
        yield Step(50, "Check the USB disk", check_disk)


@hookimpl
def rear_output() -> Iterable[Step]:
    yield Step(50, "Write the rescue system to the USB disk", write_rescue_system)
    yield Step(60, "Install the boot loaders on the USB disk", install_loaders)
    yield Step(70, "Write the boot menu of the USB disk", write_menu)
    yield Step(80, "Remove old rescue systems from the USB disk", remove_old)


def check_boot_loaders(run: Run) -> None:
    """Warn of the machines that the disk will not boot on."""
    from .loaders import find_loaders

    find_loaders(run)


def check_settings(run: Run) -> None:
    """Raise `ConfigurationError` for what a disk of several machines has no use for."""
    from rear_core.archive.published import refuse_old_copy, refuse_prefix

    refuse_prefix(run, INSTEAD_OF_PREFIX)
    refuse_old_copy(run, INSTEAD_OF_OLD_COPY, run.settings["USB_RETAIN_BACKUP_NR"])


def check_disk(run: Run) -> None:
    """Raise `Refused` unless the disk is there, was made by `rear format`, can be written and has room."""
    from rear_core.archive.repository import identity
    from rear_core.archive.signature import known_marks
    from rear_core.places.room import check_room, check_writable
    from rear_core.system.identity import told_apart

    from .stick import find_stick, opened
    from .versions import of_machine, others

    stick = find_stick(run)
    with opened(run, stick) as root:
        for other in others(root, run.system.hostname, identity(run), known_marks(run)):
            of = told_apart(other.machine, identity(run))
            run.report.warn(
                f"another machine called {run.system.hostname} has rescue systems on the USB disk ({of}):"
                " they stay, and the menu names both; if it was this machine on other hardware or with a lost key,"
                " remove them from boot/rear by hand"
            )
        sizes = [version.size for version in of_machine(root, run.system.hostname)]
        check_room(root, max([USUAL_SIZE, *(size * 11 // 10 for size in sizes)]), "USB_DEVICE")
        check_writable(root, stick.data)


def write_rescue_system(run: Run) -> None:
    """Write kernel and initramfs and read them back; the menu does not name them yet."""
    from rear_core.archive.repository import identity
    from rear_core.archive.signature import own_mark
    from rear_core.places.room import check_room

    from .stick import find_stick, opened
    from .versions import write

    assert run.image is not None
    stick = find_stick(run)
    with opened(run, stick) as root:
        check_room(root, run.image.size + MIB, "USB_DEVICE")
        version = write(root, run.system.hostname, run.image, identity(run), own_mark(run), stick.uuid)
    run.results.append(Path(stick.data))
    run.report.say(f"Wrote {version.title} to {stick.data} ({version.size / MIB:.0f} MiB)")


def install_loaders(run: Run) -> None:
    """Put the loaders there that are not there yet."""
    from .loaders import install
    from .stick import find_stick, opened

    stick = find_stick(run)
    with opened(run, stick) as root:
        (root / stick.marker).parent.mkdir(parents=True, exist_ok=True)
        (root / stick.marker).touch()
    install(run, stick)


def write_menu(run: Run) -> None:
    """Name all rescue systems that are to stay, in one menu."""
    from rear_core.archive.repository import identity
    from rear_core.archive.signature import known_marks

    from .stick import find_stick, opened
    from .versions import all_versions, menu, put_menu, too_many

    with opened(run, find_stick(run)) as root:
        keep = run.settings["USB_RETAIN_BACKUP_NR"]
        doomed = too_many(root, run.system.hostname, keep, identity(run), known_marks(run))
        put_menu(root, menu(run, [version for version in all_versions(root) if version not in doomed]))


def remove_old(run: Run) -> None:
    """Remove what the menu does not name any more."""
    from rear_core.archive.repository import identity
    from rear_core.archive.signature import known_marks

    from .stick import find_stick, opened
    from .versions import remove, too_many

    with opened(run, find_stick(run)) as root:
        keep = run.settings["USB_RETAIN_BACKUP_NR"]
        for version in too_many(root, run.system.hostname, keep, identity(run), known_marks(run)):
            remove(root, version)
            run.report.detail(f"Removed {version.title} from the USB disk")


def _device(value: str) -> str:
    return "" if not value or value.startswith("/dev/") else "must be a path such as /dev/disk/by-label/REAR-000"


def _label(value: str) -> str:
    # ext4 has 16 bytes for it; names with other characters are written in several ways.
    return "" if re.fullmatch(r"[A-Za-z0-9._-]{1,16}", value) else "must have 1 to 16 letters, digits, dots or hyphens"


def _positive(value: int) -> str:
    return "" if value > 0 else "must be 1 or more: the new rescue system is always kept"
