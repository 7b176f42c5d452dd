# SPDX-License-Identifier: GPL-3.0-or-later
"""The core's own behaviour, written as plugins on the same hooks that third parties use."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

NAMES = (
    "core", "system", "scripts", "storage", "stakes", "luks", "lvm", "multipath", "iscsi", "network", "rescue", "build",
    "pack", "drivers", "parts", "boot_menu", "backup", "recreate", "rehearsed", "finalize", "clone",
    "health",
)  # fmt: skip


def modules() -> list[ModuleType]:
    """The built-in plugins, in the order in which their settings are documented."""
    return [import_module(f".{name}", __name__) for name in NAMES]
