# SPDX-License-Identifier: GPL-3.0-or-later
"""The scan finds keys, hashes and known values, and lets pass what only looks like them."""

from __future__ import annotations

from pathlib import Path

import pytest

from rear_core.rescue.secrets import Secret, find_secrets

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\n"
SALTED = "$6$saltsalt$" + "A" * 86
YESCRYPT = "$y$j9T$abcdefghijklmnopqrstuv$" + "B" * 43


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (KEY, "a private key"),
        (KEY.replace("OPENSSH ", "RSA "), "a private key"),
        ("root:" + SALTED + ":19000:0:99999:7:::\n", "a password hash"),
        ("rootpw --iscrypted " + YESCRYPT + "\n", "a password hash"),
        ("id=0123456789abcdef0123456789abcdef\n", "the machine id"),
    ],
)
def test_secrets_are_found_with_their_file(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/file").write_text(text)
    values = {"the machine id": "0123456789abcdef0123456789abcdef", "empty": ""}
    assert find_secrets(tmp_path, values) == [Secret("/etc/file", what)]
    assert find_secrets(tmp_path, values, ["/etc/*"]) == []
    assert find_secrets(tmp_path, values, ["/etc"]) == []


@pytest.mark.parametrize(
    "text",
    [
        "root:*:19000:0:99999:7:::\n",
        "if line.startswith('-----BEGIN RSA PRIVATE KEY-----'):\n    return\n",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB root@machine\n",
        "example: $6$salt$hash\n",
    ],
)
def test_no_false_alarm(tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_text(text)
    (tmp_path / "empty").touch()
    assert find_secrets(tmp_path, {}) == []


def test_test_keys_inside_of_libraries_are_no_secret_but_known_values_are(tmp_path: Path) -> None:
    (tmp_path / "libcrypto.so").write_bytes(b"\x7fELF" + KEY.encode() + b"hunter22")
    assert find_secrets(tmp_path, {}) == []
    assert find_secrets(tmp_path, {"the password": "hunter22"}) == [Secret("/libcrypto.so", "the password")]


def test_files_that_a_plugin_calls_secret_are_found_whatever_they_contain(tmp_path: Path) -> None:
    (tmp_path / "etc/adsm").mkdir(parents=True)
    (tmp_path / "etc/adsm/TSM.KDB").write_bytes(b"\x00")
    what = "a password or key of a program"
    assert find_secrets(tmp_path, {}, (), ["*/TSM.KDB"]) == [Secret("/etc/adsm/TSM.KDB", what)]
    assert find_secrets(tmp_path, {}, ["/etc/adsm/TSM.*"], ["*/TSM.KDB"]) == []
