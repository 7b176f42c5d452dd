# SPDX-License-Identifier: GPL-3.0-or-later
"""One menu with an entry for each machine of the tree: what a machine gets that has no menu of its own.

The entries lead to menus of the machines, which start nothing by themselves that overwrites disks.
"""

from __future__ import annotations

import re

from rear_core import Refused, Run
from rear_core.places.place import Place
from rear_core.template import render

from .lock import locked
from .nodes import DEFAULT, PLACES
from .tree import MARK, foreign, home, write

# The names of all machines, a line each.
MACHINES = "rear/machines"
NAME = re.compile(r"[A-Za-z0-9_][\w.-]*", re.ASCII)
TEMPLATES = {"pxelinux": "PXE_all_config", "grub": "PXE_all.grub", "ipxe": "PXE_all_script.ipxe"}


def own_name(run: Run) -> str:
    """What this machine is called in the menu; `Refused` for what would be more than a name there."""
    name = home(run).partition("/")[2]
    if not NAME.fullmatch(name):
        raise Refused(f"{name!r} cannot be an entry of the menu of all machines", "set PXE_PREFIX to a plain name")
    return name


def own_menus(run: Run) -> dict[str, str]:
    """The names of the menus of this machine that its entry leads to, with their boot loaders."""
    return {f"{folder}rear-{own_name(run)}": loader for loader, folder in PLACES.items()}


def check(run: Run, place: Place) -> None:
    """Raise unless this machine can have an entry, and no other tool has a menu where that of all machines goes."""
    own_name(run)
    for folder in PLACES.values():
        if foreign(place, folder + DEFAULT):
            raise Refused(f"{folder}{DEFAULT} on the server is not from rear", "move it away, or remove PXE_MENU")


def join(run: Run, place: Place) -> None:
    """Have an entry for this machine, unless all is as it should be."""
    if _is_complete(run, place, _machines(place)):
        return
    with locked(run, place) as renew:
        machines = sorted({*_machines(place), own_name(run)})
        write(run, place, MACHINES, "".join(f"{name}\n" for name in machines))
        for name, text in _menus(run, machines).items():
            renew()
            write(run, place, name, text)


def _is_complete(run: Run, place: Place, machines: list[str]) -> bool:
    if own_name(run) not in machines:
        return False
    return all(place.read(name) == text.encode() for name, text in _menus(run, machines).items())


def _machines(place: Place) -> list[str]:
    """The names in the list; whoever may write there may write no more than names into the menus."""
    text = (place.read(MACHINES) or b"").decode(errors="replace")
    return sorted({line.strip() for line in text.splitlines() if NAME.fullmatch(line.strip())})


def _menus(run: Run, machines: list[str]) -> dict[str, str]:
    found = {}
    for loader, folder in PLACES.items():
        head = "#!ipxe\n" if loader == "ipxe" else ""
        text = render(run, TEMPLATES[loader], machines=machines)
        found[folder + DEFAULT] = f"{head}{MARK}: the menu of all machines; {MACHINES} lists them.\n{text}"
    return found
