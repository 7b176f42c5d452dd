# SPDX-License-Identifier: GPL-3.0-or-later
"""Rebuilds GRUB's menu of a recovered system where its configuration was changed; OS plugins say how."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .. import recovered
from ..errors import RearError
from .chroot import has_program, run_inside
from .grub_menu import CONFIGURATIONS

if TYPE_CHECKING:
    from ..run import Run

# What grub-mkconfig writes into all it makes; a few lines that only lead to another file do not have it.
GENERATED = "### BEGIN /etc/grub.d/"


def renew_menu(run: Run, commands: Iterable[Sequence[str]]) -> None:
    """Run these programs of the recovered system, for what grub.cfg says of devices beside their identifiers.

    Where no configuration was changed the menu stays as it is; a machine of another boot loader has none.
    """
    if not run.recovery.rewritten or not any(_menus(run)):
        return
    for command in commands:
        try:
            run_inside(run, *command)
        except RearError as error:
            # The names of devices in it were put right already.
            run.report.warn(f"GRUB's menu could not be updated: {error.message}")
        else:
            run.recovery.done.append("GRUB's menu updated")
    for _, path in _menus(run):
        recovered.label(path)


def mkconfig(run: Run) -> list[tuple[str, ...]]:
    """`grub2-mkconfig` for each menu that it has made before, wherever the distribution keeps them."""
    program = next((name for name in ("grub2-mkconfig", "grub-mkconfig") if has_program(run, name)), "")
    made: dict[Path, str] = {}
    for name, path in _menus(run):
        if GENERATED in recovered.read(path):
            made.setdefault(path, name)
    return [(program, f"--output={name}") for name in made.values()] if program else []


def _menus(run: Run) -> Iterator[tuple[str, Path]]:
    for pattern in CONFIGURATIONS:
        yield from recovered.find(run.target, pattern)
