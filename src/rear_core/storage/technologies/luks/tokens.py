# SPDX-License-Identifier: GPL-3.0-or-later
"""The tokens of LUKS 2: what opens a volume beside passphrases, in plain words, and how it is enrolled."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rear_core.errors import NOT_UNDERSTOOD
from rear_core.storage.survey import Survey

TPM2, FIDO2, CARD, RECOVERY = "systemd-tpm2", "systemd-fido2", "systemd-pkcs11", "systemd-recovery"
CLEVIS, KEYRING = "clevis", "luks2-keyring"
WORDS = {
    TPM2: "TPM 2 by systemd-cryptenroll",
    FIDO2: "FIDO2 key by systemd-cryptenroll",
    CARD: "smart card by systemd-cryptenroll",
    RECOVERY: "recovery key by systemd-cryptenroll",
    KEYRING: "passphrase in a key ring of the kernel",
}
ENROLL = {
    FIDO2: "--fido2-device=auto",
    CARD: "--pkcs11-token-uri=auto",
    RECOVERY: "--recovery-key",
}
# What systemd-cryptenroll binds a TPM to beside PCRs, by the member of its token: the words for it, and the option.
BESIDE = {
    "tpm2-pin": ("a PIN", "--tpm2-with-pin=yes"),
    "tpm2_pubkey": ("signed PCRs", ""),
    "tpm2_pcrlock": ("a policy of systemd-pcrlock", ""),
}
# Configuration of Clevis pins that is no secret of theirs (clevis-encrypt-tpm2(1)).
OF_TPM2 = ("hash", "key", "pcr_bank", "pcr_ids")
# The members of a key that its thumbprint is made of (RFC 7638).
OF_THUMBPRINT = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n")}


@dataclass(frozen=True)
class Token:
    """A token of LUKS 2: what else opens these slots (a TPM, Clevis, a key ring). It holds secrets that stay
    where they are: it has to be enrolled by its own tool.

    `how` is what Clevis was told, its pin and JSON, or the name of a key in the key ring; `beside` are members of
    `BESIDE`. `pcrs` of the TPM's `bank` must read as they did for it to open; `measured` is what they read when the
    machine was described, as "7=AB12...".
    """

    number: int
    kind: str
    slots: tuple[int, ...] = ()
    how: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    bank: str = ""
    pcrs: tuple[int, ...] = ()
    measured: tuple[str, ...] = field(default=(), compare=False)

    @property
    def is_of_tpm(self) -> bool:
        """Whether a TPM opens it, perhaps with others."""
        return bool(self.bank)

    @property
    def needs_nobody(self) -> bool:
        """Whether it can be enrolled without anybody who types or touches something."""
        return (self.kind == TPM2 and not self.beside) or (self.kind == CLEVIS and bool(self.how))

    def __str__(self) -> str:
        if self.kind == CLEVIS:
            return f"token {self.number} (Clevis pin {' '.join(self.how) or 'that rear does not understand'})"
        details = [f"PCRs {' '.join(map(str, self.pcrs)) or 'none'}"] * (self.kind == TPM2)
        details += [BESIDE[name][0] for name in self.beside] + list(self.how)
        word = WORDS.get(self.kind, self.kind)
        return f"token {self.number} ({', '.join([word, *details])})"

    def enrolling(self, device: str) -> tuple[str, ...]:
        """The command that enrolls it on a device, () where rear knows none."""
        if self.kind == CLEVIS and self.how:
            return ("clevis", "luks", "bind", "-d", device, *self.how)
        if self.kind == KEYRING:
            return ("cryptsetup", "token", "add", *(f"--key-description={name}" for name in self.how), device)
        if self.kind == TPM2:
            pcrs = "+".join(map(str, self.pcrs))
            with_others = [option for name in self.beside if (option := BESIDE[name][1])]
            return ("systemd-cryptenroll", "--tpm2-device=auto", f"--tpm2-pcrs={pcrs}", *with_others, device)
        return ("systemd-cryptenroll", ENROLL[self.kind], device) if self.kind in ENROLL else ()

    def otherwise(self) -> str:
        """Which of its PCRs do not read as they did when the machine was described, "" when all do.

        A key is bound to what the PCRs read now. In the rescue system that is what the recovered system will find only
        where it is what the machine itself found: PCR 7 with the same Secure Boot, loader and keys, but never those of
        the kernel.
        """
        now = {*read_pcrs(self.bank, self.pcrs, _text)}
        was = {entry.partition("=")[0] for entry in self.measured if entry in now}
        return ", ".join(str(pcr) for pcr in self.pcrs if str(pcr) not in was)


def read(survey: Survey, number: int, token: dict[str, Any]) -> Token:
    """A token of the JSON area.

    >>> json.loads(area)["tokens"]["0"]
    {"type": "systemd-tpm2", "keyslots": ["1"], "tpm2-blob": "AJ4A...", "tpm2-pcrs": [7], "tpm2-pcr-bank": "sha256",
     "tpm2-primary-alg": "ecc", "tpm2-policy-hash": "8b56...", "tpm2-pin": false}
    >>> json.loads(area)["tokens"]["1"]
    {"type": "clevis", "keyslots": ["2"], "jwe": {"ciphertext": ..., "protected": "eyJhbGciOiJkaXIiLCJjbGV2a..."}}
    """
    kind, bank, pcrs = token["type"], "", set[int]()
    how: tuple[str, ...] = ()
    if kind == TPM2:
        bank, pcrs = str(token.get("tpm2-pcr-bank", "sha256")), {int(pcr) for pcr in token.get("tpm2-pcrs", ())}
    elif kind == CLEVIS:
        # A volume counts also where one of its tokens is not understood.
        with suppress(*NOT_UNDERSTOOD):
            pin, configuration = pin_of(token["jwe"]["protected"])
            for part in parts_of_tpm(pin, configuration):
                bank = part.get("pcr_bank", "sha1")
                pcrs |= {int(pcr) for pcr in part.get("pcr_ids", "").split(",") if pcr}
            how = (pin, json.dumps(configuration, separators=(",", ":")))
    elif kind == KEYRING:
        how = (str(token.get("key_description")),)
    slots = tuple(int(slot) for slot in token["keyslots"])
    beside = tuple(name for name in BESIDE if token.get(name))
    wanted = tuple(sorted(pcrs))
    return Token(number, kind, slots, how, beside, bank, wanted, tuple(read_pcrs(bank, wanted, survey.file)))


def read_pcrs(bank: str, pcrs: Iterable[int], text_of: Callable[[str], str]) -> Iterator[str]:
    """What PCRs read now, as "7=AB12..."; nothing of one that the kernel does not show, as before Linux 5.12.

    >>> Path("/sys/class/tpm/tpm0/pcr-sha256/7").read_text()
    65CAF8DD1E0EA7A6347B635D2B379C93B9A1351EDC2AFC3ECDA700E234EB3068
    """
    for pcr in pcrs:
        if value := text_of(f"/sys/class/tpm/tpm0/pcr-{bank}/{pcr}").strip():
            yield f"{pcr}={value.upper()}"


def _text(path: str) -> str:
    return Path(path).read_text() if Path(path).is_file() else ""


def pin_of(protected: str) -> tuple[str, dict[str, Any]]:
    """The pin of a JWE's header and what `clevis luks bind` has to be told, in which there is no secret.

    Of a tang server that is its address, and the thumbprint of the key by which it must be known again.
    """
    header = json.loads(base64.urlsafe_b64decode(protected + "=" * (-len(protected) % 4)))["clevis"]
    pin = header["pin"]
    told = header[pin]
    if pin == "tang":
        thumbprints = [thumbprint(key) for key in told["adv"]["keys"] if "verify" in key.get("key_ops", ())]
        return pin, {"url": told["url"], **({"thp": thumbprints[0]} if thumbprints else {})}
    if pin == "sss":
        pins: dict[str, list[dict[str, Any]]] = {}
        for part in told["jwe"]:
            inner, configuration = pin_of(part.partition(".")[0])
            pins.setdefault(inner, []).append(configuration)
        return pin, {"t": told["t"], "pins": pins}
    if pin != "tpm2":
        raise ValueError(f"unknown pin {pin}")
    return pin, {name: told[name] for name in OF_TPM2 if name in told}


def parts_of_tpm(pin: str, configuration: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What a pin, or each part of a shared one, wants of a TPM."""
    if pin == "tpm2":
        yield configuration
    for inner, parts in configuration.get("pins", {}).items():
        for part in parts:
            yield from parts_of_tpm(inner, part)


def thumbprint(key: dict[str, str]) -> str:
    """The thumbprint of a public key, by SHA-256 (RFC 7638)."""
    members = {name: key[name] for name in OF_THUMBPRINT[key["kty"]]}
    text = json.dumps(members, sort_keys=True, separators=(",", ":"))
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
