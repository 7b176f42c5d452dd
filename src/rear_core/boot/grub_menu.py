# SPDX-License-Identifier: GPL-3.0-or-later
"""GRUB's menu: what it starts by default, with which initramfs and parameters, by its own configuration."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .. import recovered
from ..errors import RearError
from .efi_variables import read_loader_variable
from .loader import Entry
from .paths import locate

# The last is a whole configuration on older systems, and elsewhere a few lines that lead to one of the others.
CONFIGURATIONS = ("/boot/grub/grub.cfg", "/boot/grub2/grub.cfg", "/boot/efi/EFI/*/grub.cfg")
# Where the command `blscfg` finds entries: in /boot, or on the EFI system partition if GRUB's configuration is built
# into its program, with grubenv beside it, as SUSE's sdbootutil installs it.
ENTRIES = "/boot/loader/entries"
ESPS = ("/boot/efi", "/efi")
COMMAND = b"blscfg"
LOAD = ("linux", "linux16", "linuxefi", "kernel")
INITRAMFS = ("initrd", "initrd16", "initrdefi")
# Xen is loaded first; the kernel is its first module, and the initramfs its second.
HYPERVISOR = ("multiboot", "multiboot2", "xen_hypervisor")
MODULE = ("module", "module2", "xen_module")
SET_DEFAULT = re.compile(r"\s*set default=[\"']?([^\"']*)")
ENVIRONMENT_SIZE = 1024


@dataclass(frozen=True)
class MenuItem(Entry):
    """An entry of the menu, or a submenu with `entries`.

    Paths are as GRUB reads them, from the root of the file system that /boot is on.
    """

    entries: tuple[MenuItem, ...] = ()


def entries(target: Path) -> list[Entry]:
    """The entries with a kernel of the first configuration that has any, the default one first.

    Where GRUB starts something else by default, as another system, it is the first one with a kernel.
    """
    found, default = _menu_of(target)
    with_kernel = [item for item in leaves(found) if item.kernel]
    return [_in_system(target, item) for item in sorted(with_kernel, key=lambda item: item is not default)]


def notes(target: Path) -> list[str]:
    """That the default entry loads no kernel."""
    _, default = _menu_of(target)
    if default is None or default.kernel:
        return []
    return [f"GRUB starts {default.title!r} by default, which loads no kernel of this system"]


def _in_system(target: Path, item: MenuItem) -> Entry:
    kernel, *initramfs = (_locate(target, path) for path in (item.kernel, *item.initramfs))
    hypervisor = _locate(target, item.hypervisor) if item.hypervisor else ""
    return Entry(item.title, item.id, kernel, tuple(initramfs), item.arguments, hypervisor, item.version)


def _menu_of(target: Path) -> tuple[list[MenuItem], MenuItem | None]:
    """The menu of the first configuration that has a kernel, and what GRUB starts of it by default."""
    for path in [path for pattern in CONFIGURATIONS for _, path in recovered.find(target, pattern)]:
        text = recovered.read(path)
        environment = read_environment(path.with_name("grubenv"))
        found = menu(text, boot_loader_specification(target, ENTRIES, environment))
        if any(item.kernel for item in leaves(found)):
            return found, choose(found, default_of(text, environment))
    return _built_in(target)


def _built_in(target: Path) -> tuple[list[MenuItem], MenuItem | None]:
    """The menu of a GRUB whose configuration is in its program, on the EFI system partition.

    Its default is what the firmware keeps (https://systemd.io/BOOT_LOADER_INTERFACE), else that of grubenv.
    """
    for esp in ESPS:
        programs = recovered.find(target, f"{esp}/EFI/*/grub*.efi")
        found = boot_loader_specification(target, f"{esp}/loader/entries", {})
        if found and any(COMMAND in path.read_bytes() for _, path in programs):
            kept = (read_environment(path) for _, path in recovered.find(target, f"{esp}/EFI/*/grubenv"))
            saved = next((block["default"] for block in kept if block.get("default")), "")
            default = read_loader_variable("LoaderEntryDefault") or saved
            return found, choose(found, default[: -len(".conf")] if default.endswith(".conf") else default)
    return [], None


def leaves(entries: Iterable[MenuItem]) -> Iterator[MenuItem]:
    """The entries themselves, also those inside of submenus."""
    for entry in entries:
        yield from leaves(entry.entries) if entry.entries else (entry,)


def menu(text: str, listed: Sequence[MenuItem] = ()) -> list[MenuItem]:
    """The entries and submenus of grub.cfg in their order; `listed` are those that its command `blscfg` adds."""
    return _entries(_commands(text), listed)


def _entries(commands: Iterator[list[str]], listed: Sequence[MenuItem]) -> list[MenuItem]:
    """What the commands add to a menu, to the end of the block that they are in."""
    found: list[MenuItem] = []
    for words in commands:
        if words[0] == "}":
            break
        if words[0] == "blscfg":
            found += listed
        elif words[0] == "menuentry" and len(words) > 1:
            found.append(_entry(words, commands))
        elif words[0] == "submenu" and len(words) > 1:
            found.append(MenuItem(words[1], _id(words), entries=tuple(_entries(commands, ()))))
        elif words[-1] == "{":
            found += _entries(commands, listed)
    return found


def _entry(start: list[str], commands: Iterator[list[str]]) -> MenuItem:
    entry, modules = MenuItem(start[1], _id(start)), []
    for words in commands:
        if words[0] == "}":
            break
        files_named = [word for word in words[1:] if not word.startswith("--")]
        if words[-1] == "{":
            _entries(commands, ())
        elif words[0] in LOAD and len(words) > 1:
            entry = replace(entry, kernel=words[1], initramfs=(), arguments=tuple(words[2:]))
        elif words[0] in INITRAMFS:
            entry = replace(entry, initramfs=tuple(words[1:]))
        elif words[0] in HYPERVISOR and files_named:
            entry = replace(entry, hypervisor=files_named[0])
        elif words[0] in MODULE and files_named:
            modules.append(files_named)
    if entry.hypervisor and modules:
        (kernel, *arguments), others = modules[0], modules[1:]
        entry = replace(
            entry, kernel=kernel, arguments=tuple(arguments), initramfs=tuple(module[0] for module in others)
        )
    return entry


def _id(words: list[str]) -> str:
    return next((value for name, value in zip(words, words[1:]) if name in ("--id", "$menuentry_id_option")), "")


def boot_loader_specification(target: Path, folder: str, environment: dict[str, str]) -> list[MenuItem]:
    """The entries in a folder, the newest first."""
    entries = []
    for _, path in recovered.find(target, f"{folder}/*.conf"):
        found: dict[str, list[str]] = {}
        for key, *value in (line.split(None, 1) for line in recovered.read(path).splitlines() if line.strip()):
            found.setdefault(key, []).append("".join(value).strip())
        options = " ".join(found.get("options", [])).replace("$kernelopts", environment.get("kernelopts", ""))
        initramfs = tuple(word for value in found.get("initrd", []) for word in value.split() if word[0] != "$")
        title, kernel, version = (found.get(key, [""])[0] for key in ("title", "linux", "version"))
        entries.append(MenuItem(title, path.stem, kernel, initramfs, tuple(options.split()), version=version))
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


def choose(entries: Sequence[MenuItem], default: str) -> MenuItem | None:
    """The entry that a default means; GRUB takes the first one of a menu when there is none of that name or number.

    `1>2` is the third entry of the submenu that is the second one (GRUB manual, "default"). What stands behind the name
    of an entry that is no submenu counts for nothing; in a title `>` is written twice.
    """
    part, rest = re.fullmatch(r"((?:>>|[^>])*)>?(.*)", default, re.DOTALL).groups()  # type: ignore[union-attr]
    name = part.replace(">>", ">").strip()
    if name.isdigit():
        entry = entries[int(name)] if int(name) < len(entries) else None
    else:
        entry = next((entry for entry in entries if name and name in (entry.title, entry.id)), None)
    entry = entry or next(iter(entries), None)
    return choose(entry.entries, rest) if entry and entry.entries else entry


def read_environment(path: Path) -> dict[str, str]:
    """GRUB's environment block: lines of NAME=VALUE."""
    if not path.is_file():
        return {}
    lines = recovered.read(path)[:ENVIRONMENT_SIZE].splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def padded(block: str) -> str:
    """An environment block of the one size that GRUB reads; raises `RearError` when it is too long for that."""
    block = block.rstrip("#")
    size = len(block.encode(errors="surrogateescape"))
    if size > ENVIRONMENT_SIZE:
        raise RearError(f"GRUB's environment block is {size - ENVIRONMENT_SIZE} bytes too long", "shorten kernelopts")
    return block + "#" * (ENVIRONMENT_SIZE - size)


def _locate(target: Path, path: str) -> str:
    """Where a file that GRUB means is in the system: (hd0,gpt2)/vmlinuz, $root/vmlinuz."""
    return locate(target, re.sub(r"^\([^)]*\)|^\$\{?root\}?", "", path))


def _commands(text: str) -> Iterator[list[str]]:
    """The words of each command; one that opens a block ends in `{`, and its end is a command `}`."""
    for line in text.replace("\\\n", " ").splitlines():
        command: list[str] = []
        for word in _words(line):
            if word in (";", "{", "}"):
                command += ["{"] if word == "{" else []
                yield from (words for words in (command, ["}"] if word == "}" else []) if words)
                command = []
            elif command or word not in ("then", "else", "do"):
                command.append(word)
        if command:
            yield command


def _words(line: str) -> list[str]:
    words = shlex.shlex(line, posix=True, punctuation_chars=";")
    words.whitespace_split = True
    try:
        return list(words)
    except ValueError:
        return []  # half of a command of several lines


def _natural(text: str) -> list[tuple[int, str]]:
    return [(int(digits or 0), other) for digits, other in re.findall(r"(\d+)|(\D+)", text)]
