# SPDX-License-Identifier: GPL-3.0-or-later
"""A recorded machine for tests of what a recovery does after the files are back."""

from __future__ import annotations

import json

from ..builtin import system
from ..plugins import CORE, Found
from ..run import Run
from ..system import Firmware, OperatingSystem, System


def started_by_grub(run: Run) -> None:
    """Give a run the description of a machine with BIOS that GRUB started, and this machine the same firmware."""
    facts = {"boot_sectors": [{"device": "/dev/sda", "core_place": "after the MBR"}]}
    run.plugins.take(Found(CORE, "system", system.__name__, "rear-core", "", module=system))
    run.system = System(OperatingSystem("linux"), "web1", "x86_64", "6.1", Firmware("bios"))
    run.recovery_dir.mkdir(parents=True, exist_ok=True)
    document = {"system": {"firmware": {"mode": "bios"}}, "boot_loaders": {"GRUB BIOS": facts}}
    (run.recovery_dir / "system.json").write_text(json.dumps(document))
