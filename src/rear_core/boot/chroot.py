# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs programs of the recovered system inside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..rescue.tree import Tree
from ..shell import SEARCH_PATH, Argument, Outcome

if TYPE_CHECKING:
    from pathlib import Path

    from ..run import Run

# /run holds what udev knows about the devices, which GRUB, LVM and the makers of an initramfs ask for.
SHOWN = ("proc", "sys", "dev", "run")


def show_kernel(run: Run) -> None:
    """Show /proc, /sys, /dev and /run inside the target until the run ends."""
    for name in SHOWN:
        place = run.target / name
        place.mkdir(mode=0o755, exist_ok=True)
        run.sh.run("mount", "--rbind", f"/{name}", place)
        run.undo.callback(_hide, run, place)
        # What is unmounted in there must stay mounted here.
        run.sh.run("mount", "--make-rslave", place)


def _hide(run: Run, place: Path) -> None:
    # A daemon that a program left behind must not keep the target's disks busy.
    if run.sh.run("umount", "--recursive", place, ok=range(256)).status:
        run.sh.run("umount", "--recursive", "--lazy", place, ok=range(256))


def run_inside(
    run: Run, *argv: Argument, timeout: float = 600, input: str | None = None, env: Mapping[str, str] | None = None
) -> Outcome:
    """Run a program of the recovered system with its root as /; fails as `run.sh.run` does."""
    return run.sh.run("chroot", run.target, *argv, timeout=timeout, input=input, env=env)


def has_program(run: Run, name: str) -> bool:
    """Whether the recovered system has a program."""
    return any(Tree(run.target).has(f"{place}/{name}") for place in SEARCH_PATH.split(":"))
