# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives systemd-boot the initramfs and the names of devices of a recovered system, and leaves its menu as it was.

The OS plugin makes the initramfs in /boot. The tools that it calls hand that on to kernel-install(8), if they do so at
all; without /etc/kernel/cmdline this writes the parameters of the running kernel into the entry, which here are those
of the rescue system.
"""

from __future__ import annotations

import filecmp
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rear_core import RearError, recovered
from rear_core.boot.loader import Entry
from rear_core.finalize import proof, recorded
from rear_core.finalize.decision import reasons_for_new_initramfs

from . import menu, unified
from .partition import NAME, SOURCES

if TYPE_CHECKING:
    from rear_core import Run

PARAMETERS = ("/etc/kernel/cmdline", "/usr/lib/kernel/cmdline")

# The time and size of a file, which differ when it was rewritten.
Stamp = tuple[int, int]


class Renewal:
    """What there was before the initramfs is rebuilt: texts of the entries by their paths, and stamps of files."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.stamps: dict[Path, Stamp] = {}
        self.reasons: list[str] = []

    def begin(self, run: Run) -> None:
        """Note what the menu is, and have kernel-install find the parameters that the machine was started with."""
        if not is_used(run):
            return
        entries = menu.entries(run.target)
        self.texts = {name: recovered.read(path) for name, path in texts(run.target)}
        files = [recovered.inside(run.target, entry.kernel) for entry in entries if entry.part]
        files += [source for entry in entries for source in sources(run.target, entry)]
        self.stamps = {path: stamp(path) for path in files}
        self.reasons = reasons_for_new_initramfs(run)
        if self.reasons or not entries or any(unified.is_stale(run, entry) for entry in entries):
            keep_parameters(run, entries[0] if entries else None)

    def end(self, run: Run) -> None:
        """Put the menu back, and bring the new initramfs to where systemd-boot reads it."""
        if not is_used(run):
            return
        self.put_back(run.target)
        for number, entry in enumerate(menu.entries(run.target)):
            try:
                done = self.rebuild(run, entry) if entry.part else self.copy(run.target, entry)
            except (RearError, OSError) as error:
                line = f"{(entry.initramfs or [entry.kernel])[-1]} is not as this machine needs it: {error}"
                (run.recovery.differences if number else run.recovery.problems).append(line)
            else:
                run.recovery.done += done

    def put_back(self, target: Path) -> None:
        """Give entries the texts that they had; one that is there once more, with tries to be counted, is removed."""
        for name, text in self.texts.items():
            path = recovered.inside(target, name)
            if not path.is_file():
                recovered.create(path, text)
            elif recovered.read(path) != text:
                recovered.replace(path, text)
        known = {menu.identifier(name) for name in self.texts}
        for name, path in texts(target):
            if name not in self.texts and menu.identifier(name) in known:
                path.unlink()

    def copy(self, target: Path, entry: Entry) -> list[str]:
        """Copy the initramfs that was rebuilt in /boot to the one that the entry loads, unless that was done."""
        for source in sources(target, entry):
            place = recovered.inside(target, entry.initramfs[-1])
            if self.is_new(source) and not (place.is_file() and filecmp.cmp(source, place, shallow=False)):
                beside = place.with_name(f".{place.name}.rear")
                try:
                    shutil.copyfile(source, beside)
                    beside.replace(place)
                finally:
                    beside.unlink(missing_ok=True)
                return [f"{entry.initramfs[-1]}: the new initramfs"]
        return []

    def rebuild(self, run: Run, entry: Entry) -> list[str]:
        """Rebuild a unified kernel image, unless that was done."""
        if self.is_new(recovered.inside(run.target, entry.kernel)):
            return [f"{entry.kernel} rebuilt"]
        if not self.reasons and not unified.is_stale(run, entry):
            return []
        initramfs = next(sources(run.target, entry), None)
        unified.rebuild(run, entry, initramfs)
        return [f"{entry.kernel} rebuilt: {'; '.join(self.reasons) or 'it names devices that have changed'}"]

    def is_new(self, path: Path) -> bool:
        """Whether a file was written since the beginning."""
        return path in self.stamps and stamp(path) != self.stamps[path]


def is_used(run: Run) -> bool:
    """Whether the recovered machine has systemd-boot."""
    return any(loader.name == NAME for loader, _ in recorded.loaders(run))


def texts(target: Path) -> Iterator[tuple[str, Path]]:
    """The files of entries: their paths there, and here."""
    for folder in menu.folders(target):
        yield from recovered.find(target, f"{folder}/{menu.ENTRIES}/*.conf")


def sources(target: Path, entry: Entry) -> Iterator[Path]:
    """The files in which the initramfs of an entry is made, other than the one that systemd-boot loads."""
    folder = proof.modules_of(target, entry)
    if folder is None or not entry.initramfs:
        return
    place = recovered.inside(target, entry.initramfs[-1])
    for pattern in SOURCES:
        path = recovered.inside(target, pattern.format(folder.name))
        if path != place and path.is_file():
            yield path


def stamp(path: Path) -> Stamp:
    """What differs when a file is rewritten."""
    found = path.stat()
    return found.st_mtime_ns, found.st_size


def keep_parameters(run: Run, entry: Entry | None) -> None:
    """Write /etc/kernel/cmdline until the run ends, where the system has none."""
    if any(recovered.inside(run.target, name).is_file() for name in PARAMETERS):
        return
    facts = next(facts for loader, facts in recorded.loaders(run) if loader.name == NAME)
    words = entry.arguments if entry else facts.get("parameters", ())
    if words:
        path = recovered.inside(run.target, PARAMETERS[0])
        recovered.create(path, unified.renewed(run, " ".join(words)) + "\n")
        run.undo.callback(path.unlink, missing_ok=True)
