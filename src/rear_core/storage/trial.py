# SPDX-License-Identifier: GPL-3.0-or-later
"""Tries on the healthy machine what a recovery will run: in sparse files of the recorded sizes, which cost little."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ProgramFailed, Refused
from .command import Command, Site
from .disk import Disk
from .inventory import read_devices
from .kinds import StorageKind
from .layout import Layout
from .plan import commands

if TYPE_CHECKING:
    from ..run import Run

SECONDS = 600


def try_commands(run: Run, layout: Layout, kinds: Sequence[StorageKind]) -> None:
    """Run what of the plan works on files; `Refused` names each file system that cannot be made.

    What fails here would fail in a recovery, after the disks were erased.
    """
    site = Site(layout, {item.id: item.device for item in layout.of(Disk)})
    sizes = {path: device.size for path, device in read_devices(run.sh, run.report.log).items()}
    problems = list(_problems(run, commands(site, kinds, lambda item: True), sizes))
    if problems:
        raise Refused(
            "; ".join(problems),
            "a recovery would fail after it erased the disks: leave the disk out with EXCLUDE_DEVICES, and please"
            " report what rear cannot create",
        )


def _problems(run: Run, planned: Iterator[Command], sizes: Mapping[str, int]) -> Iterator[str]:
    """What cannot be recreated, and why; the files of a command stay for those after it that work on the same."""
    folder = run.build_dir / "trial"
    folder.mkdir(mode=0o700)
    files: dict[str, Path] = {}
    failed: set[str] = set()
    for command in planned:
        if not command.trial or failed.intersection(command.devices or files):
            continue
        if command.devices:
            for file in files.values():
                file.unlink(missing_ok=True)
            files = {device: folder / str(number) for number, device in enumerate(command.devices)}
            if not _made(run, files, sizes):
                failed |= {*files}
                continue
        try:
            words = [_on_files(word, files) for word in command.trial]
            run.sh.run(*words, input=command.input or None, timeout=SECONDS)
        except ProgramFailed as error:
            failed |= {*files}
            if "No space left" in error.output:
                run.report.log(f"Not tried, as {folder} is full: {' '.join(files)}")
            else:
                yield f"{' and '.join(files)} cannot be recreated: {error.message} (while trying to {command.reason})"


def _made(run: Run, files: Mapping[str, Path], sizes: Mapping[str, int]) -> bool:
    """Make the files; False where that cannot be, as a file system takes no file of the size of an array."""
    try:
        for device, file in files.items():
            with file.open("wb") as made:
                made.truncate(sizes[device])
    except (KeyError, OSError) as error:
        run.report.log(f"Not tried: {' '.join(files)}: {error}")
        return False
    return True


def _on_files(word: str, files: Mapping[str, Path]) -> str:
    """A word of a command with its devices replaced: whole names, also after an equals sign."""
    for device, file in files.items():
        word = re.sub(rf"(?<![\w/]){re.escape(device)}(?![\w/-])", os.fspath(file), word)
    return word
