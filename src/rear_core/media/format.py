# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a device ready for rescue media and backups: which plugin does it, what would be lost, and whether to go on."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .. import questions
from ..errors import Interrupted, Refused

if TYPE_CHECKING:
    from ..run import Run


@dataclass(frozen=True)
class Format:
    """A kind of device that a plugin makes ready, such as a USB disk or a tape. Devices are paths without links.

    `suits` tells whether a device is of this kind. `examine` says in lines what it is and holds, and raises `Refused`
    when it must not be written to; both only look. `becomes` says what there is afterwards, `write` does it.
    """

    name: str
    suits: Callable[[Run, Path], bool]
    examine: Callable[[Run, Path], Sequence[str]]
    becomes: Callable[[Run, Path], str]
    write: Callable[[Run, Path], None]


def format_device(run: Run, name: Path, *, yes: bool) -> None:
    """Format a device after its user has agreed, which `yes` stands for; with `simulate` only say what would be done.

    Raises `Refused` when no active plugin knows its kind, when it must not be written to, or when nobody can be asked.
    """
    device = Path(os.path.realpath(name))
    known = chosen(run, name, device)
    found = tuple(known.examine(run, device))
    for line in (*found, f"It becomes: {known.becomes(run, device)}"):
        run.report.say(line)
    if run.options.simulate:
        return
    if not yes:
        ask(run, device)
    # Meanwhile somebody may have mounted it, or pulled it out and put in another.
    if tuple(known.examine(run, device)) != found:
        raise Refused(f"{device} has changed since rear showed it", "run it again and look once more")
    known.write(run, device)
    run.report.say(f"{device} is ready")


def chosen(run: Run, name: Path, device: Path) -> Format:
    """What formats a device; where a backup and an output plugin both do, the output plugin decides how it begins."""
    try:
        mode = device.stat().st_mode
    except OSError as error:
        raise Refused(f"there is no device {name}: {error.strerror}", "check `lsblk`, or plug it in") from error
    if not (stat.S_ISBLK(mode) or stat.S_ISCHR(mode)):
        raise Refused(f"{name} is not a device", "name a disk or tape by its path, such as /dev/sdx")
    kinds: list[Format] = run.plugins.call("rear_formats")
    suitable = [kind for kind in kinds if kind.suits(run, device)]
    if not suitable:
        names = ", ".join(kind.name for kind in kinds) or "no device at all"
        raise Refused(
            f"no active plugin can format {device}; plugins can format: {names}",
            "set OUTPUT or BACKUP to the method for this device; `rear plugins list` shows them",
        )
    return suitable[-1]


def ask(run: Run, device: Path) -> None:
    """Have the user type the device's path or `yes`; raise `Interrupted` for no, quit, or the Enter key alone."""
    if not questions.is_interactive(run):
        raise Refused(
            f"this run is unattended and cannot ask whether to erase {device}", "check what it holds, then add --yes"
        )
    left = f"{device} is unchanged, as requested"
    answers = {os.fspath(device): True, "yes": True, "no": False, "n": False, "": False}
    question = f"All of this will be lost. Type {device} or yes to continue: "
    if not questions.choose(run, question, answers, quits=left):
        raise Interrupted(left)
