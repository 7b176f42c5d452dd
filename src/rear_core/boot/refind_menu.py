# SPDX-License-Identifier: GPL-3.0-or-later
"""rEFInd's menu: the kernels that it finds by itself with refind_linux.conf, and the entries of refind.conf.

By https://www.rodsbooks.com/refind/linux.html and configfile.html: beside a kernel lie its initramfs, which has the
same version in its name, and refind_linux.conf, whose first line has the parameters of a start that nobody chooses.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .. import recovered
from ..storage.references import NamingFile, Reader, Reference
from .loader import Entry
from .paths import locate

ESPS = ("/boot/efi", "/efi", "/boot")
FOLDERS = ("EFI/refind", "EFI/BOOT", "EFI/Microsoft/Boot", "EFI/systemd")
# Folders with kernels, beside those that `also_scan_dirs` names.
SCANNED = ("boot", "@/boot")
KERNELS = ("vmlinuz*", "bzImage*", "kernel*")
INITRAMFS = ("init*", "booster*")
# Files beside kernels that are none.
NO_KERNEL = (".efi.signed", ".conf", ".cfg", ".sig", ".hmac", ".png", ".icns", ".txt")
GUID = re.compile(
    r"^[ \t]*(?:submenu)?volume[ \t]+\"?([0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})", re.MULTILINE
)


@dataclass(frozen=True)
class Stanza:
    """A `menuentry` of refind.conf, and of its submenus; paths are as they are written."""

    title: str
    loader: str = ""
    initramfs: tuple[str, ...] = ()
    options: str = ""
    disabled: bool = False


@dataclass(frozen=True)
class Configuration:
    """What refind.conf says as far as it decides what is started: global settings by their names, and the entries."""

    settings: dict[str, list[str]]
    stanzas: tuple[Stanza, ...] = ()


def configuration(target: Path) -> tuple[str, Path] | None:
    """The refind.conf of a system: its path there, and here."""
    for esp in ESPS:
        for folder in FOLDERS:
            path = recovered.inside(target, f"{esp}/{folder}/refind.conf")
            if path.is_file():
                return f"{esp}/{folder}/refind.conf", path
    return None


def entries(target: Path) -> list[Entry]:
    """The kernels and entries, the default one first.

    Without `default_selection` that is the newest kernel: what was started last is known to the firmware alone, and
    would be the same one.
    """
    settings = read(target)
    found = [*_found(target, settings), *(_manual(target, one) for one in settings.stanzas if _is_kernel(one))]
    chosen = _chosen(found, settings.settings.get("default_selection", []))
    return sorted(found, key=lambda entry: entry is not chosen)


def notes(target: Path) -> list[str]:
    """Files that cannot be understood."""
    lost = [name for name, path in _linux_files(target) if not _first(path)]
    return [f'{name} cannot be understood: no line has a "title" and "parameters"' for name in lost]


def read(target: Path) -> Configuration:
    """refind.conf, with the files that it includes; nothing where there is none."""
    found = configuration(target)
    settings: dict[str, list[str]] = {}
    stanzas: list[Stanza] = []
    depth = 0
    for words in _lines(target, found[0]) if found else ():
        word, values = words[0].lower(), words[1:]
        if word == "}":
            depth = max(depth - 1, 0)
        elif word in ("menuentry", "submenuentry"):
            depth += 1
            if depth == 1:
                stanzas.append(Stanza(values[0] if values and values[0] != "{" else ""))
        elif depth == 1:
            stanzas[-1] = _with(stanzas[-1], word, values)
        elif not depth:
            settings[word] = [part for value in values for part in value.split(",")]
    return Configuration(settings, tuple(stanzas))


def _with(stanza: Stanza, word: str, values: list[str]) -> Stanza:
    first = values[0] if values else ""
    if word == "loader":
        return replace(stanza, loader=first)
    if word == "initrd":
        return replace(stanza, initramfs=(*stanza.initramfs, first))
    if word == "options":
        return replace(stanza, options=" ".join(values))
    return replace(stanza, disabled=True) if word == "disabled" else stanza


def _lines(target: Path, name: str, depth: int = 0) -> Iterator[list[str]]:
    """The words of each line that has any; a brace that ends a line is no word of it."""
    for line in recovered.read(recovered.inside(target, name)).splitlines():
        words = _words(line)
        if words[:1] == ["include"] and words[1:] and depth < 4:
            other = posixpath.join(posixpath.dirname(name), words[1].replace("\\", "/").lstrip("/"))
            if recovered.inside(target, other).is_file():
                yield from _lines(target, other, depth + 1)
        elif words:
            yield words if words == ["}"] else [word for word in words if word not in ("{", "}")] or ["}"]


def _words(line: str) -> list[str]:
    """Words with or without quotation marks; a backslash is a part of a path."""
    words = shlex.shlex(line, posix=True)
    words.whitespace_split, words.escape, words.quotes = True, "", '"'
    try:
        return list(words)
    except ValueError:
        return []


def _is_kernel(stanza: Stanza) -> bool:
    return not stanza.disabled and bool(stanza.loader) and not stanza.loader.lower().endswith(".efi")


def _manual(target: Path, stanza: Stanza) -> Entry:
    words = stanza.options.split()
    return _entry(target, stanza.title, _unix(stanza.loader), words, [_unix(path) for path in stanza.initramfs])


def _found(target: Path, settings: Configuration) -> list[Entry]:
    """The kernels that rEFInd finds in its folders, the newest first."""
    extra = [
        path.rpartition(":")[2].strip("/\\") for path in settings.settings.get("also_scan_dirs", []) if path != "+"
    ]
    folders = dict.fromkeys(["/boot", "/", *(f"/{folder}" for folder in (*SCANNED, *extra)), *_esp_folders(target)])
    kernels: dict[Path, str] = {}
    for folder in folders:
        for pattern in KERNELS:
            for name, path in recovered.find(target, f"{folder.rstrip('/')}/{pattern}"):
                if not name.endswith(NO_KERNEL):
                    kernels.setdefault(path, name)
    newest = sorted(kernels, key=lambda path: path.stat().st_mtime, reverse=True)
    return [_automatic(target, kernels[path]) for path in newest]


def _esp_folders(target: Path) -> list[str]:
    """The folders of EFI/ on EFI system partitions."""
    paths = [(esp, path) for esp in ESPS for path in sorted(recovered.inside(target, esp).glob("[eE][fF][iI]/*"))]
    return [f"{esp}/{path.parent.name}/{path.name}" for esp, path in paths if path.is_dir()]


def _automatic(target: Path, kernel: str) -> Entry:
    folder, name = posixpath.split(kernel)
    path = recovered.inside(target, posixpath.join(folder, "refind_linux.conf"))
    found = _first(path) if path.is_file() else None
    options = (found[1] if found else _by_fstab(target)).replace("%v", numbers(name))
    return _entry(target, f"{name}: {found[0]}" if found else name, kernel, options.split(), _beside(target, kernel))


def _entry(target: Path, title: str, kernel: str, words: Sequence[str], initramfs: Sequence[str]) -> Entry:
    named = [_unix(word[len("initrd=") :]) for word in words if word.startswith("initrd=")]
    place, *others = (locate(target, path) for path in (kernel, *(named or initramfs)))
    return Entry(title, "", place, tuple(others), tuple(word for word in words if not word.startswith("initrd=")))


def _beside(target: Path, kernel: str) -> list[str]:
    """The initramfs of the same version; of several that of the shortest name, as others are of special use."""
    folder, name = posixpath.split(kernel)
    found = [other for pattern in INITRAMFS for other, _ in recovered.find(target, f"{folder.rstrip('/')}/{pattern}")]
    return sorted((other for other in found if numbers(other.rpartition("/")[2]) == numbers(name)), key=len)[:1]


def numbers(name: str) -> str:
    """What rEFInd takes for a version: from the first digit of a name to the last."""
    found = re.search(r"\d(?:.*\d)?", name)
    return found[0] if found else ""


def _by_fstab(target: Path) -> str:
    """The parameters without refind_linux.conf: the root file system of /etc/fstab."""
    path = recovered.inside(target, "/etc/fstab")
    found = re.search(r"^[ \t]*([^#\s]\S*)[ \t]+/[ \t]", recovered.read(path), re.MULTILINE) if path.is_file() else None
    return f"ro root={found[1]}" if found else ""


def _first(path: Path) -> tuple[str, str] | None:
    """Title and parameters of the first line of refind_linux.conf that has both; None without such a line."""
    lines = [_words(line) for line in recovered.read(path).splitlines()]
    return next(((words[0], words[1]) for words in lines if len(words) > 1), None)


def _linux_files(target: Path) -> Iterator[tuple[str, Path]]:
    for folder in dict.fromkeys(("/boot", "", *_esp_folders(target))):
        yield from recovered.find(target, f"{folder}/refind_linux.conf")


def _chosen(found: Sequence[Entry], wanted: Sequence[str]) -> Entry | None:
    """What default_selection means: the first of its words that is the number of an entry, or a part of its title."""
    for word in wanted:
        if word.isdigit() and 0 < int(word) <= len(found):
            return found[int(word) - 1]
        named = [entry for entry in found if word != "+" and word.lower() in f"{entry.title} {entry.kernel}".lower()]
        if named:
            return named[0]
    return next(iter(found), None)


def _unix(path: str) -> str:
    return "/" + path.rpartition(":")[2].replace("\\", "/").lstrip("/")


def volumes(text: str) -> Iterator[Reference]:
    """The partitions that refind.conf names by their GUIDs."""
    for match in GUID.finditer(text):
        yield Reference(match.start(1), match.end(1), "PARTUUID", match[1], optional=True)


def naming_files(words: Reader) -> list[NamingFile]:
    """refind_linux.conf beside kernels, refind.conf, and what it includes."""
    beside = ("/boot", "", *(f"{esp}/EFI/*" for esp in ESPS), *ESPS)
    return [
        *(NamingFile(f"{folder}/refind_linux.conf", words) for folder in dict.fromkeys(beside)),
        *(NamingFile(f"{esp}/EFI/*/refind*.conf", lambda text: [*words(text), *volumes(text)]) for esp in ESPS),
        *(NamingFile(f"{esp}/EFI/refind/*.conf", lambda text: [*words(text), *volumes(text)]) for esp in ESPS),
    ]
