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

from ..boot import files
from ..boot.grub_menu import padded
from ..storage.spared import SYSTEM
from .devices import Storage, decoded
from .names import CRYPTTAB, FILES, INTEGRITYTAB, VERITYTAB, Reference, at, crypttab, fstab, integritytab, veritytab

# The tables whose lines can be given `nofail`: what reads them, which field has the options, and what stands for a
# field before that which is not there.
EASED = {
    "/etc/fstab": (fstab, 4, "auto"),
    "/etc/crypttab": (crypttab, 4, "none"),
    "/etc/integritytab": (integritytab, 4, "-"),
    "/etc/veritytab": (veritytab, 5, "-"),
}
# The tables of which systemd makes devices below /dev/mapper, in this order.
OPENED = {"/etc/integritytab": INTEGRITYTAB, "/etc/veritytab": VERITYTAB, "/etc/crypttab": CRYPTTAB}


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
        eased = ": given nofail, so that the system starts without it" if self.eased else ""
        return f"{where} is now {self.new}" if self.new else f"{where} is on no device{eased}"


def fstab_targets(target: Path) -> list[str]:
    """The mount points that /etc/fstab of the recovered system names."""
    path = files.inside(target, "/etc/fstab")
    text = files.read(path) if path.is_file() else ""
    found = re.findall(r"^[ \t]*[^#\s]\S*[ \t]+(/\S*)", text, re.MULTILINE)
    return [decoded(name) for name in found]


def opened_at_start(target: Path, storage: Storage) -> frozenset[str]:
    """The names below /dev/mapper that the system makes by its tables as it starts, of devices that are here."""
    found: set[str] = set()
    for name, lines in OPENED.items():
        path = files.inside(target, name)
        for line in lines.finditer(files.read(path) if path.is_file() else ""):
            if all(one.value in found or storage.now(one.tag, one.value) for one in at(line, "device", False)):
                found.add(f"/dev/mapper/{line['name']}")
    return frozenset(found)


def put_right(target: Path, storage: Storage) -> list[Finding]:
    """Rewrite what changed in all files; returns that and what leads nowhere."""
    findings = []
    done: set[Path] = set()
    opened = opened_at_start(target, storage)
    for pattern, references in FILES:
        for name, path in files.find(target, pattern):
            if path in done:
                continue
            done.add(path)
            text = files.read(path)
            named = (reference for reference in references(text) if reference.value not in opened)
            changed, found = corrected(name, text, named, storage)
            changed, found = eased(name, changed, found)
            findings += found
            if changed != text:
                files.replace(path, padded(changed) if path.name == "grubenv" else changed)
    return findings


def corrected(name: str, text: str, references: Iterable[Reference], storage: Storage) -> tuple[str, list[Finding]]:
    """The text as it must be, and what had to change in it or cannot be put right."""
    findings = []
    changed = text
    for reference in sorted(references, key=lambda reference: reference.start, reverse=True):
        new = storage.now(reference.tag, reference.value)
        if new != reference.value:
            line = text.count("\n", 0, reference.start) + 1
            shown = reference.value if reference.tag in ("", "LV") else f"{reference.tag}={reference.value}"
            findings.append(Finding(name, line, shown, new or "", reference.optional))
        if new:
            changed = changed[: reference.start] + new + changed[reference.end :]
    return changed, findings[::-1]


def eased(name: str, text: str, findings: Sequence[Finding]) -> tuple[str, list[Finding]]:
    """The text with `nofail` in the lines of fstab(5), crypttab(5) and the like whose devices are not there.

    What the system itself needs is left as it is: without it there is none.
    """
    if name not in EASED:
        return text, list(findings)
    parser, field, missing = EASED[name]
    lines, told = text.split("\n"), []
    for finding in findings:
        line = lines[finding.line - 1]
        needed = name == "/etc/fstab" and decoded(line.split()[1]) in SYSTEM
        if not finding.new and not finding.optional and not needed:
            changed = with_nofail(line, field, missing)
            # It is read once more: what is said to start must have been understood.
            if all(reference.optional for reference in parser(changed)):
                lines[finding.line - 1] = changed
                finding = replace(finding, optional=True, eased=True)
        told.append(finding)
    return "\n".join(lines), told


def with_nofail(line: str, field: int, missing: str) -> str:
    """The line with the option in the field of that number; `missing` stands for each before it that is not there."""
    fields = list(takewhile(lambda word: word[0][0] != "#", re.finditer(r"\S+", line)))[:field]
    end, options = fields[-1].end(), fields[-1][0].split(",") if len(fields) == field else []
    if "nofail" in options:
        return line
    if options in (["-"], ["none"]):  # an empty field
        return line[: fields[-1].start()] + "nofail" + line[end:]
    words = [missing] * (field - 1 - len(fields))
    return line[:end] + (",nofail" if options else " ".join(["", *words, "nofail"])) + line[end:]
