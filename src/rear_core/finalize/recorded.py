# SPDX-License-Identifier: GPL-3.0-or-later
"""What was recorded of the machine besides its storage and network, and the boot loaders among that."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .. import own_files
from ..boot import conversion
from ..errors import ConfigurationError

if TYPE_CHECKING:
    from ..boot.loader import BootLoader, Entry, Facts
    from ..run import Run


def description(run: Run) -> dict[str, Any]:
    """The recorded system.json."""
    path = run.recovery_dir / "system.json"
    try:
        found = json.loads(own_files.read_text(path))
        found["system"]["firmware"]["mode"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"cannot read {path}: {error}", "use the rescue media of this machine") from error
    assert isinstance(found, dict)
    return found


def had_selinux(run: Run) -> bool:
    """Whether it was on; a description that does not say so leaves it to the configuration."""
    return bool(description(run)["system"].get("selinux", True))


def loaders(run: Run) -> list[tuple[BootLoader, Facts]]:
    """The boot loaders that the machine had, with what was recorded of them."""
    facts, known = description(run).get("boot_loaders", {}), run.plugins.call("rear_boot_loaders")
    found = [(loader, facts[loader.name]) for loader in known if loader.name in facts]
    adopted = [] if _fit(run, found) else list(_adopted(run, known, facts))
    new = [loader for loader, _ in adopted]
    return [*((loader, its) for loader, its in found if loader not in new), *adopted]


def _fit(run: Run, found: Sequence[tuple[BootLoader, Facts]]) -> bool:
    """Whether one of them starts the machine by the firmware that is here, or the firmware is what it was."""
    mode = run.system.firmware.mode
    here = [loader for loader, facts in found if loader.firmware == mode and not loader.is_left_over(facts)]
    return bool(here) or description(run)["system"]["firmware"]["mode"] == mode


def _adopted(run: Run, known: Sequence[BootLoader], facts: Mapping[str, Facts]) -> Iterator[tuple[BootLoader, Facts]]:
    """Loaders for the firmware that is here, which the machine did not have."""
    for loader in known:
        if loader.adopt and loader.firmware == run.system.firmware.mode:
            made = loader.adopt(run, facts, conversion.MOUNTPOINT)
            if made is not None:
                yield loader, made


def usable(run: Run) -> list[tuple[BootLoader, Facts]]:
    """Those that this firmware can start; of several, those by which it is known to have started the machine."""
    found = [(loader, facts) for loader, facts in loaders(run) if loader.firmware == run.system.firmware.mode]
    return [(loader, facts) for loader, facts in found if facts.get("started")] or found


def entries(run: Run) -> list[Entry]:
    """What they start of the recovered system, the default entry of each before the others."""
    menus = [loader.entries(run.target) for loader, _ in usable(run) if loader.entries]
    return [menu[0] for menu in menus if menu] + [entry for menu in menus for entry in menu[1:]]
