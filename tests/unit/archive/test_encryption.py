# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys come from a passphrase and a salt; a wrong one is recognised; the key itself is seen by openssl alone."""

from __future__ import annotations

import os
import tempfile
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest

from rear_core.archive import encryption
from rear_core.errors import ConfigurationError, RearError, Refused
from rear_core.shell import Shell

SECRET = "correct horse"
# Work that is too little for a backup, and enough where it does not matter.
LITTLE = 1 << 10


def test_the_same_passphrase_unlocks_and_another_is_refused() -> None:
    secured, keys = encryption.new(SECRET, LITTLE)
    assert encryption.unlock(SECRET, secured) == keys
    with pytest.raises(Refused, match="wrong key"):
        encryption.unlock(SECRET + " ", secured)


def test_accents_are_the_same_however_a_keyboard_or_an_editor_writes_them() -> None:
    letters = "gr\N{LATIN SMALL LETTER U WITH DIAERESIS}n und wei\N{LATIN SMALL LETTER SHARP S}"
    composed, apart = (unicodedata.normalize(form, letters) for form in ("NFC", "NFD"))
    for made, typed in ((composed, apart), (apart, composed)):
        secured, keys = encryption.new(made, LITTLE)
        assert made != typed and encryption.unlock(typed, secured) == keys
    with pytest.raises(Refused, match="wrong key"):
        encryption.unlock(letters.upper(), secured)


def test_each_archive_has_keys_of_its_own() -> None:
    (one, first), (other, second) = encryption.new(SECRET, LITTLE), encryption.new(SECRET, LITTLE)
    assert one.salt != other.salt
    assert first.encrypt != second.encrypt
    assert len({first.encrypt, first.authenticate, bytes.fromhex(first.check)}) == 3


def test_the_work_factor_is_what_owasp_asks_for() -> None:
    secured, _ = encryption.new(SECRET)
    assert (secured.work, secured.blocks, secured.lanes) == (2**17, 8, 1)


@pytest.mark.parametrize(
    "change",
    [
        {"work": 1 << 30},
        {"work": 3},
        {"blocks": 1 << 20},
        {"work": 0},
        {"salt": "no hex"},
        {"lanes": -1},
        {"work": 1 << 19, "blocks": 1, "lanes": 1 << 22},
        {"work": True},
        {"lanes": 1 << 14},
    ],
)
def test_parameters_that_cannot_be_are_a_named_error(change: dict[str, int]) -> None:
    secured, _ = encryption.new(SECRET, LITTLE)
    with pytest.raises(RearError, match="scrypt"):
        encryption.unlock(SECRET, replace(secured, **change))  # type: ignore[arg-type]


def test_an_unknown_cipher_is_refused() -> None:
    secured, _ = encryption.new(SECRET, LITTLE)
    with pytest.raises(Refused, match="rot13"):
        encryption.unlock(SECRET, replace(secured, cipher="rot13"))


def test_keys_are_not_shown() -> None:
    _, keys = encryption.new(SECRET, LITTLE)
    assert keys.check not in repr(keys)
    assert repr(keys.encrypt) not in repr(keys)


def test_openssl_encrypts_and_decrypts_with_a_key_that_is_not_in_its_arguments() -> None:
    _, keys = encryption.new(SECRET, LITTLE)
    lines: list[str] = []
    sealed, opened = bytearray(), bytearray()
    sh = Shell(lines.append)
    with encryption.cipher(keys) as (command, descriptor):
        sh.pipe(["head", "-c", "3000000", "/dev/zero"], command, take=sealed.extend, pass_fds=[descriptor])
    assert len(sealed) == 3_000_016
    assert b"\0" * 16 not in sealed
    with encryption.cipher(keys, decrypt=True) as (command, descriptor), tempfile.TemporaryFile() as file:
        sh.pipe(command, ["cat"], feed=[bytes(sealed)], stdout=file, pass_fds=[descriptor])
        file.seek(0)
        opened.extend(file.read())
    assert opened == bytes(3_000_000)
    assert keys.encrypt.hex() not in "\n".join(lines)


def test_a_passphrase_file_must_belong_to_its_reader_alone(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(f"{SECRET}\nsecond line\n")
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="others"):
        encryption.read_passphrase(path)
    path.chmod(0o600)
    assert encryption.read_passphrase(path) == SECRET
    path.write_text("short\n")
    with pytest.raises(ConfigurationError, match="shorter than 8"):
        encryption.read_passphrase(path)
    with pytest.raises(ConfigurationError, match="cannot read"):
        encryption.read_passphrase(tmp_path / "none")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_passphrase_file_that_others_could_exchange_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "theirs/key"
    path.parent.mkdir()
    path.write_text(f"{SECRET}\n")
    path.chmod(0o600)
    os.chown(path.parent, 65534, 65534)
    with pytest.raises(ConfigurationError, match="theirs belongs to another user"):
        encryption.read_passphrase(path)


def test_an_empty_passphrase_file_is_not_taken_for_no_encryption(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.touch(mode=0o600)
    with pytest.raises(ConfigurationError, match="shorter"):
        encryption.read_passphrase(path)


@pytest.mark.parametrize(
    ("passphrase", "good"),
    [
        ("password", False), ("Passwort", False), ("Password1", False), ("12345678", False), ("administrator", False),
        ("correct horse", True), ("correcthorsebattery", True), ("hunter22", True), ("x" * 7, False), ("", True),
    ],
)  # fmt: skip
def test_a_word_of_any_text_is_no_passphrase(passphrase: str, good: bool) -> None:
    assert (encryption.passphrase_problem(passphrase) == "") == good


@pytest.mark.parametrize(
    ("line", "good"),
    [
        (b"correct horse", True), ("k\N{LATIN SMALL LETTER A WITH DIAERESIS}se horse".encode(), True),
        (b" correct\thorse ", True), (b"k" * 4095, True), (b"", True),
        (b"correct horse\r", False), (b"\xef\xbb\xbfcorrect horse", False), (b"k\xe4se horse", False),
        (b"correct\0horse", False), (b"correct\x03horse", False), (b"\xff\xfec\0o\0r\0r\0", False),
        (b"k" * 4096, False),
    ],
)  # fmt: skip
def test_a_passphrase_that_nobody_could_type_is_told(line: bytes, good: bool) -> None:
    assert (encryption.typing_problem(line.decode(errors="surrogateescape")) == "") == good
