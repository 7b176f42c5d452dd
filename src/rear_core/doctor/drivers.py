# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the rescue system has the drivers of the disks and network cards that this machine uses."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import RearError
from ..health.checks import State
from .examination import Problem

if TYPE_CHECKING:
    from ..run import Run

SYS = Path("/sys")


def look_at_drivers(run: Run) -> Iterator[Problem]:
    """Compare the modules that drive the hardware with those that media would get."""
    from ..builtin.pack import selected_modules
    from ..builtin.rescue import all_contents
    from ..rescue.modules import ModuleIndex, name_of, normalize

    if run.kernel is None:
        raise RearError("there is no kernel for the rescue system")
    run.contents = all_contents(run)
    index = ModuleIndex(run.kernel.modules)
    carried = {name_of(path) for path in selected_modules(run, index)} | index.builtin
    for name, devices in modules_in_use(run).items():
        of = f"{name}, which drives {' '.join(devices)}"
        if normalize(name) in carried:
            continue
        if normalize(name) in index.files:
            advice = f"take it out of EXCLUDE_MODULES, or add MODULES+=( {name} )"
            yield Problem(State.CRITICAL, f"the rescue system leaves out {of}", advice)
        else:
            advice = f"build or install it for this kernel (`dkms autoinstall`), then run depmod {run.kernel.version}"
            yield Problem(State.CRITICAL, f"the kernel {run.kernel.version} has no module {of}", advice)


def modules_in_use(run: Run, sys: Path = SYS) -> dict[str, list[str]]:
    """The modules behind the described disks and the network cards, each with the names of these devices."""
    from ..storage.disk import Disk

    disks = [os.path.basename(os.path.realpath(disk.device)) for disk in (run.layout.of(Disk) if run.layout else ())]
    cards = [path for path in sorted((sys / "class/net").glob("*")) if _counts(run, path)]
    found: dict[str, list[str]] = {}
    for device in (*(path for disk in disks for path in _members(sys / "class/block" / disk)), *cards):
        for name in dict.fromkeys(drivers_of(device)):
            found.setdefault(name, []).append(device.name)
    return found


def _counts(run: Run, card: Path) -> bool:
    """Whether a network link is a card, and the rescue system would use it."""
    return (card / "device").exists() and (bool(run.settings["RESCUE_WIRELESS"]) or not (card / "phy80211").exists())


def _members(device: Path) -> list[Path]:
    """The disks that a block device of the kernel stands on: itself, where it is none of several paths."""
    slaves = sorted((device / "slaves").glob("*"))
    return [member for slave in slaves for member in _members(slave.resolve())] or [device]


def drivers_of(device: Path) -> Iterator[str]:
    """The modules of a device and of all controllers and buses above it; none for what is built in."""
    place = (device / "device").resolve()
    for folder in (place, *place.parents):
        module = folder / "driver" / "module"
        if module.exists():
            yield module.resolve().name
