# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of an encrypted archive: derived from a passphrase, to encrypt, to authenticate and to recognise it."""

from __future__ import annotations

import hashlib
import hmac
import os
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .. import own_files
from ..errors import ConfigurationError, RearError, Refused
from ..first_setup import Ask, SecretFile, SecretLine
from ..shell import Argument
from ..trust import changeable, check_private

CIPHER = "aes-256-ctr"
# What OWASP asks of scrypt: 128 MiB of memory for each guess.
WORK, BLOCKS, LANES = 1 << 17, 8, 1
# A forged manifest must not make us use up all memory, nor compute for hours where no signal is heard.
MOST_MEMORY = 1 << 30
MOST_TIMES = 8
SHORTEST = 8
# A single word of fewer letters is in every list of words, and in some program.
LONG_WORD = 14
# Bytes: a terminal takes no longer line (n_tty(4)), and a recovery asks for the passphrase at one.
LONGEST_LINE = 4095
COMMON = frozenset(["password1", "passw0rd", "p@ssw0rd", "12345678", "123456789", "1234567890", "trustno1", "abc12345"])


@dataclass(frozen=True)
class Encryption:
    """How an archive was encrypted: scrypt's N, r and p; `check` tells whether a passphrase is right."""

    salt: str
    check: str
    cipher: str = CIPHER
    work: int = WORK
    blocks: int = BLOCKS
    lanes: int = LANES


@dataclass(frozen=True)
class Keys:
    """Independent keys of one archive."""

    encrypt: bytes = field(repr=False)
    authenticate: bytes = field(repr=False)
    check: str = field(repr=False)


def new(passphrase: str, work: int = WORK) -> tuple[Encryption, Keys]:
    """Fresh keys: each archive has a salt of its own, so that no key stream is ever used twice."""
    salt = os.urandom(16).hex()
    keys = _derive(passphrase, Encryption(salt, "", work=work))
    return Encryption(salt, keys.check, work=work), keys


def unlock(passphrase: str, encryption: Encryption) -> Keys:
    """The keys of an archive; `Refused` when the passphrase is not the one it was made with."""
    if encryption.cipher != CIPHER:
        raise Refused(f"rear does not know the cipher {encryption.cipher} of the backup", "read it with a newer rear")
    for written in _spellings(passphrase):
        keys = _derive(written, encryption)
        if hmac.compare_digest(keys.check, encryption.check):
            return keys
    raise Refused("wrong key: the backup was encrypted with another passphrase", "check BACKUP_KEY")


def _spellings(passphrase: str) -> Iterable[str]:
    """A passphrase as it is, and as other keyboards and editors write its accents: in one letter, or in two."""
    return dict.fromkeys([passphrase, *(unicodedata.normalize(form, passphrase) for form in ("NFC", "NFD"))])


def check_parameters(encryption: Encryption) -> None:
    """Raise `TypeError` or `ValueError` when they are none, or ask for far more than anybody needs."""
    texts = (encryption.salt, encryption.check, encryption.cipher)
    numbers = (encryption.work, encryption.blocks, encryption.lanes)
    if not all(isinstance(text, str) and text.isascii() for text in texts):
        raise TypeError("salt, check value or cipher of its key are not text")
    if not all(type(number) is int and number > 0 for number in numbers):
        raise TypeError("the work factor of its key is not a number")
    if encryption.work * encryption.blocks * encryption.lanes > MOST_TIMES * WORK * BLOCKS * LANES:
        raise ValueError(f"it requires more than {MOST_TIMES} times the usual work to derive its key")
    if _memory(encryption) > MOST_MEMORY:
        raise ValueError(f"{_memory(encryption)} bytes of memory are required to derive its key")


def _memory(encryption: Encryption) -> int:
    return 128 * encryption.blocks * (encryption.work + encryption.lanes + 2)


