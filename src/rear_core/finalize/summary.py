# SPDX-License-Identifier: GPL-3.0-or-later
"""The final report of a recovery: for the terminal, as text and JSON and HTML, kept with the log in its system."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from .. import recovered
from ..report import visible

if TYPE_CHECKING:
    from ..run import Recovery

VERSION = 1
FOLDER = "/var/log/rear"
STAMP = "%Y-%m-%dT%H%M%SZ"


def lines(recovery: Recovery) -> list[str]:
    """The report as text."""
    text = [f"  {line}" for line in recovery.done]
    text += ["Differs from before:", *(f"  {line}" for line in recovery.differences)] if recovery.differences else []
    text += ["Some files are missing:", *(f"  {line}" for line in recovery.missing)] if recovery.missing else []
    if recovery.problems:
        text += ["It will not start as it should:", *(f"  {line}" for line in recovery.problems)]
    else:
        text.append(
            "It can boot: kernel, initramfs, boot loader, disk drivers and every device that it needs to start are"
            " in place."
        )
    from ..storage.same_plan import SHOWN

    text += [f"Plan {recovery.plan[:SHOWN]}"] if recovery.plan else []
    return [*text, "Time: " + ", ".join(f"{phase} {duration(spent)}" for phase, spent in recovery.seconds.items())]


def duration(seconds: float) -> str:
    """A time as people say it: 42 s, 3 min 5 s."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def keep(target: Path, recovery: Recovery, facts: Mapping[str, str], log: Path | None, page: str = "") -> None:
    """Write the report and copy the log to /var/log/rear of the recovered system, for root alone.

    `facts` are the `date`, in the form of STAMP, and what else is told; `page` is the report as HTML, "" for none.
    """
    folder = recovered.inside(target, FOLDER)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    recovered.label(folder)
    stamp = facts["date"]
    content = {"version": VERSION, **facts, **asdict(recovery)}
    _write(folder / f"recovery-{stamp}.json", json.dumps(content, indent=2) + "\n")
    _write(folder / f"recovery-{stamp}.txt", "\n".join(map(visible, lines(recovery))) + "\n")
    if page:
        _write(folder / f"recovery-{stamp}.html", page)
    if log is not None and log.is_file():
        copy = folder / f"recovery-{stamp}.log"
        shutil.copyfile(log, copy)
        copy.chmod(0o600)
        recovered.label(copy)


def _write(path: Path, text: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    recovered.label(path)
