# SPDX-License-Identifier: GPL-3.0-or-later
"""systemd-boot: its menu, unified kernel images, and what the firmware needs to start it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rear_core import Step, hookimpl

if TYPE_CHECKING:
    from rear_core.boot.loader import BootLoader


@hookimpl
def rear_boot_loaders() -> Iterator[BootLoader]:
    """systemd-boot."""
    from .loader import SYSTEMD_BOOT

    yield SYSTEMD_BOOT


@hookimpl
def rear_finalize() -> Iterator[Step]:
    # Before and behind the OS plugin, whose tools make the initramfs at 50 and call kernel-install for it.
    from .renew import Renewal

    renewal = Renewal()
    yield Step(45, "Keep the menu of systemd-boot as it is", renewal.begin)
    yield Step(52, "Give systemd-boot the new initramfs", renewal.end)
