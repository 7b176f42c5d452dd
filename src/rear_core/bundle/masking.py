# SPDX-License-Identifier: GPL-3.0-or-later
"""Masks secrets: the values of secret settings and key files, and what has the form of a password or key."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from .. import own_files
from ..errors import RearError
from ..report import MASK
from ..settings.hiding import IN_OPTIONS

if TYPE_CHECKING:
    from ..run import Run

# Bytes: a file with a password is small.
LARGEST = 64 << 10
# Shorter ones would blacken everything.
SHORTEST = 4
WORDS = r"passw(?:or)?d|passwd|passphrase|secret|token|psk|(?:api|access|private|pre-?shared)[-_]?key"
# A word of a shell or a text, also one in several quotes.
VALUE = r"""(?:'[^'\n]*'|"(?:\\.|[^"\\\n])*"|\\.|[^\s,;"'&\\])+"""
# Settings that name a file with a secret.
NAMES_FILE = re.compile(r"(?:KEY|PASSWORD|PASSPHRASE|SECRET|TOKEN)_?FILE|CREDENTIALS|_CONFIG$|NETRC")
PATTERNS = (
    # A private key of OpenSSL and OpenSSH (RFC 7468), one of age, a hash of a password (crypt(5)).
    (re.compile(r"-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----.*?(?:-----END \1-----|\Z)", re.DOTALL), MASK),
    (re.compile(r"\bAGE-SECRET-KEY-1[A-Z0-9]+"), MASK),
    (re.compile(r"\$(?:1|2[abxy]|5|6|7|y|gy)\$[^\s:\"'\\]{8,}"), MASK),
    # Users and passwords in URLs; with HTTP a user alone may be a token. A password may have an @ and a slash.
    (re.compile(r"(\bhttps?://)[^\s/\"'@]+@"), rf"\1{MASK}@"),
    (re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]*://[^\s/:@\"']*:)[^\s\"']*@"), rf"\1{MASK}@"),
    (re.compile(r"(\bauthorization:[ \t]*\w+[ \t]+)\S+", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(rf"(--?(?:{WORDS})[ \t=]){VALUE}", re.IGNORECASE), rf"\1{MASK}"),
    *((option, rf"\1{MASK}") for option in IN_OPTIONS),
    (
        re.compile(rf"((?:(?:{WORDS})[\w.-]{{0,64}}|\bpwd|\bpass2?)[\"']?[ \t]*[=:][ \t]*){VALUE}", re.IGNORECASE),
        rf"\1{MASK}",
    ),
)
# Fields of JSON that hold secrets: by their names, and what LUKS has sealed with a TPM, a token or a server.
FIELDS = re.compile(
    rf".*(?:{WORDS})|tpm2[-_]blob|ciphertext|encrypted_key|fido2-credential|fido2-salt|pkcs11-key", re.IGNORECASE
)
IN_TEXT = re.compile(
    r'("(?:tpm2[-_]blob|ciphertext|encrypted_key|fido2-credential|fido2-salt|pkcs11-key)":\s*")[^"\n]+', re.IGNORECASE
)
# A line of a file with secrets: username=..., password=...
LINE = re.compile(rf"[^=:]*(?:{WORDS}|key|pin|pass)[^=:]*[=:]\s*[\"']?(.+?)[\"']?\s*", re.IGNORECASE)


class Masking:
    """Masks the secrets that a run knows of; `masked` counts what was masked."""

    def __init__(self, run: Run) -> None:
        self._run = run
        found = {value for path in _files(run) for value in _values(path)}
        # As it is, and as it stands in a command that is shown.
        forms = {form for value in found if len(value) >= SHORTEST for form in (value, quote(value))}
        self._values = sorted(forms, key=len, reverse=True)
        self.masked = 0

    def text(self, text: str) -> str:
        """The text without secrets."""
        masked = self._run.report.masked(text)
        for value in self._values:
            masked = masked.replace(value, MASK)
        masked = IN_TEXT.sub(rf"\1{MASK}", without_secrets(masked))
        self.masked += masked.count(MASK) - text.count(MASK) if masked != text else 0
        return masked

    def document(self, document: Any) -> Any:
        """A JSON document without secrets in its texts."""
        if isinstance(document, Mapping):
            return {name: self._field(str(name), value) for name, value in document.items()}
        if isinstance(document, (list, tuple)):
            return [self.document(value) for value in document]
        return self.text(document) if isinstance(document, str) else document

    def _field(self, name: str, value: Any) -> Any:
        if isinstance(value, str) and value and FIELDS.fullmatch(name):
            self.masked += 1
            return MASK
        return self.document(value)


def without_secrets(text: str) -> str:
    """The text without what has the form of a password or key."""
    for pattern, instead in PATTERNS:
        text = pattern.sub(instead, text)
    return text


def _files(run: Run) -> Iterator[str]:
    """The files with secrets that settings name, and those that plugins keep off the rescue media."""
    from ..builtin.rescue import all_contents

    for name in run.settings.declared:
        value = run.settings[name]
        if NAMES_FILE.search(name) and isinstance(value, str) and value.startswith("/"):
            yield value
    with suppress(RearError, OSError):
        for pattern in all_contents(run).secrets:
            yield from glob.glob(pattern)


def _values(path: str) -> Iterator[str]:
    """The secrets in a file: the values of its lines that say so, or its first line."""
    if not os.path.isfile(path):
        return
    with suppress(OSError, RearError, ValueError):
        lines = [line.strip() for line in own_files.read(Path(path), LARGEST).decode().splitlines()]
        named = [found[1] for line in lines if (found := LINE.fullmatch(line))]
        yield from named or lines[:1]
