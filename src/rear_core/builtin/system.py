# SPDX-License-Identifier: GPL-3.0-or-later
"""Describes the machine and its boot loader in recovery/system.json."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from .. import durable
from ..contents import Contents, merge
from ..hookspecs import hookimpl
from ..step import Step

if TYPE_CHECKING:
    from ..boot.loader import BootLoader
    from ..run import Run

VERSION = 1


@hookimpl
def rear_boot_loaders() -> Iterable[BootLoader]:
    from ..boot.extlinux import EXTLINUX, U_BOOT
    from ..boot.grub_bios import GRUB_BIOS
    from ..boot.grub_efi import GRUB_EFI
    from ..boot.limine import LIMINE_BIOS, LIMINE_EFI
    from ..boot.raspberry import RASPBERRY_PI
    from ..boot.refind import REFIND

    return [GRUB_BIOS, GRUB_EFI, EXTLINUX, U_BOOT, REFIND, LIMINE_BIOS, LIMINE_EFI, RASPBERRY_PI]


@hookimpl
def rear_rescue_contents(run: Run) -> Contents:
    of_loaders = [name for loader in run.plugins.call("rear_boot_loaders") for name in loader.programs]
    return Contents(optional_programs=["efibootmgr", *of_loaders], modules=["efivarfs"])


@hookimpl
def rear_analyse_dr() -> Iterable[Step]:
    yield Step(10, "Describe the system", describe_system)
    yield Step(40, "Find the boot loader", find_boot_loader)


@hookimpl
def rear_analyse_rescue() -> Iterable[Step]:
    # Where media are made, and only there: a backup alone does not bring the media up to date.
    yield Step(70, "Record the configuration that media depend on", record_watched)


def describe_system(run: Run) -> None:
    """Write what this machine is to system.json."""
    system = run.system
    firmware = system.firmware
    secure_boot = {True: ", Secure Boot on", False: ", Secure Boot off", None: ""}[firmware.secure_boot]
    run.report.detail(
        f"{system.hostname}: {system.os.pretty_name}, {system.machine}, {firmware.mode.upper()}{secure_boot}"
        + (f", {system.virtualization}" if system.virtualization else "")
    )
    write_description(run, {"system": asdict(system)})


def find_boot_loader(run: Run) -> None:
    """Add the boot loaders in use to system.json."""
    write_description(run, {"system": asdict(run.system), "boot_loaders": look_for_boot_loaders(run)})


def look_for_boot_loaders(run: Run) -> dict[str, Any]:
    """The facts of the boot loaders in use, by name; warn when none is recognized."""
    from ..boot.loader import detect_boot_loaders

    loaders = run.plugins.call("rear_boot_loaders")
    found = detect_boot_loaders(run, loaders)
    for loader in loaders:
        for line in loader.by_hand(run, found[loader.name]) if loader.by_hand and loader.name in found else ():
            run.report.warn(line)
    if found:
        run.report.detail(f"Boot loader: {', '.join(found)}")
    else:
        run.report.warn("rear recognized no boot loader; install one by hand after a recovery")
    return found


def record_watched(run: Run) -> None:
    """Note the files whose change makes media outdated."""
    from ..system import watched

    watched.save(run.recovery_dir, look_at_watched(run), run.undo)


def look_at_watched(run: Run) -> dict[str, str]:
    """The state of each of them now."""
    from ..rescue.tree import matcher
    from ..system import watched

    contents = merge(run.plugins.call("rear_rescue_contents", run=run))
    return watched.look([*run.settings["CHECK_CONFIG_FILES"], *contents.watched], matcher(contents.secrets))


def changed_files(run: Run) -> list[str]:
    """Which of them are not as they were when media were made last, a line each."""
    from ..system import watched
    from .storage import media_layout

    was = watched.load(run.recovery_dir)
    if was is None:
        return []
    # Storage has files of its own among them.
    return watched.compare(was, look_at_watched(replace(run, layout=media_layout(run))))


def write_description(run: Run, facts: dict[str, Any]) -> None:
    """Write system.json, with the identity of the machine, whether its backups are encrypted (not with which key), what
    verifies their signatures, also of those that it made before it was recovered, the backups that were there last, and
    the disks that are excluded: by names that others may have at a recovery."""
    from ..archive import notes
    from ..archive.described import signers
    from ..archive.repository import identity
    from ..archive.signature import public_key

    encrypted = any(run.settings.get(name) for name in ("BACKUP_KEY", "BACKUP_KEY_FILE"))
    known = dict.fromkeys([public_key(run), *signers(run)])
    document = {
        "version": VERSION, "identity": identity(run), "encrypted": encrypted, "signers": [*filter(None, known)],
        "backups": [*notes.read(run.var_dir)], "exclude_devices": [*run.settings.get("EXCLUDE_DEVICES", ())], **facts,
    }  # fmt: skip
    text = json.dumps(document, indent=2, sort_keys=True)
    durable.write(run.recovery_dir / "system.json", f"{text}\n")
