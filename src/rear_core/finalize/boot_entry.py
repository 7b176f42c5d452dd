# SPDX-License-Identifier: GPL-3.0-or-later
"""What GRUB will start by default: the kernel, its initramfs and its parameters, by GRUB's own configuration."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import RearError
from . import files

# The last is a whole configuration on older systems, and elsewhere a few lines that lead to one of the others.
CONFIGURATIONS = ("/boot/grub/grub.cfg", "/boot/grub2/grub.cfg", "/boot/efi/EFI/*/grub.cfg")
LOAD = ("linux", "linux16", "linuxefi", "kernel")
INITRAMFS = ("initrd", "initrd16", "initrdefi")
SET_DEFAULT = re.compile(r"\s*set default=[\"']?([^\"']*)")
ENVIRONMENT_SIZE = 1024


@dataclass(frozen=True)
class Entry:
    """An entry of the boot menu; paths are as GRUB reads them, from the root of the file system that /boot is on."""

    title: str
    id: str = ""
    kernel: str = ""
    initramfs: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()


def default_entry(target: Path) -> Entry | None:
    """The entry that is started when nobody chooses, None when no configuration has one with a kernel."""
    return next(iter(entries(target)), None)


def entries(target: Path) -> list[Entry]:
    """The entries with a kernel of the first configuration that has any, the default one first."""
    for path in [path for pattern in CONFIGURATIONS for _, path in files.find(target, pattern)]:
        text = files.read(path)
        environment = read_environment(path.with_name("grubenv"))
        found = list(menu(text))
        if re.search(r"^\s*blscfg\b", text, re.MULTILINE):
            found += boot_loader_specification(target, environment)
        found = [entry for entry in found if entry.kernel]
        if default := choose(found, default_of(text, environment)):
            return [default, *(entry for entry in found if entry is not default)]
    return []


def menu(text: str) -> Iterator[Entry]:
    """The entries of grub.cfg in their order, also those of submenus."""
    entry: Entry | None = None
    for line in text.splitlines():
        words = _words(line)
        if not words:
            continue
        if words[0] == "menuentry" and len(words) > 1:
            if entry:
                yield entry
            entry = Entry(words[1], _option(words, "--id", "$menuentry_id_option"))
        elif entry and words[0] in LOAD and len(words) > 1:
            entry = Entry(entry.title, entry.id, words[1], (), tuple(words[2:]))
        elif entry and words[0] in INITRAMFS:
            entry = Entry(entry.title, entry.id, entry.kernel, tuple(words[1:]), entry.arguments)
    if entry:
        yield entry


def boot_loader_specification(target: Path, environment: dict[str, str]) -> list[Entry]:
    """The entries below /boot/loader/entries, the newest first."""
    entries = []
    for _, path in files.find(target, "/boot/loader/entries/*.conf"):
        found: dict[str, list[str]] = {}
        for line in files.read(path).splitlines():
            key, _, value = line.strip().partition(" ")
            found.setdefault(key, []).append(value.strip())
        options = " ".join(found.get("options", [])).replace("$kernelopts", environment.get("kernelopts", ""))
        initramfs = tuple(word for value in found.get("initrd", []) for word in value.split() if word[0] != "$")
        title, kernel = (found.get(key, [""])[0] for key in ("title", "linux"))
        entries.append(Entry(title, path.stem, kernel, initramfs, tuple(options.split())))
    return sorted(entries, key=lambda entry: _natural(entry.id), reverse=True)


def default_of(text: str, environment: dict[str, str]) -> str:
    """What `default` is when the menu is shown: a number, title or id; `>` leads into submenus."""
    saved = environment.get("next_entry") or environment.get("saved_entry", "")
    for value in reversed(list(_defaults(text))):
        if value == "${next_entry}":
            continue
        return saved or "0" if value == "${saved_entry}" else value
    return saved or "0"


def _defaults(text: str) -> Iterator[str]:
    """What the configuration sets `default` to, without what counts only after too many starts that failed.

    Red Hat's 08_fallback_counting has such a line on every machine, for those with OSTree, where 1 is the entry before.
    """
    branches: list[str] = []
    for line in text.splitlines():
        words = line.replace(";", " ").split() or [""]
        if words[0] == "if" and words[-1] != "fi":
            branches.append(line)
        elif words[0] in ("elif", "else") and branches:
            branches[-1] = line
        elif words[0] == "fi" and branches:
            branches.pop()
        elif (found := SET_DEFAULT.match(line)) and not any("boot_counter" in branch for branch in branches):
            yield found[1].strip()


def choose(entries: Sequence[Entry], default: str) -> Entry | None:
    """The entry that a default means; GRUB takes the first one when there is none of that name."""
    last = default.rpartition(">")[2]
    for entry in entries:
        if last in (entry.title, entry.id) and last:
            return entry
    if default.isdigit() and int(default) < len(entries):
        return entries[int(default)]
    return entries[0] if entries else None


def read_environment(path: Path) -> dict[str, str]:
    """GRUB's environment block: lines of NAME=VALUE."""
    if not path.is_file():
        return {}
    lines = files.read(path)[:ENVIRONMENT_SIZE].splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def padded(block: str) -> str:
    """An environment block of the one size that GRUB reads; raises `RearError` when it is too long for that."""
    block = block.rstrip("#")
    size = len(block.encode(errors="surrogateescape"))
    if size > ENVIRONMENT_SIZE:
        raise RearError(f"GRUB's environment block is {size - ENVIRONMENT_SIZE} bytes too long", "shorten kernelopts")
    return block + "#" * (ENVIRONMENT_SIZE - size)


def locate(target: Path, path: str) -> Path | None:
    """The file that GRUB means, wherever the file system that holds /boot is mounted; None when it is not there."""
    path = re.sub(r"^\([^)]*\)|^\$\{?root\}?", "", path)
    parts = [part for part in path.split("/") if part]
    # On its own file system /boot is the root; on a subvolume of btrfs the path begins with its name.
    for number in range(len(parts)):
        for folder in ("", "boot/"):
            found = files.inside(target, "/" + folder + "/".join(parts[number:]))
            if found.is_file():
                return found
    return None


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError:
        return []  # half of a command of several lines


def _option(words: list[str], *names: str) -> str:
    return next((value for name, value in zip(words, words[1:]) if name in names), "")


def _natural(text: str) -> list[tuple[int, str]]:
    return [(int(digits or 0), other) for digits, other in re.findall(r"(\d+)|(\D+)", text)]
