# SPDX-License-Identifier: GPL-3.0-or-later
"""The scan finds keys, hashes and known values, and lets pass what only looks like them."""

from __future__ import annotations

import subprocess
from functools import partial
from pathlib import Path

import pytest

from rear_core.rescue.python import libraries
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
        ('{"private_key": "' + KEY.replace("\n", "\\n") + '"}', "a private key"),
        (KEY.replace("\n", "\r\n"), "a private key"),
        (f"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES,1\n\n{'M' * 64}\n", "a private key"),
        (f"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{'l' * 64}\n", "a private key"),
        ("admin:$apr1$saltsalt$" + "A" * 22 + "\n", "a password hash"),
        ("password_pbkdf2 root grub.pbkdf2.sha512.10000." + "AB" * 64 + "." + "CD" * 64, "a password hash of GRUB"),
        ("PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nPrivate-Lines: 1\nAAAA\n", "a private key of PuTTY"),
        ("# created\nAGE-SECRET-KEY-1" + "Q" * 58 + "\n", "a private key of age"),
        (f"[Interface]\nPrivateKey = {'a' * 43}=\n", "a key of WireGuard"),
        ("-----BEGIN OpenVPN Static key V1-----\n" + "0f" * 16 + "\n", "a key of OpenVPN"),
        ('network={\n  ssid="home"\n  psk="hunter22hunter"\n}\n', "a key or password of a network"),
        ("network={\n\tpsk=" + "0f" * 32 + "\n}\n", "a key or password of a network"),
        ("[wifi-security]\nkey-mgmt=wpa-psk\npsk=hunter22\n", "a key or password of a network"),
        ("[802-1x]\npassword=hunter22\n", "a key or password of a network"),
        ("machine example.org login me password hunter22\n", "a password of netrc"),
        ("[default]\naws_secret_access_key = " + "A" * 40 + "\n", "a key of a cloud"),
        ("DefaultEndpointsProtocol=https;AccountName=x;AccountKey=" + "A" * 86 + "==", "a key of a cloud"),
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
        "Certificate:\n-----BEGIN CERTIFICATE-----\n" + "M" * 64 + "\n",
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n" + "m" * 64 + "\n",
        "PublicKey = " + "a" * 43 + "=\n",
        "#psk=hunter22\npassword=\n",
        'password="$PASSWORD"\npassword=$1\n',
        "# machine HOST login USER\n",
        "0123456789 password hunter\n",
    ],
)
def test_no_false_alarm(tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_text(text)
    (tmp_path / "empty").touch()
    assert find_secrets(tmp_path, {}) == []


def test_modules_of_packages_may_show_how_to_set_a_password(tmp_path: Path) -> None:
    """Those of any Python, which a program in Python brings along; not what somebody has put beside them."""
    places = ("usr/lib/python3/dist-packages/borg", "usr/lib/python3.9/urllib", "opt/tool")
    for place in places:
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "help.py").write_text("export BORG_PASSPHRASE='correct-horse-1'\n")
    found = find_secrets(tmp_path, {}, libraries=libraries())
    assert [secret.path for secret in found] == ["/opt/tool/help.py"]


def test_words_in_programs_and_libraries_are_no_secret(tmp_path: Path) -> None:
    """Programs that read keys know how they begin, and cryptographic libraries have some to test themselves with."""
    library = tmp_path / "usr/lib/python3.11"
    library.mkdir(parents=True)
    (tmp_path / "libcrypto.so").write_bytes(b"\x7fELF" + KEY.encode() + b"hunter22")
    (library / "netrc.py").write_text("machine a login b password c\nhunter22\n")
    assert find_secrets(tmp_path, {"the password": "hunter22"}, libraries=["/usr/lib/python3.11"]) == []
    (library / "key.pem").write_text(KEY)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/file").write_text("hunter22")
    found = find_secrets(tmp_path, {"the password": "hunter22"}, libraries=["/usr/lib/python3.11"])
    assert found == [
        Secret("/etc/file", "the password"), Secret("/usr/lib/python3.11/key.pem", "a private key"),
    ]  # fmt: skip


DER = {
    "RSA": "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -outform DER",
    "P-256": "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -outform DER",
    "Ed25519": "genpkey -algorithm ED25519 -outform DER",
    "SEC 1": "ecparam -name prime256v1 -genkey -noout -outform DER",
    "PKCS 1": "rsa -in pem -traditional -outform DER",
}


@pytest.mark.parametrize("kind", DER)
def test_keys_in_binary_form_are_found(tmp_path: Path, kind: str) -> None:
    key, pem = tmp_path / "tree/key", tmp_path / "pem"
    key.parent.mkdir()
    run = partial(subprocess.run, check=True, capture_output=True, cwd=tmp_path)
    run(["openssl", *["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024", "-out"], pem])
    run(["openssl", *DER[kind].split(), "-out", key])
    assert find_secrets(key.parent, {}) == [Secret("/key", "a private key")]
    run(["openssl", *["req", "-x509", "-key", "pem", "-subj", "/CN=x", "-outform", "DER", "-out"], key])
    assert find_secrets(key.parent, {}) == []


def test_a_keytab_is_found(tmp_path: Path) -> None:
    (tmp_path / "krb5.keytab").write_bytes(bytes.fromhex("0502 0000003c 0002 000b") + b"EXAMPLE.ORG" + bytes(50))
    assert find_secrets(tmp_path, {}) == [Secret("/krb5.keytab", "a keytab of Kerberos")]


def test_files_that_a_plugin_calls_secret_are_found_whatever_they_contain(tmp_path: Path) -> None:
    (tmp_path / "etc/adsm").mkdir(parents=True)
    (tmp_path / "etc/adsm/TSM.KDB").write_bytes(b"\x00")
    what = "a password or key of a program"
    assert find_secrets(tmp_path, {}, (), ["*/TSM.KDB"]) == [Secret("/etc/adsm/TSM.KDB", what)]
    assert find_secrets(tmp_path, {}, ["/etc/adsm/TSM.*"], ["*/TSM.KDB"]) == []


@pytest.mark.parametrize(
    "written",
    [
        '"pass\'word \\u00e4\\\\x"', '"pass\'word \N{LATIN SMALL LETTER A WITH DIAERESIS}\\\\x"',
        "pass%27word%20%C3%A4%5Cx",
        "'pass'\"'\"'word \N{LATIN SMALL LETTER A WITH DIAERESIS}\\x'",
    ],
)  # fmt: skip
def test_a_value_is_found_as_json_urls_and_shells_write_it(tmp_path: Path, written: str) -> None:
    (tmp_path / "file").write_text(f"key: {written}\n")
    value = "pass'word \N{LATIN SMALL LETTER A WITH DIAERESIS}\\x"
    assert find_secrets(tmp_path, {"BACKUP_KEY": value}) == [Secret("/file", "BACKUP_KEY")]


def test_a_value_is_found_in_other_encodings(tmp_path: Path) -> None:
    value = "caf\N{LATIN SMALL LETTER E WITH ACUTE}-au-lait"
    for encoding in ("latin-1", "utf-16"):
        (tmp_path / "file").write_bytes(f"key: {value}\n".encode(encoding))
        assert find_secrets(tmp_path, {"BACKUP_KEY": value}) == [Secret("/file", "BACKUP_KEY")]


def test_a_value_that_is_not_utf8_is_found(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"key: caf\xe9-au-lait\n")
    assert find_secrets(tmp_path, {"BACKUP_KEY": "caf\udce9-au-lait"}) == [Secret("/file", "BACKUP_KEY")]
