# SPDX-License-Identifier: GPL-3.0-or-later
"""What opens LUKS volumes beside passphrases, and how a volume is made again."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from rear_core.storage.command import Site
from rear_core.storage.disk import Disk
from rear_core.storage.kinds import notes
from rear_core.storage.layout import Layout, make
from rear_core.storage.mount import Mount
from rear_core.storage.survey import Survey
from rear_core.storage.technologies import CORE_KINDS
from rear_core.storage.technologies.luks import Luks, Slot, Token
from rear_core.storage.technologies.luks import recreate as luks
from rear_core.storage.technologies.luks.references import without_traps
from rear_core.storage.technologies.luks.tokens import read, thumbprint
from rear_core.testing.fake_shell import FakeShell

# The example of RFC 7638, with its thumbprint.
RSA = {
    "kty": "RSA",
    "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n"
    "3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu"
    "6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awap"
    "JzKnqDKgw",
    "e": "AQAB",
    "alg": "RS256",
    "kid": "2011-04-29",
}
RSA_THUMBPRINT = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
TANG = {"url": "http://tang.example", "adv": {"keys": [{"kty": "EC", "key_ops": ["deriveKey"]},
                                                       {**RSA, "key_ops": ["verify"]}]}}  # fmt: skip
OF_TPM = {"hash": "sha256", "jwk_priv": "AO4A", "jwk_pub": "AE4A", "key": "ecc", "pcr_bank": "sha256", "pcr_ids": "7"}
VOLUME = Luks("luks:u", ("disk:1",), 2, "u", "aes-xts-plain64", 512, "sha256", name="vault", offset=1 << 24)


def protected(**clevis: Any) -> str:
    """The header of a JWE as Clevis writes it."""
    text = json.dumps({"alg": "dir", "clevis": clevis, "enc": "A256GCM"})
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def token(type: str, **document: Any) -> Token:
    sh = FakeShell({"cat /sys/class/tpm/tpm0/pcr-sha256/7": "AB12\n"})
    return read(Survey(sh, {}, [], [], print), 1, {"type": type, "keyslots": ["1"], **document})


def site(volume: Luks) -> Site:
    layout: Layout = make([Disk("disk:1", (), 1 << 30, "/dev/sda"), volume])
    return Site(layout, {"disk:1": "/dev/sda"})


def clevis(**header: Any) -> Token:
    return token(type="clevis", jwe={"protected": protected(**header)})


TPM2 = token("systemd-tpm2", **{"tpm2-blob": "AJ4A", "tpm2-pcrs": [7], "tpm2-pcr-bank": "sha256"})
PIN = token("systemd-tpm2", **{"tpm2-pcrs": [7], "tpm2-pin": True})
DEVICE = "/dev/disk/by-uuid/u"
WITH_TPM = "systemd-cryptenroll --tpm2-device=auto --tpm2-pcrs=7"


def test_a_thumbprint_is_that_of_its_standard() -> None:
    assert thumbprint(RSA) == RSA_THUMBPRINT


@pytest.mark.parametrize(
    ("found", "words", "command"),
    [
        (TPM2, "TPM 2 by systemd-cryptenroll, PCRs 7", f"{WITH_TPM} {DEVICE}"),
        (PIN, "TPM 2 by systemd-cryptenroll, PCRs 7, a PIN",
         f"{WITH_TPM} --tpm2-with-pin=yes {DEVICE}"),
        (token(type="systemd-recovery"), "recovery key by systemd-cryptenroll",
         f"systemd-cryptenroll --recovery-key {DEVICE}"),
        (token(type="systemd-fido2"), "FIDO2 key by systemd-cryptenroll",
         f"systemd-cryptenroll --fido2-device=auto {DEVICE}"),
        (clevis(pin="tpm2", tpm2=OF_TPM),
         'Clevis pin tpm2 {"hash":"sha256","key":"ecc","pcr_bank":"sha256","pcr_ids":"7"}',
         f'clevis luks bind -d {DEVICE} tpm2 {{"hash":"sha256","key":"ecc","pcr_bank":"sha256","pcr_ids":"7"}}'),
        (clevis(pin="tang", tang=TANG),
         f'Clevis pin tang {{"url":"http://tang.example","thp":"{RSA_THUMBPRINT}"}}',
         f'clevis luks bind -d {DEVICE} tang {{"url":"http://tang.example","thp":"{RSA_THUMBPRINT}"}}'),
        (clevis(pin="sss", sss={"t": 1, "jwe": [protected(pin="tpm2", tpm2={"pcr_bank": "sha256"}) + "..a.b.c"]}),
         'Clevis pin sss {"t":1,"pins":{"tpm2":[{"pcr_bank":"sha256"}]}}',
         f'clevis luks bind -d {DEVICE} sss {{"t":1,"pins":{{"tpm2":[{{"pcr_bank":"sha256"}}]}}}}'),
        (clevis(pin="new", new={}), "Clevis pin that rear does not understand", ""),
        (token(type="clevis", jwe={}), "Clevis pin that rear does not understand", ""),
        (token(type="acme"), "acme", ""),
    ],
)  # fmt: skip
def test_a_token_is_named_in_plain_words_with_the_command_that_enrolls_it(
    found: Token, words: str, command: str
) -> None:
    assert str(found) == f"token 1 ({words})"
    assert " ".join(found.enrolling(DEVICE)) == command


def test_what_the_plan_says_before() -> None:
    slots = tuple(Slot(number) for number in range(4))
    volume = replace(VOLUME, slots=slots, tokens=(TPM2, replace(PIN, number=2, slots=(2,))))
    assert [line.partition(": ")[2] for line in notes(site(volume), CORE_KINDS)] == [
        "the key in slot 3 must be added again",
        "the token 1 (TPM 2 by systemd-cryptenroll, PCRs 7) is lost with its secrets;"
        " rear enrolls it again where it can",
        "the token 2 (TPM 2 by systemd-cryptenroll, PCRs 7, a PIN) is lost with its secrets; enroll it again:"
        f" {WITH_TPM} --tpm2-with-pin=yes {DEVICE}",
    ]


def test_what_pcrs_read_counts_for_the_recovery_and_not_when_layouts_are_compared() -> None:
    assert TPM2.measured == ("7=AB12",)
    assert replace(TPM2, measured=()) == TPM2
    # There is no TPM where tests run, or it reads otherwise.
    assert TPM2.otherwise() == "7"
    assert replace(TPM2, pcrs=(), measured=()).otherwise() == ""


def test_a_passphrase_never_costs_as_little_to_try_as_the_key_of_a_token() -> None:
    weak, strong = Slot(1, "pbkdf2", cost=1000), Slot(3, "argon2id", cost=7, memory=1 << 20, threads=4)
    options = luks._key_derivation(replace(VOLUME, slots=(weak, strong), tokens=(TPM2,)), site(VOLUME))
    assert "--key-slot=3" in options and "--pbkdf=argon2id" in options
    assert luks._key_derivation(replace(VOLUME, slots=(weak,), tokens=(TPM2,)), site(VOLUME)) == []


def test_grub_opens_what_it_has_opened_before() -> None:
    """GRUB knows argon2 since 2.14: a volume with /boot in it stays one of pbkdf2."""
    volume = replace(VOLUME, slots=(Slot(0, "argon2id", cost=4), Slot(1, "pbkdf2", cost=1000)))
    with_boot = make([*site(volume).layout, Mount("mount:/", ("luks:u",), "/", "ext4")])
    options = luks._key_derivation(volume, Site(with_boot, {}))
    assert {"--key-slot=1", "--pbkdf=pbkdf2", "--pbkdf-force-iterations=1000"} <= {*options}
    assert "--key-slot=0" in luks._key_derivation(volume, site(volume))


@pytest.mark.parametrize(
    ("line", "changed", "gone"),
    [
        ("vault UUID=u none luks,headless,tpm2-device=auto # mine", "vault UUID=u none luks,tpm2-device=auto # mine",
         ["headless"]),
        ("vault UUID=u - headless=true", "vault UUID=u - luks", ["headless=true"]),
        ("vault UUID=u - tpm2-device=auto,token-timeout=0s,headless=no", "vault UUID=u - tpm2-device=auto,headless=no",
         ["token-timeout=0s"]),
        ("other UUID=v - headless", "other UUID=v - headless", []),
        ("vault UUID=u", "vault UUID=u", []),
    ],
)  # fmt: skip
def test_a_volume_that_no_token_opens_is_asked_for(line: str, changed: str, gone: list[str]) -> None:
    assert without_traps(f"# a\n{line}\n", "vault") == (f"# a\n{changed}\n", gone)
