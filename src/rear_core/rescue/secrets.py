# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks for what must not be on rescue media: private keys, password hashes, the machine id, secret settings."""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .elf import MAGIC as ELF_MAGIC
from .tree import matcher

# A key is its first line and data: programs that read keys carry the bare line, and are not keys. Inside of JSON the
# lines end with a backslash and an n.
_LINE = rb"(?:\r?\n|\\n)"
PRIVATE_KEY = re.compile(
    rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----" + _LINE + rb"(?:\s|[\w-]+: [^\n\\]*" + _LINE + rb")*"
    rb"[A-Za-z0-9+/=]{32}"
)
# crypt(5): method, options, salt, hash. Lengths keep examples in program texts out.
PASSWORD_HASH = re.compile(
    rb"\$(?:apr)?1\$[./0-9A-Za-z]{1,8}\$[./0-9A-Za-z]{22}(?![./0-9A-Za-z])"
    rb"|\$5\$(?:rounds=\d+\$)?[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{43}(?![./0-9A-Za-z])"
    rb"|\$6\$(?:rounds=\d+\$)?[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{86}(?![./0-9A-Za-z])"
    rb"|\$2[abxy]\$\d\d\$[./0-9A-Za-z]{53}(?![./0-9A-Za-z])"
    rb"|\$(?:y|gy|7)\$[./0-9A-Za-z]+\$[./0-9A-Za-z]{1,86}\$[./0-9A-Za-z]{43}(?![./0-9A-Za-z])"
)
# What is looked for in configuration and in what an administrator adds, but not in programs and libraries of Python.
FORMATS = {
    "a private key of PuTTY": rb"^PuTTY-User-Key-File-\d: .*\r?\n(?:.*\r?\n)*?Private-Lines: [1-9]",
    "a private key of age": rb"AGE-SECRET-KEY-1[02-9AC-HJ-NP-Z]{58}",
    "a key of WireGuard": rb"^[ \t]*(?:PrivateKey|PresharedKey)[ \t]*=[ \t]*[A-Za-z0-9+/]{43}=",
    "a key of OpenVPN": rb"-----BEGIN OpenVPN Static key V1-----\s+[0-9a-f]{32}",
    "a password hash of GRUB": rb"grub\.pbkdf2\.sha\d+\.\d+\.[0-9A-Fa-f]{32,}\.[0-9A-Fa-f]{32,}",
    # wpa_supplicant.conf(5), nm-settings-keyfile(5)
    "a key or password of a network": (
        rb"^[ \t]*(?:psk|sae_password|wep-?key\d|wep_key\d|password|leap-password|private-key-password|pin)"
        rb"[ \t]*=[ \t]*(?:\"[^\"\n$][^\"\n]{0,62}\"|[^\s\"#$][^\s#]*)[ \t]*\r?$"
    ),
    # netrc(5)
    "a password of netrc": rb"\bmachine\s+\S+\s+login\s+\S+\s+password\s+\S+",
    "a key of a cloud": (
        rb"aws_secret_access_key[\"']?\s*[=:]\s*[\"']?[A-Za-z0-9/+]{40}|AccountKey=[A-Za-z0-9+/]{86}=="
        rb"|\"refresh_token\"\s*:\s*\"[^\"\n]{20}"
    ),
}
_FORMATS = {what: re.compile(pattern, re.MULTILINE) for what, pattern in FORMATS.items()}
# DER (RFC 5958, RFC 8017, RFC 5915): a sequence that begins with a version number, then its algorithm or its modulus.
DER = re.compile(
    rb"\x30(?:[\x00-\x7f]|\x81.|\x82..)\x02\x01[\x00\x01]"
    rb"(?:\x30[\x05-\x20]\x06|\x02\x82..\x00|\x02\x81.\x00|\x04[\x20\x30\x42])",
    re.DOTALL,
)
# The version of a file of Kerberos, and the size of its first entry.
KEYTAB = re.compile(rb"\x05[\x01\x02]\x00\x00[\x00-\x0f].\x00[\x01-\x08]", re.DOTALL)


@dataclass(frozen=True)
class Secret:
    """A secret in a file of the rescue system."""

    path: str
    what: str


def find_secrets(
    tree: Path,
    values: Mapping[str, str],
    allowed: Iterable[str] = (),
    files: Iterable[str] = (),
    libraries: Iterable[str] = (),
) -> list[Secret]:
    """All secrets in the files of a tree, except in paths that match an allowed pattern.

    `values` are further secrets by what they are, such as {"the machine id": "0123..."}; `files` are patterns of
    files that are secret whatever they contain. In `libraries`, patterns of what a distribution and Python brought, as
    in programs, words and settings mean nothing: only keys and hashes are looked for there.
    """
    is_allowed, is_secret, is_library = matcher(allowed), matcher(files), matcher(libraries)
    words = {what: value.encode() for what, value in values.items() if len(value) >= 4}
    found = []
    for path in _regular_files(os.fspath(tree)):
        inside = path[len(os.fspath(tree)) :]
        if is_allowed(inside):
            continue
        if is_secret(inside):
            found.append(Secret(inside, "a password or key of a program"))
        else:
            found += [Secret(inside, what) for what in _secrets_in(path, words, library=is_library(inside))]
    return found


def _secrets_in(path: str, words: Mapping[str, bytes], *, library: bool) -> Iterator[str]:
    with open(path, "rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            # Cryptographic libraries have keys inside, to test themselves with.
            if data[:4] == ELF_MAGIC:
                return
            if PRIVATE_KEY.search(data) or DER.match(data):
                yield "a private key"
            if PASSWORD_HASH.search(data):
                yield "a password hash"
            if library:
                return
            if KEYTAB.match(data):
                yield "a keytab of Kerberos"
            yield from (what for what, pattern in _FORMATS.items() if pattern.search(data))
            yield from (what for what, value in words.items() if data.find(value) >= 0)


def _regular_files(folder: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_dir(follow_symlinks=False):
                yield from _regular_files(entry.path)
            elif entry.is_file(follow_symlinks=False):
                yield entry.path
