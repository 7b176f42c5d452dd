# SPDX-License-Identifier: GPL-3.0-or-later
"""The boot menu of rescue media: the same entries on all, rendered from templates."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..template import render

if TYPE_CHECKING:
    from ..run import Run

# The parameter by which the init of the rescue system chooses; the last one counts.
AUTO = re.compile(r"(?:^|\s)rear\.auto=(\S*)")
# Enough to pull a medium out that nobody wanted to start.
UNATTENDED_SECONDS = 30


@dataclass(frozen=True)
class Entry:
    """A way to start the rescue system; `id` is a word, `command_line` the kernel's."""

    id: str
    title: str
    command_line: str


def recovers_by_itself(command_line: str) -> bool:
    """Whether the rescue system recovers without a question when it gets these parameters."""
    return AUTO.findall(command_line)[-1:] == ["recover"]


def entries(title: str, command_line: str, *, unattended: bool = False) -> list[Entry]:
    """All ways; the first, which starts by itself, overwrites nothing unless it shall be `unattended`.

    What `command_line` chooses beforehand comes first, under a title that tells it.
    """
    chosen = "recover" if unattended else "".join(AUTO.findall(command_line)[-1:])
    recovering = f"Recover {title} automatically (overwrites its disks)"
    if chosen == "recover":
        recovering = f"!!! RECOVERS {title} WITHOUT A QUESTION, OVERWRITES ITS DISKS !!!"
    ways = [
        ("recover", f"Rescue system of {title}: menu to recover or repair", ""),
        ("automatic", recovering, "recover"),
        ("shell", "Rescue shell", "shell"),
    ]
    others = AUTO.sub("", command_line).strip()
    return [
        Entry(word, text, " ".join(filter(None, [others, auto and f"rear.auto={auto}"])))
        for word, text, auto in sorted(ways, key=lambda way: way[2] != chosen)
    ]


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
    ways = entries(title, command_line, unattended=unattended)
    return render(
        run, template,
        title=title, kernel=kernel, initramfs=initramfs, command_line=command_line, entries=ways,
        timeout=seconds(ways, timeout),
    )  # fmt: skip


def seconds(ways: list[Entry], usual: int) -> int:
    """How long a menu waits before its first way starts."""
    return max(usual, UNATTENDED_SECONDS) if recovers_by_itself(ways[0].command_line) else usual


def grub_menu(run: Run, *, title: str, kernel: str, initramfs: str, command_line: str, timeout: int) -> str:
    """The menu for GRUB, whose paths begin at its root device."""
    return boot_menu(
        run, "grub.cfg.j2",
        title=title, kernel=kernel, initramfs=initramfs, command_line=command_line, timeout=timeout,
    )  # fmt: skip


def _quoted(text: str) -> str:
    """Text that is safe between double quotes of GRUB's script language."""
    return "".join(character for character in text if character.isprintable() and character not in '"\\$`')
