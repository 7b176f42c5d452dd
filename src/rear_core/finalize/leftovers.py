# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds what nobody rewrites: names of recorded devices that changed, in any text below /etc and /boot."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .. import recovered
from ..storage.references import NAME, TAGS, Reference, at
from .devices import Storage
from .references import Finding

FOLDERS = ("/etc", "/boot")
# LVM's are put right, and told, by a step of their own; the others are notes of programs that write them again.
LEFT_OUT = ("/etc/lvm/", "/etc/blkid.tab", "/etc/mtab", "/etc/rear/recovery/")
MAX_SIZE = 256 << 10
WORD = re.compile(
    rf"(?<![\w./-])(?:(?:{'|'.join(TAGS)})=[\"']?|/dev/)[^\s\"',;:=()<>|*?\[\]{{}}]*[^\s\"',;:=()<>|*?\[\]{{}}.]"
)
# Names of units that systemd makes of paths (systemd-escape(1)): dev-sda1.device, dev-disk-by\x2duuid-1\x2d2.swap.
UNIT = re.compile(r"(?<![\w\\/.-])(dev-[^\s\"',;=/]+)\.(?:device|swap|mount)\b")


@dataclass(frozen=True)
class Leftover:
    """A name that is stale in a file; `line` is 0 where it is the file that is called so, `new` empty where nothing
    took the place of the device."""

    file: str
    line: int
    old: str
    new: str

    def __str__(self) -> str:
        now = f"which is now {self.new}" if self.new else "which is on no device"
        if not self.line:
            return f"{self.file} is named after {self.old}, {now}; rear left it unchanged"
        return f"{self.file}, line {self.line}: {self.old}, {now}; rear left it unchanged"


def find(target: Path, storage: Storage, opened: Collection[str] = ()) -> list[Leftover]:
    """All that is stale; what the system itself makes as it starts (`opened`) is not.

    To be asked before anything is rewritten: where two disks changed places, a new name looks as an old one does.
    """
    found = []
    for name, path in _texts(target):
        for line, reference in _references(name, path):
            tag, value = reference.tag, reference.value
            if value not in opened and storage.is_stale(tag, value):
                found.append(Leftover(name, line, f"{tag}={value}" if tag else value, storage.now(tag, value) or ""))
    return list(dict.fromkeys(found))


def unknown(target: Path, found: Iterable[Leftover], findings: Iterable[Finding]) -> list[Leftover]:
    """Those that were not put right, nor told, in a place where their meaning is known."""
    known = {(recovered.inside(target, finding.file), finding.line, finding.old) for finding in findings}
    return [one for one in found if (recovered.inside(target, one.file), one.line, one.old) not in known]


def _texts(target: Path) -> Iterator[tuple[str, Path]]:
    for folder in FOLDERS:
        for above, folders, names in os.walk(recovered.inside(target, folder)):
            folders.sort()
            for name in sorted((*folders, *names)):
                path = Path(above, name)
                shown = "/" + path.relative_to(target).as_posix()
                if not shown.startswith(LEFT_OUT):
                    yield shown, path


def _references(name: str, path: Path) -> Iterator[tuple[int, Reference]]:
    """The names of devices in a file's text and in what it is called, with their lines."""
    yield from ((0, reference) for reference in _of_units(path.name))
    for number, line in enumerate(_lines(path), 1):
        if not line.lstrip().startswith(("#", ";")):
            found = [reference for match in WORD.finditer(line) for reference in at(match, 0, True)]
            yield from ((number, reference) for reference in (*found, *_of_units(line)))


def _of_units(text: str) -> Iterator[Reference]:
    for match in UNIT.finditer(text):
        path = "/" + re.sub(r"\\x([0-9a-f]{2})", lambda code: chr(int(code[1], 16)), match[1].replace("-", "/"))
        whole = NAME.fullmatch(path)
        if whole:
            yield Reference(match.start(), match.end(), (whole["link"] or "").upper(), whole["value"], True)


def _lines(path: Path) -> list[str]:
    """The lines of a file that is text, and not so long that no person has written it; none of a link or folder."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_SIZE:
        return []
    text = recovered.read(path)
    return [] if "\0" in text else text.splitlines()
