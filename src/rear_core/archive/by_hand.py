# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that somebody else restores: the terminal says what is expected, and rear waits and looks at the result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from .. import questions
from ..errors import Refused
from . import external
from .progress import size

if TYPE_CHECKING:
    from ..run import Run
    from .external import FileSystem, Found

# Where distributions have the kernels of a whole system.
KERNELS = (
    "boot/*vmlinu*", "boot/[Ii]mage*", "boot/kernel*", "boot/efi/**/*.efi", "efi/**/*.efi",
    "usr/lib/modules/*/vmlinuz",
)  # fmt: skip
SHELL = ("bash", "--login")


def check(run: Run, waits: str) -> None:
    """Raise `Refused` unless somebody is at the terminal, for whom a method `waits`, and has the backup at hand."""
    if not questions.is_interactive(run):
        raise Refused(f"nobody can restore the files: {waits}", "use a terminal without -n")
    at_hand = questions.confirm(
        run, "Is the backup at hand, and can it be read", default=False, quits="stopped before anything was written"
    )
    if not at_hand:
        raise Refused("the backup is not at hand", "get it first; rear changed nothing")


def wait_for(run: Run, found: Found, text: str = "") -> None:
    """Show what is expected, and open a shell until it is there and somebody says so."""
    for line in request(run, found.file_systems, text):
        run.report.say(line)
    while True:
        with questions.waiting():
            run.sh.attach(*SHELL, cwd=run.target)
        lacks = list(missing(run, found.file_systems))
        for line in lacks:
            run.report.say(line)
        question, again = ("Open the shell again", True) if lacks else ("Are all files restored", False)
        if questions.confirm(run, question, default=again, quits="stopped on request") != again:
            break


def request(run: Run, wanted: Sequence[FileSystem], text: str = "") -> Iterator[str]:
    """What the administrator is asked for; `text` is what the method knows of it."""
    yield f"Restore the files of this machine to {run.target} now:"
    for system in wanted:
        files = f", {system.files} files" if system.files else ""
        yield f"  {system.path} to {run.target}{system.path.rstrip('/')}: {size(system.bytes)}{files}"
    if text:
        yield text
    yield "Keep owners, modes, ACLs and extended attributes. sshd runs, too. Type exit when all files are there."


def missing(run: Run, wanted: Sequence[FileSystem]) -> Iterator[str]:
    """What keeps the files from being those of a system that can start."""
    empty, lost = external.absent(run, wanted)
    if empty:
        yield f"Nothing was restored of {' '.join(empty)}"
    if lost:
        run.report.say(f"Not restored: {external.few(lost)}")
    is_system = any(system.path == "/" for system in wanted)
    if is_system and not any(any(run.target.glob(pattern)) for pattern in KERNELS):
        yield f"There is no kernel in {run.target}/boot"
