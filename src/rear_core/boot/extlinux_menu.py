# SPDX-License-Identifier: GPL-3.0-or-later
"""The menu that EXTLINUX, SYSLINUX and U-Boot read: extlinux.conf.

The format is that of https://wiki.syslinux.org/wiki/index.php?title=Config, of which U-Boot reads a part (doc/develop/
distro.rst of its sources).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .. import recovered
from ..storage.references import NamingFile, Reader
from .loader import Entry
from .paths import locate

FOLDERS = ("/boot/extlinux", "/boot/syslinux", "/extlinux", "/syslinux", "/boot", "/boot/firmware/extlinux")
NAMES = ("extlinux.conf", "syslinux.cfg")
# What writes them: U-Boot's of Debian, and those of Alpine and of Debian before 2014.
DEFAULTS = (
    "/etc/default/u-boot", "/etc/u-boot-menu/conf.d/*.conf", "/etc/default/extlinux", "/etc/update-extlinux.conf",
    "/etc/update-extlinux.d/*",
)  # fmt: skip
KERNEL = ("kernel", "linux")
# Files that a line `kernel` names and that are no kernels, by their endings: modules, boot sectors, programs for BIOS.
OTHERS = (".c32", ".cbt", ".bin", ".bs", ".bss", ".0", ".com", ".img")
# A chain of files that include others ends here.
MOST_INCLUDED = 16


@dataclass(frozen=True)
class Label:
    """A label of the menu; paths are as they are written. `arguments` is None where only those for all count."""

    name: str
    title: str = ""
    kernel: str = ""
    initramfs: tuple[str, ...] = ()
    arguments: str | None = None
    default: bool = False


@dataclass(frozen=True)
class Menu:
    """What a configuration says; `wanted` is its line `default`, and `arguments` are for labels without their own."""

    labels: tuple[Label, ...] = ()
    wanted: str = ""
    arguments: str = ""


def configuration(target: Path) -> tuple[str, Path] | None:
    """The first configuration of a system: its path there, and here."""
    for folder in FOLDERS:
        for name in NAMES:
            path = recovered.inside(target, f"{folder}/{name}")
            if path.is_file():
                return f"{folder}/{name}", path
    return None


def entries(target: Path) -> list[Entry]:
    """The labels with a kernel, what is started by default first."""
    found = configuration(target)
    if found is None:
        return []
    folder, menu = posixpath.dirname(found[0]), read_menu(target, *found)
    chosen = default(menu)
    labels = [label for label in menu.labels if label.kernel]
    if chosen is not None and chosen not in labels and chosen.kernel:
        labels.insert(0, chosen)
    return [_entry(target, folder, menu, label) for label in sorted(labels, key=lambda label: label != chosen)]


def notes(target: Path) -> list[str]:
    """That the configuration starts nothing, or something that is no kernel."""
    found = configuration(target)
    if found is None:
        return []
    menu = read_menu(target, *found)
    chosen = default(menu)
    if chosen is None:
        return [f"{found[0]} cannot be understood: it has no label and starts nothing by default"]
    return [] if chosen.kernel else [f"{found[0]} starts {chosen.name!r} by default, which is no kernel of this system"]


def read_menu(target: Path, name: str, path: Path) -> Menu:
    """The menu of a configuration, with what it includes."""
    labels: list[Label] = []
    menu = Menu()
    for word, value in _lines(target, name, path):
        if word == "label":
            labels.append(Label(value, value))
        elif word == "default":
            menu = replace(menu, wanted=value)
        elif word == "append" and not labels:
            menu = replace(menu, arguments=value)
        elif labels:
            labels[-1] = _with(labels[-1], word, value)
    return replace(menu, labels=tuple(labels))


def _with(label: Label, word: str, value: str) -> Label:
    """A label with what one more line says of it."""
    first, _, rest = value.partition(" ")
    if word == "linux" or (word == "kernel" and not first.lower().endswith(OTHERS)):
        return replace(label, kernel=first, arguments=rest or label.arguments)
    if word == "initrd":
        return replace(label, initramfs=tuple(value.split(",")))
    if word == "append":
        return replace(label, arguments="" if value == "-" else value)
    if word == "menu" and first.lower() == "label":
        return replace(label, title=rest.replace("^", "").strip())
    return replace(label, default=True) if word == "menu" and first.lower() == "default" else label


def default(menu: Menu) -> Label | None:
    """What is started when nobody chooses.

    A label can say so itself (`menu default`), of a menu that is shown. Where `default` is no label it is a kernel with
    its parameters, or the module that shows the menu.
    """
    name, _, rest = menu.wanted.partition(" ")
    marked = [label for label in menu.labels if label.default]
    named = [label for label in menu.labels if label.name.lower() == menu.wanted.lower()]
    if marked or named:
        return (marked or named)[-1]
    if name and not name.lower().endswith(OTHERS) and not menu.labels:
        return Label(name, name, name, arguments=rest)
    return next(iter(menu.labels), None)


def _entry(target: Path, folder: str, menu: Menu, label: Label) -> Entry:
    words = (menu.arguments if label.arguments is None else label.arguments).split()
    # EXTLINUX takes the initramfs from the parameters as well.
    named = [path for word in words if word.startswith("initrd=") for path in word[len("initrd=") :].split(",")]
    kernel, *initramfs = (_path(target, folder, path) for path in (label.kernel, *(label.initramfs or named)))
    arguments = tuple(word for word in words if not word.startswith("initrd="))
    return Entry(label.title or label.name, label.name, kernel, tuple(initramfs), arguments)


def _path(target: Path, folder: str, path: str) -> str:
    """Where a file is in the system; what begins without a slash lies beside the configuration."""
    beside = posixpath.normpath(posixpath.join(folder, path.replace("::", "/")))
    return beside if recovered.inside(target, beside).is_file() else locate(target, posixpath.normpath("/" + path))


def _lines(target: Path, name: str, path: Path, depth: int = 0) -> Iterator[tuple[str, str]]:
    """The lines as keyword in small letters and value, with those of the files that are included."""
    for line in recovered.read(path).splitlines():
        words = line.split()
        if [word.lower() for word in words[:2]] == ["menu", "include"]:
            del words[0]
        word, value = "".join(words[:1]).lower(), " ".join(words[1:])
        if word == "include":
            other = _path(target, posixpath.dirname(name), words[1] if value else "")
            here = recovered.inside(target, other)
            if here.is_file() and depth < MOST_INCLUDED:
                yield from _lines(target, other, here, depth + 1)
        elif word and not word.startswith("#"):
            yield word, value


def naming_files(words: Reader) -> Sequence[NamingFile]:
    """The configurations, all that lies beside them, and what makes them."""
    beside = [f"{folder}/{name}" for folder in FOLDERS for name in ("*.conf", "*.cfg") if folder != "/boot"]
    patterns = (*beside, *(f"/boot/{name}" for name in NAMES), *DEFAULTS)
    return [NamingFile(pattern, words) for pattern in patterns]
