# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the rescue system into the boot menu of this machine, if GRUB_RESCUE asks for it."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Collection, Iterable
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import Refused
from ..hookspecs import hookimpl
from ..settings.model import Setting
from ..step import Step

if TYPE_CHECKING:
    from ..boot.loader import RescueMenu
    from ..run import RescueImage, Run

MIB = 1 << 20
# The names of what is put there, also unfinished: nothing else in that folder is ours.
OWN = re.compile(r"\.?(vmlinuz-[0-9a-f]{12}|initramfs-[0-9a-f]{12}\.img)(\.part)?")
# What a boot loader needs besides to write its menu.
MARGIN = 4 * MIB


def _is_user(value: str) -> str:
    return "" if re.fullmatch(r"[\w.-]*", value) else "must be a name of letters, digits, dots, hyphens and underscores"


@hookimpl
def rear_settings() -> Iterable[Setting]:
    yield Setting(
        "GRUB_RESCUE", bool, default=False,
        help="Whether the boot menu of this machine (GRUB, systemd-boot) offers its rescue system, from files in"
        " /boot/rear, or in the folder rear of the partition that systemd-boot reads. It does not"
        " help where the disk has failed: keep media elsewhere, too.",
    )  # fmt: skip
    yield Setting(
        "GRUB_RESCUE_USER", str, check=_is_user,
        help="The superuser of GRUB whose password starts the rescue system from the boot menu; unrestricted: anyone"
        " at the console may start it. If empty, GRUB asks for a password where it has superusers.",
    )  # fmt: skip


@hookimpl
def rear_analyse_dr(run: Run) -> Iterable[Step]:
    if "output" in run.phases and run.settings["GRUB_RESCUE"]:
        yield Step(50, "Check that the boot menu can offer the rescue system", check)


@hookimpl
def rear_output(run: Run) -> Iterable[Step]:
    if run.settings["GRUB_RESCUE"]:
        yield Step(80, "Offer the rescue system in the boot menu of this machine", offer)
    elif any(own_files(menu.folder()) for menu in _known(run)):
        yield Step(80, "Remove the rescue system from the boot menu of this machine", withdraw)


def check(run: Run) -> None:
    """Raise `Refused` if no boot loader of this machine can offer it."""
    menus = _menus(run)
    if not menus:
        raise Refused(
            "GRUB_RESCUE: this machine has no boot loader whose menu can offer the rescue system",
            "set GRUB_RESCUE=no, and boot the rescue media",
        )
    for menu in menus:
        menu.check(run)


def offer(run: Run) -> None:
    """Copy the rescue system to where the loader reads it, name it in the menu, and remove the one before it."""
    from ..media.menu import AUTO, recovers_by_itself

    assert run.image is not None
    given, placed = run.image, []
    if recovers_by_itself(given.command_line):
        # Its entry stands beside those of the system that it would overwrite.
        given = replace(given, command_line=AUTO.sub("", given.command_line).strip())
    with ExitStack() as undo:
        for menu in _menus(run):
            image = place(given, undo, menu.folder())
            placed += [image.kernel, image.initramfs]
            menu.offer(run, image)
    _remove(run, placed)


def own_files(folder: Path) -> list[Path]:
    """What rear has put into a folder: somebody else may have files there, too."""
    return [path for path in folder.iterdir() if OWN.fullmatch(path.name)] if folder.is_dir() else []


def place(image: RescueImage, undo: ExitStack, folder: Path) -> RescueImage:
    """The kernel and initramfs in a folder, for root alone, under names that tell their contents.

    An exception that unwinds `undo` removes them again.

    Raises `Refused` if there is no room: those that the menu starts now stay until it starts the new ones.
    """
    from ..places.delivery import checksum, store

    sums = {path: checksum(path) for path in (image.kernel, image.initramfs)}
    mark = hashlib.sha256("".join(sums.values()).encode()).hexdigest()[:12]
    placed = replace(image, kernel=folder / f"vmlinuz-{mark}", initramfs=folder / f"initramfs-{mark}.img")
    folder.mkdir(mode=0o700, exist_ok=True)
    new = {image.kernel: placed.kernel, image.initramfs: placed.initramfs}
    new = {source: path for source, path in new.items() if not path.is_file() or checksum(path) != sums[source]}
    needed, free = sum(source.stat().st_size for source in new) + MARGIN, shutil.disk_usage(folder).free
    if new and needed > free:
        raise Refused(
            f"{folder} needs {needed // MIB} MiB, and has {free // MIB} MiB: the rescue system is not in the boot menu",
            "make room there (old kernels), or set GRUB_RESCUE=no",
        )
    for source, path in new.items():
        undo.push(lambda kind, *_, path=path: path.unlink(missing_ok=True) if kind else None)
        store(source, path, sums[source])
    return placed


def withdraw(run: Run) -> None:
    """Take it out of the menu, then remove its files."""
    for menu in _known(run):
        menu.offer(run, None)
    _remove(run)


def _remove(run: Run, keep: Collection[Path] = ()) -> None:
    """Remove what rear has put into the folders of all loaders, but for these files."""
    for folder in {menu.folder() for menu in _known(run)}:
        for path in own_files(folder):
            if path not in keep:
                path.unlink()
        with suppress(OSError):  # not there, or files in it
            folder.rmdir()


def _known(run: Run) -> list[RescueMenu]:
    """Those of all boot loaders, each once: GRUB for BIOS and for UEFI have one."""
    known = run.plugins.call("rear_boot_loaders")
    return list(dict.fromkeys(loader.rescue_menu for loader in known if loader.rescue_menu))


def _menus(run: Run) -> list[RescueMenu]:
    """Those of the boot loaders in use, each once."""
    from ..finalize import recorded

    return list(dict.fromkeys(loader.rescue_menu for loader, _ in recorded.usable(run) if loader.rescue_menu))
