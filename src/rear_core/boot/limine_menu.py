# SPDX-License-Identifier: GPL-3.0-or-later
"""Limine's menu: limine.conf, and limine.cfg of Limine 7 and older.

By CONFIG.md of its sources: `/Title` opens an entry and `name: value` are its options, in older files `:Title` and
`NAME=value`. Files are named with the partition that they are on: boot():/vmlinuz, guid(...):/vmlinuz, in older files
boot:///vmlinuz, guid://.../vmlinuz.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .. import recovered
from ..storage.references import NamingFile, Reader, Reference
from .loader import Entry
from .paths import locate

MOUNTED = ("", "/boot", "/boot/efi", "/efi")
FOLDERS = ("", "/limine", "/boot", "/boot/limine", "/EFI/BOOT", "/EFI/limine")
NAMES = ("limine.conf", "limine.cfg")
# What distributions make it of.
DEFAULTS = ("/etc/default/limine",)
UUID = re.compile(r"\b(?:guid|uuid)(?:\(|://)([0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})(?=[)/])")
LABEL = re.compile(r"\bfslabel(?:\(|://)([^)/\n]+)(?=[)/])")
KERNEL = ("path", "kernel_path")
WORDS = ("cmdline", "kernel_cmdline")
RESOURCE = re.compile(r"^\w+(?:\([^)]*\):|://[^/]*)")


@dataclass
class Item:
    """An entry with its options, by their names in small letters; one that others are below is a folder."""

    title: str
    depth: int
    options: dict[str, list[str]] = field(default_factory=dict)

    def get(self, *names: str) -> str:
        """The last value of an option that has one of these names, "" without one."""
        return next((self.options[name][-1] for name in names if name in self.options), "")


def configuration(target: Path) -> tuple[str, Path] | None:
    """The first configuration of a system: its path there, and here."""
    for name in NAMES:
        for above in MOUNTED:
            for folder in FOLDERS:
                path = recovered.inside(target, f"{above}{folder}/{name}")
                if path.is_file():
                    return f"{above}{folder}/{name}", path
    return None


def entries(target: Path) -> list[Entry]:
    """The entries that start Linux, the default one first."""
    found = configuration(target)
    if found is None:
        return []
    options, items = read(recovered.read(found[1]))
    chosen = default(options, items)
    kernels = [item for item in items if item.get("protocol").lower() == "linux" and item.get(*KERNEL)]
    return [_entry(target, item) for item in sorted(kernels, key=lambda item: item is not chosen)]


def notes(target: Path) -> list[str]:
    """That the configuration has no entries, or starts something else by default."""
    found = configuration(target)
    if found is None:
        return []
    options, items = read(recovered.read(found[1]))
    chosen = default(options, items)
    if chosen is None:
        return [f"{found[0]} cannot be understood: it has no entry"]
    is_kernel = chosen.get("protocol").lower() == "linux"
    return [] if is_kernel else [f"{found[0]} starts {chosen.title!r} by default, which is no kernel of this system"]


def read(text: str) -> tuple[dict[str, list[str]], list[Item]]:
    """The options for all, and the entries."""
    options: dict[str, list[str]] = {}
    items: list[Item] = []
    for line in _expanded(text):
        opened = re.match(r"(/+|:+)(\+?)(.*)", line)
        if opened:
            items.append(Item(opened[3].strip(), len(opened[1])))
        elif found := re.match(r"(\w+)\s*[:=]\s*(.*)", line):
            where = items[-1].options if items else options
            where.setdefault(found[1].lower(), []).append(found[2].strip())
    return options, items


def _expanded(text: str) -> Iterator[str]:
    """The lines without comments, each macro replaced by what it stands for."""
    macros: dict[str, str] = {}
    for line in map(str.strip, text.splitlines()):
        if macro := re.match(r"\$\{(\w+)\}\s*=(.*)", line):
            macros[macro[1]] = macro[2].strip()
        elif line and not line.startswith("#"):
            yield re.sub(r"\$\{(\w+)\}", lambda found: macros.get(found[1], ""), line)


def default(options: dict[str, list[str]], items: list[Item]) -> Item | None:
    """What is started when nobody chooses: the entry of a number that counts all that are no folders, from 1."""
    folders = [item for item, below in zip(items, items[1:]) if below.depth > item.depth]
    leaves = [item for item in items if all(item is not folder for folder in folders)]
    number = (options.get("default_entry") or ["1"])[-1]
    place = int(number) - 1 if number.isdigit() else 0
    return leaves[place] if 0 <= place < len(leaves) else next(iter(leaves), None)


def _entry(target: Path, item: Item) -> Entry:
    kernel, *initramfs = (_path(target, name) for name in (item.get(*KERNEL), *item.options.get("module_path", [])))
    return Entry(item.title, "", kernel, tuple(initramfs), tuple(item.get(*WORDS).split()))


def _path(target: Path, value: str) -> str:
    """Where a file is in the system, without its resource and its checksum."""
    return locate(target, RESOURCE.sub("", value.partition("#")[0]))


def partitions(text: str) -> Iterator[Reference]:
    """The partitions that files are said to be on, by the UUID of the file system or of the partition, or by a label.

    FAT has no such UUID, so that it is that of the partition, unless the kernel is told the same for a file system.
    """
    for match in UUID.finditer(text):
        of_system = re.search(rf"(?<!PART)UUID=[\"']?{match[1]}", text, re.IGNORECASE)
        yield Reference(match.start(1), match.end(1), "UUID" if of_system else "PARTUUID", match[1], optional=True)
    for match in LABEL.finditer(text):
        yield Reference(match.start(1), match.end(1), "LABEL", match[1], optional=True)


def naming_files(words: Reader) -> list[NamingFile]:
    """The configurations, and what makes them."""
    patterns = dict.fromkeys(f"{above}{folder}/{name}" for above in MOUNTED for folder in FOLDERS for name in NAMES)
    files = [NamingFile(pattern, lambda text: [*words(text), *partitions(text)]) for pattern in patterns]
    return [*files, *(NamingFile(pattern, words) for pattern in DEFAULTS)]
