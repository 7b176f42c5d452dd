# SPDX-License-Identifier: GPL-3.0-or-later
"""The boot menu of rescue media: the same entries on all, rendered from templates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..template import render

if TYPE_CHECKING:
    from ..run import Run


@dataclass(frozen=True)
class Entry:
    """A way to start the rescue system; `id` is a word, `command_line` the kernel's."""

    id: str
    title: str
    command_line: str


def entries(title: str, command_line: str, *, unattended: bool = False) -> list[Entry]:
    """All ways; the first, which starts by itself, overwrites nothing unless it shall be `unattended`."""
    ways = [
        ("recover", f"Rescue system of {title}: menu to recover or repair", ""),
        ("automatic", f"Recover {title} automatically (overwrites its disks)", " rear.auto=recover"),
        ("shell", "Rescue shell", " rear.auto=shell"),
    ]
    if unattended:
        loud = f"!!! RECOVERS {title} WITHOUT A QUESTION, OVERWRITES ITS DISKS !!!"
        ways = [("automatic", loud, " rear.auto=recover"), ways[0], ways[2]]
    return [Entry(word, text, command_line + parameter) for word, text, parameter in ways]


def boot_menu(
    run: Run,
    template: str,
    *,
    title: str,
    kernel: str,
    initramfs: str,
    command_line: str,
    timeout: int,
    unattended: bool = False,
) -> str:
    """A menu by a template: `kernel` and `initramfs` are paths on the medium, `title` names the machine."""
    title = _quoted(title)
    return render(
        run, template,
        title=title, kernel=kernel, initramfs=initramfs, command_line=command_line, timeout=timeout,
        entries=entries(title, command_line, unattended=unattended),
    )  # fmt: skip


def grub_menu(run: Run, *, title: str, kernel: str, initramfs: str, command_line: str, timeout: int) -> str:
    """The menu for GRUB, whose paths begin at its root device."""
    return boot_menu(
        run, "grub.cfg.j2",
        title=title, kernel=kernel, initramfs=initramfs, command_line=command_line, timeout=timeout,
    )  # fmt: skip


def _quoted(text: str) -> str:
    """Text that is safe between double quotes of GRUB's script language."""
    return "".join(character for character in text if character.isprintable() and character not in '"\\$`')