def _derive(passphrase: str, encryption: Encryption) -> Keys:
    try:
        check_parameters(encryption)
        memory = _memory(encryption)
        master = hashlib.scrypt(
            passphrase.encode(errors="surrogateescape"), salt=bytes.fromhex(encryption.salt), n=encryption.work,
            r=encryption.blocks, p=encryption.lanes, maxmem=memory + (1 << 20), dklen=32,
        )  # fmt: skip
    except (ValueError, TypeError, OverflowError, AttributeError) as error:
        raise RearError(
            f"the key of the backup cannot be derived by scrypt: {error}",
            "the manifest may be damaged, or this Python's OpenSSL forbids scrypt (FIPS mode)",
        ) from error

    def key(purpose: bytes) -> bytes:
        return hmac.digest(master, b"rear archive: " + purpose, "sha256")

    return Keys(key(b"encrypt"), key(b"authenticate"), key(b"check").hex())


def authentication(keys: Keys, text: bytes) -> str:
    """The HMAC-SHA256 of a text, in hexadecimal."""
    return hmac.digest(keys.authenticate, text, "sha256").hex()


@contextmanager
def cipher(keys: Keys, *, decrypt: bool = False) -> Iterator[tuple[list[Argument], int]]:
    """The command that encrypts its input, and the descriptor it reads its key from: no other process can see that."""
    reading, writing = os.pipe()
    try:
        with os.fdopen(writing, "wb") as file:
            file.write(keys.encrypt.hex().encode() + b"\n")
        # openssl derives key and counter from our key and a salt of its own. Ours has 256 random bits already: its
        # work factor does not matter.
        yield [
            "openssl", "enc", f"-{CIPHER}", *(["-d"] if decrypt else []), "-pbkdf2", "-md", "sha256",
            "-bufsize", str(1 << 20), "-pass", f"fd:{reading}",
        ], reading  # fmt: skip
    finally:
        os.close(reading)


def read_passphrase(path: Path) -> str:
    """The first line of a file that nobody but root can read; `ConfigurationError` for any other."""
    try:
        check_private(path, path.stat(), "BACKUP_KEY_FILE")
        if problem := changeable(path):
            raise ConfigurationError(
                f"BACKUP_KEY_FILE {path} is not controlled by root alone: {problem}",
                "chown root and chmod go-w the named path",
            )
        text = own_files.read(path).decode(errors="surrogateescape")
    except OSError as error:
        raise ConfigurationError(f"cannot read BACKUP_KEY_FILE {path}: {error.strerror}") from error
    passphrase = text.partition("\n")[0]
    if problem := passphrase_problem(passphrase or " "):
        raise ConfigurationError(f"the passphrase in {path} {problem}", "write a longer one into its first line")
    return passphrase


def passphrase_problem(passphrase: str) -> str:
    """What is wrong with a new passphrase, "" when nothing is; empty means no encryption."""
    if 0 < len(passphrase) < SHORTEST:
        return f"is shorter than {SHORTEST} characters"
    if passphrase.lower() in COMMON or (passphrase.isalpha() and len(passphrase) < LONG_WORD):
        return "is a word of many texts: use several words, or also digits and signs"
    return ""


def typing_problem(passphrase: str) -> str:
    """Why a passphrase cannot be typed when a recovery asks for it, "" when it can: what is saved with it is lost."""
    if passphrase.endswith("\r"):
        return "ends with a carriage return, as lines of Windows do"
    if not all(letter.isprintable() or letter == "\t" for letter in passphrase):
        return "has bytes that no keyboard types: a mark of Unicode, a control character, or letters not in UTF-8"
    if len(passphrase.encode()) > LONGEST_LINE:
        return f"has more than {LONGEST_LINE} bytes, and no terminal takes so long a line"
    return ""


ASK = Ask(
    "BACKUP_KEY_FILE",
    "A passphrase with which to encrypt the backups. Every recovery asks for it: without it they are lost. Keep it in a"
    " safe place too, as rear never puts it on the media",
    file=SecretFile("backup.key", (SecretLine("Passphrase", check=passphrase_problem),)),
)
