# SPDX-License-Identifier: GPL-3.0-or-later
"""All configuration that names block devices: that of the storage technologies, of boot loaders, and of neither."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from .. import recovered
from ..storage.references import NamingFile, Reader, Reference, Table, at, mapped, on_demand, table_lines

if TYPE_CHECKING:
    from ..boot.loader import BootLoader
    from ..storage.kinds import StorageKind

# Tables of device-mapper's integrity and verity, and their options that name another device.
INTEGRITYTAB = table_lines(2, "name", "device", "key", "options")
VERITYTAB = table_lines(3, "name", "device", "hashes", "roothash", "options")
INTEGRITY_DEVICE = re.compile(r"(?<![\w.-])(?:data-device|fec-device)=([^\s,]+)")
WORD = re.compile(r"[^\s\"']+")

# Where words for the kernel stand, whatever the boot loader.
KERNEL_WORDS = (
    "/etc/kernel/cmdline", "/etc/cmdline", "/etc/cmdline.d/*", "/etc/initramfs-tools/initramfs.conf",
    "/etc/initramfs-tools/conf.d/*", "/boot/loader/entries/*.conf", "/efi/loader/entries/*.conf",
    "/boot/efi/loader/entries/*.conf",
)  # fmt: skip
DRACUT_CONF = ("/etc/dracut.conf", "/etc/dracut.conf.d/*.conf")


def naming_files(kinds: Sequence[StorageKind], loaders: Iterable[BootLoader]) -> list[NamingFile]:
    """All of them, in the order in which they are read: what systemd opens first comes first."""
    words = optional_words(kinds)
    of_loaders = dict.fromkeys(loader.naming_files for loader in loaders if loader.naming_files)
    return [
        NamingFile("/etc/integritytab", integritytab, Table(4, "-"), partial(mapped, lines=INTEGRITYTAB)),
        NamingFile("/etc/veritytab", veritytab, Table(5, "-"), partial(mapped, lines=VERITYTAB)),
        *(file for kind in kinds for file in kind.naming_files),
        *(NamingFile(pattern, words) for pattern in KERNEL_WORDS),
        *(NamingFile(pattern, dracut_conf(words)) for pattern in DRACUT_CONF),
        *(file for files in of_loaders for file in files(words)),
    ]


def files_with_words(loaders: Iterable[BootLoader]) -> list[NamingFile]:
    """All files that may have words for the kernel, for whoever changes other words than names of devices."""

    def nothing(_text: str) -> Iterable[Reference]:
        return ()

    of_loaders = [loader.naming_files(nothing) for loader in loaders if loader.naming_files]
    own = [NamingFile(pattern, nothing) for pattern in (*KERNEL_WORDS, *DRACUT_CONF)]
    return [*own, *(file for files in of_loaders for file in files)]


def patterns_with_words(loaders: Iterable[BootLoader]) -> list[str]:
    """Their patterns, for whoever exchanges words of one length."""
    return list(dict.fromkeys(file.pattern for file in files_with_words(loaders)))


def change_words(target: Path, files: Iterable[NamingFile], change: Callable[[str], str]) -> Iterator[str]:
    """Change the text of files so that their readers still take it, as GRUB environments of one size; their names."""
    for file in files:
        for name, path in list(recovered.find(target, file.pattern)):
            text = recovered.read(path)
            if (new := change(text)) != text:
                recovered.replace(path, file.whole(new))
                yield name


def command_line(kinds: Iterable[StorageKind]) -> Reader:
    """What finds the devices that words for the kernel name, wherever they stand in a text."""
    readers = [kind.words for kind in kinds if kind.words]

    def read(text: str) -> Iterator[Reference]:
        comments = [match.span() for match in re.finditer(r"^[ \t]*#.*$", text, re.MULTILINE)]
        for found in chain.from_iterable(words(text) for words in readers):
            if not any(start <= found.start < end for start, end in comments):
                yield found

    return read


def optional_words(kinds: Iterable[StorageKind]) -> Reader:
    """Likewise where nobody knows whether the kernel gets them: `proof` reads those of the default entry."""
    words = command_line(kinds)
    return lambda text: [replace(reference, optional=True) for reference in words(text)]


def integritytab(text: str) -> Iterator[Reference]:
    """The devices of /etc/integritytab."""
    yield from _checked(text, INTEGRITYTAB, "device")


def veritytab(text: str) -> Iterator[Reference]:
    """The devices of /etc/veritytab: those with the data, and those with their hashes."""
    yield from _checked(text, VERITYTAB, "device", "hashes")


def _checked(text: str, lines: re.Pattern[str], *devices: str) -> Iterator[Reference]:
    for line in lines.finditer(text):
        optional = on_demand(line)
        for device in devices:
            yield from at(line, device, optional)
        for option in INTEGRITY_DEVICE.finditer(text, *line.span("options")) if line["options"] else ():
            yield from at(option, 1, optional)


def dracut_conf(words: Reader) -> Reader:
    """What finds the words for the kernel in dracut.conf(5), and the devices that an image is to have."""

    def read(text: str) -> Iterator[Reference]:
        yield from words(text)
        for line in re.finditer(r"^[ \t]*(?:add_device|fstab_lines)\+?=(.*)$", text, re.MULTILINE):
            for word in WORD.finditer(text, *line.span(1)):
                yield from at(word, 0, True)

    return read
