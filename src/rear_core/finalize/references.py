# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the names of block devices in the configuration of a restored system right where they changed.

Only the names are replaced: comments, order and spaces stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path

from .. import recovered
from ..storage.references import NamingFile, Reference
from ..storage.spared import SYSTEM
from .devices import Storage, decoded


@dataclass(frozen=True)
class Finding:
    """A reference of a file that had to be changed (`new`), or that leads nowhere (`new` is empty).

    The system starts without an `optional` one; `eased` says that it does since its line was given `nofail`.
    """

    file: str
    line: int
    old: str
    new: str
    optional: bool
    eased: bool = False

    def __str__(self) -> str:
        where = f"{self.file}, line {self.line}: {self.old}"
        eased = ": nofail added, so that the system starts without it" if self.eased else ""
        return f"{where} is now {self.new}" if self.new else f"{where} is on no device{eased}"


def fstab_targets(target: Path) -> list[str]:
    """The mount points that /etc/fstab of the recovered system names."""
    path = recovered.inside(target, "/etc/fstab")
    text = recovered.read(path) if path.is_file() else ""
    found = re.findall(r"^[ \t]*[^#\s]\S*[ \t]+(/\S*)", text, re.MULTILINE)
    return [decoded(name) for name in found]


def add_mount(target: Path, line: str) -> None:
    """Add a line to /etc/fstab of the recovered system."""
    path = recovered.inside(target, "/etc/fstab")
    text = recovered.read(path) if path.is_file() else ""
    text += "" if text.endswith("\n") or not text else "\n"
    (recovered.replace if path.is_file() else recovered.create)(path, f"{text}{line}\n")


def opened_at_start(target: Path, storage: Storage, naming: Iterable[NamingFile]) -> frozenset[str]:
    """The names that the system makes by its configuration as it starts, of devices that are here."""
    found: set[str] = set()
    for file in naming:
        path = recovered.inside(target, file.pattern)
        text = recovered.read(path) if file.makes and path.is_file() else ""
        for name, parts in file.makes(text) if file.makes else ():
            if all(one.value in found or storage.now(one.tag, one.value) for one in parts):
                found.add(name)
    return frozenset(found)


def rewrite_references(target: Path, storage: Storage, naming: Sequence[NamingFile]) -> list[Finding]:
    """Rewrite what changed in all files; returns that and what leads nowhere."""
    findings = []
    done: set[Path] = set()
    opened = opened_at_start(target, storage, naming)
    for file in naming:
        for name, path in recovered.find(target, file.pattern):
            if path in done:
                continue
            done.add(path)
            text = recovered.read(path)
            named = (reference for reference in file.read(text) if reference.value not in opened)
            changed, found = corrected(name, text, named, storage)
            changed, found = eased(file, changed, found)
            findings += found
            if changed != text:
                recovered.replace(path, file.whole(changed))
    return findings


def corrected(name: str, text: str, references: Iterable[Reference], storage: Storage) -> tuple[str, list[Finding]]:
    """The text as it must be, and what had to change in it or cannot be put right."""
    findings = []
    changed = text
    for reference in sorted(references, key=lambda reference: reference.start, reverse=True):
        new = storage.now(reference.tag, reference.value)
        if new != reference.value:
            line = text.count("\n", 0, reference.start) + 1
            shown = f"{reference.tag}={reference.value}" if reference.tag else reference.value
            findings.append(Finding(name, line, shown, new or "", reference.optional))
        if new:
            changed = changed[: reference.start] + new + changed[reference.end :]
    return changed, findings[::-1]


def eased(file: NamingFile, text: str, findings: Sequence[Finding]) -> tuple[str, list[Finding]]:
    """The text with `nofail` in the lines of fstab(5), crypttab(5) and the like whose devices are not there.

    What the system itself needs is left as it is: without it there is none.
    """
    if file.table is None:
        return text, list(findings)
    lines, told = text.split("\n"), []
    for finding in findings:
        line = lines[finding.line - 1]
        needed = file.pattern == "/etc/fstab" and decoded(line.split()[1]) in SYSTEM
        if not finding.new and not finding.optional and not needed:
            changed = with_nofail(line, file.table.options, file.table.filler)
            # It is read once more: what is said to start must have been understood.
            if all(reference.optional for reference in file.read(changed)):
                lines[finding.line - 1] = changed
                finding = replace(finding, optional=True, eased=True)
        told.append(finding)
    return "\n".join(lines), told


def with_nofail(line: str, field: int, filler: str) -> str:
    """The line with the option in the field of that number; `filler` stands for each before it that is not there."""
    fields = list(takewhile(lambda word: word[0][0] != "#", re.finditer(r"\S+", line)))[:field]
    end, options = fields[-1].end(), fields[-1][0].split(",") if len(fields) == field else []
    if "nofail" in options:
        return line
    if options in (["-"], ["none"]):  # an empty field
        return line[: fields[-1].start()] + "nofail" + line[end:]
    words = [filler] * (field - 1 - len(fields))
    return line[:end] + (",nofail" if options else " ".join(["", *words, "nofail"])) + line[end:]
