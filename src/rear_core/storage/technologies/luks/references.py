# SPDX-License-Identifier: GPL-3.0-or-later
"""Where encrypted volumes, and what opens them, are named: crypttab, words for the kernel."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from rear_core import recovered
from rear_core.storage.references import (
    ON_DEMAND,
    TAGS,
    NamingFile,
    Reference,
    Table,
    at,
    kernel_words,
    mapped,
    on_demand,
    table_lines,
)

from .capture import RANDOM

# crypttab(5): `vault UUID=... /etc/key luks,header=/dev/sda1`. Behind a path there may be the device that it is on
# (`/key:LABEL=stick`), for Debian's passdev before it (`/dev/disk/by-label/stick:/key`).
CRYPTTAB = table_lines(2, "name", "device", "key", "options")
KEY = re.compile(r"(?:/(?!dev/)[^\s:]*:)?(\S+?)(?::/\S*)?(?=\s|$)")
HEADER = re.compile(r"(?<![\w.-])header=(?:/(?!dev/)[^\s,:]*:)?([^\s,]+)")
# Options by which systemd never asks, and by which it waits for a token for ever.
TRAP = re.compile(r"headless(=(?!no$|false$|0$|off$).*)?|token-timeout=(0|infinity).*")
# dracut.cmdline(7) and systemd-cryptsetup-generator(8) agree on rd.luks.uuid; `luks.key=` is PATH:DEVICE:UUID with the
# first, UUID=PATH:DEVICE with the second, `luks.data=` UUID=DEVICE, `luks.options=` UUID=OPTIONS.
LUKS_WORD = re.compile(
    r"(?<![\w.])(?:rd\.)?luks\.(?P<word>uuid|name|key|data|options|allow-discards)=[\"']?"
    r"(?:luks-)?(?P<uuid>[0-9a-fA-F-]{36}(?![^\s\"'=]))?(?P<value>[^\s\"']*)"
)
PART_OF_WORD = re.compile(rf"(?<=[=:\"'])((?:{'|'.join(TAGS)})=[^\s:]+|/dev/[^\s:]+)")

# Of Arch Linux's initramfs.
DEVICE_WORD = kernel_words("cryptdevice")


def crypttab(text: str) -> Iterator[Reference]:
    """The devices of /etc/crypttab: the encrypted ones, and those that their headers and keys are on.

    A key may be on what is plugged in at the start alone.
    """
    for line in CRYPTTAB.finditer(text):
        optional = on_demand(line)
        yield from at(line, "device", optional)
        for header in HEADER.finditer(text, *line.span("options")) if line["options"] else ():
            yield from at(header, 1, optional)
        key = KEY.match(text, *line.span("key")) if line["key"] else None
        if key and key[1] not in RANDOM:
            yield from at(key, 1, True)


def words(text: str) -> Iterator[Reference]:
    """The volumes that the initramfs opens, and what their keys, data and headers are on."""
    for match in DEVICE_WORD.finditer(text):
        yield from at(match, "device", False)
    for match in LUKS_WORD.finditer(text):
        yield from _luks_word(text, match)


def _luks_word(text: str, match: re.Match[str]) -> Iterator[Reference]:
    """A LUKS volume, and what its key, its data or its header is on; a key may be on what is plugged in alone."""
    if match["uuid"]:
        yield Reference(match.start("uuid"), match.end("uuid"), "UUID", match["uuid"])
    if match["word"] in ("key", "data"):
        for part in PART_OF_WORD.finditer(text, *match.span("value")):
            yield from at(part, 1, match["word"] == "key")
    if match["word"] == "options":
        for header in HEADER.finditer(text, *match.span("value")):
            yield from at(header, 1, False)


def missing_key_files(target: Path) -> list[str]:
    """Key files that /etc/crypttab names and the recovered system does not have."""
    path = recovered.inside(target, "/etc/crypttab")
    text = recovered.read(path) if path.is_file() else ""
    named = [name for line in CRYPTTAB.finditer(text) if (name := _key_file(line))]
    return [f"the key file {name} of /etc/crypttab is missing" for name in named if not _has(target, name)]


def without_traps(text: str, name: str) -> tuple[str, list[str]]:
    """crypttab(5) without the options by which a volume that no token opens is waited for without a question; and
    these options.

    With `tpm2-device=auto` alone systemd asks as soon as it sees that the header has no such token.
    """
    gone: list[str] = []
    for line in reversed(list(CRYPTTAB.finditer(text))):
        options = (line["options"] or "").split(",")
        if line["name"] == name and (traps := [word for word in options if TRAP.fullmatch(word)]):
            kept = ",".join(word for word in options if word not in traps) or "luks"
            text = text[: line.start("options")] + kept + text[line.end("options") :]
            gone += traps
    return text, gone


def _key_file(line: re.Match[str]) -> str:
    """The key file that the start of the system needs, "" where it is on another device, made then, or not needed."""
    key, options = line["key"] or "", (line["options"] or "").split(",")
    elsewhere = ":" in key or key.startswith(("/dev/", "/run/")) or not key.startswith("/")
    by_script = any(option.startswith("keyscript=") for option in options)
    return "" if elsewhere or by_script or ON_DEMAND.intersection(options) else key


def _has(target: Path, name: str) -> bool:
    return recovered.inside(target, name).exists()


FILES = (NamingFile("/etc/crypttab", crypttab, Table(4, "none"), partial(mapped, lines=CRYPTTAB)),)
