# SPDX-License-Identifier: GPL-3.0-or-later
"""The rescue system as an entry of systemd-boot's menu on the machine that it is made for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from rear_core import RearError, durable, recovered
from rear_core.boot.loader import RESCUE, RescueMenu
from rear_core.errors import Refused

from . import menu

if TYPE_CHECKING:
    from rear_core import RescueImage, Run

ROOT = Path("/")
NAME = "rear-rescue.conf"
MARK = "# Written by rear for GRUB_RESCUE=yes"
# Without a sort-key: it comes behind the entries that have one, as those of kernel-install(8) and sdbootutil.
TEXT = """\
{mark}; without it, rear removes this file again.
title Relax-and-Recover
linux /{kernel}
initrd /{initramfs}
options {words}
"""


def partition() -> str:
    """Where the partition of the default entry is mounted; "" on a machine without a menu."""
    chosen = menu.default(ROOT, menu.read_menu(ROOT))
    found = [folder for folder in menu.folders(ROOT) if chosen and chosen.path.startswith(f"{folder}/")]
    return max(found, key=len, default="")


def folder() -> Path:
    """Where the files have to lie: systemd-boot reads no other partition."""
    here = partition()
    return recovered.inside(ROOT, here) / "rear" if here else RESCUE


def check(run: Run) -> None:
    """Raise `Refused` where its menu cannot start the rescue system, or anyone could who may not."""
    here = partition()
    if not here or not os.path.ismount(recovered.inside(ROOT, here)):
        raise Refused(
            "the partition with the entries of systemd-boot is not mounted", "mount it, or set GRUB_RESCUE=no"
        )
    if run.settings["GRUB_RESCUE_USER"] not in ("", "unrestricted"):
        raise Refused(
            "systemd-boot asks for no password, and GRUB_RESCUE_USER wants one",
            "set GRUB_RESCUE_USER=unrestricted if anyone at the console may start the rescue system, or GRUB_RESCUE=no",
        )
    if run.system.firmware.secure_boot and any(entry.part for entry in menu.entries(ROOT)[:1]):
        raise Refused(
            "Secure Boot is on, and this machine starts images that it has signed: the rescue system's kernel is none",
            "set GRUB_RESCUE=no, and boot the rescue media",
        )
    path = _file(here)
    if path.is_file() and MARK not in recovered.read(path):
        raise Refused(f"{path} was not written by rear, and GRUB_RESCUE would replace it", "move it away")


def offer(run: Run, image: RescueImage | None) -> None:
    """Have the menu start the rescue system; without one, no longer.

    Raises `RearError` if it cannot, or would start the rescue system by default; the menu is then as it was.
    """
    here = partition()
    path = _file(here)
    before = recovered.read(path) if path.is_file() else None
    if not here or (before is not None and MARK not in before) or (image is None and before is None):
        return
    default = _default()
    try:
        _put(path, _text(here, image) if image else None)
        if image and _default() != default:
            raise RearError(
                "systemd-boot would start the rescue system by default",
                "name the entry that it has to start in loader.conf (default), or set GRUB_RESCUE=no",
            )
        if image and image.kernel not in [recovered.inside(ROOT, entry.kernel) for entry in menu.entries(ROOT)]:
            raise RearError(f"the menu of systemd-boot does not start {image.kernel}", "look at it: `bootctl list`")
    except BaseException:
        _put(path, before)
        raise


def _file(here: str) -> Path:
    return recovered.inside(ROOT, f"{here}/{menu.ENTRIES}") / NAME


def _default() -> str:
    return next((entry.id for entry in menu.entries(ROOT)), "")


def _text(here: str, image: RescueImage) -> str:
    root = recovered.inside(ROOT, here)
    kernel, initramfs = (path.relative_to(root) for path in (image.kernel, image.initramfs))
    return TEXT.format(mark=MARK, kernel=kernel, initramfs=initramfs, words=image.command_line)


def _put(path: Path, text: str | None) -> None:
    if text is None:
        path.unlink(missing_ok=True)
    else:
        durable.write(path, text)


MENU = RescueMenu(check, offer, folder)
