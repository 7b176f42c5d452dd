# SPDX-License-Identifier: GPL-3.0-or-later
"""LUKS 1 and 2: everything about an encrypted volume but its keys."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rear_core.contents import Contents
from rear_core.errors import ProgramFailed, ProgramMissing
from rear_core.storage.inventory import Device
from rear_core.storage.layout import Item, Layout
from rear_core.storage.survey import Survey, names

from .tokens import KEYRING, Token, read

if TYPE_CHECKING:
    from rear_core.storage.resize import Sizes

TPM_MODULES = ("tpm_tis", "tpm_crb", "tpm_tis_spi", "tpm_ftpm_tee", "tpm_infineon")
# Key files of crypttab(5) that nobody can read twice.
RANDOM = ("/dev/urandom", "/dev/random", "/dev/hwrng")


@dataclass(frozen=True)
class Slot:
    """A key slot: how its passphrase becomes a key. `cost` is the iterations of pbkdf2 or the time cost of
    argon2, `memory` KiB."""

    number: int
    pbkdf: str = "pbkdf2"
    hash: str = ""
    cost: int = 0
    memory: int = 0
    threads: int = 0
    key_size: int = 0
    cipher: str = ""
    priority: str = "normal"


@dataclass(frozen=True)
class Luks(Item):
    """An encrypted volume, and the mapping by which it is open. `offset`, `metadata_size` and `keyslots_size` are
    bytes, `key_size` bits; `other` is what of its segments is not described otherwise."""

    type = "luks"
    noun = "LUKS volume"
    dracut = "crypt"
    has_passphrase = True
    goes_with_contents = True
    identified_below = True
    configured = ("key_file", "crypttab_options")

    version: int
    uuid: str
    cipher: str
    key_size: int
    hash: str
    label: str = ""
    subsystem: str = ""
    sector_size: int = 512
    offset: int = 0
    slots: tuple[Slot, ...] = ()
    tokens: tuple[Token, ...] = ()
    flags: tuple[str, ...] = ()
    name: str = ""
    key_file: str = ""
    crypttab_options: str = ""
    metadata_size: int = 0
    keyslots_size: int = 0
    other: tuple[str, ...] = ()
    device: str = field(default="", compare=False)

    @property
    def identifiers(self) -> Mapping[str, str]:
        """Its UUID and label."""
        return {"UUID": self.uuid, "LABEL": self.label}

    @property
    def passphrase_slots(self) -> tuple[Slot, ...]:
        """The slots that somebody may have a passphrase for: what a token opens is no word that anybody types, and so
        costs no time to try."""
        held = {slot for token in self.tokens if token.kind != KEYRING for slot in token.slots}
        return tuple(slot for slot in self.slots if slot.number not in held)

    @property
    def modules(self) -> frozenset[str]:
        """The target of device-mapper; its cipher is loaded when it is asked for."""
        return frozenset({"dm_crypt"})

    def at_rest(self) -> Luks:
        """A closed volume does not tell its name."""
        return replace(self, name="")

    def any_size(self, sizes: Sizes) -> bool:
        """As what is in it."""
        return sizes.take_any_size(self.id)

    def fits(self, sizes: Sizes, size: int) -> bool:
        """Whether what is in it fits behind its header."""
        return sizes.fit(self.id, size - self.offset)

    def spare(self, sizes: Sizes, size: int) -> int:
        """What is in it leaves so much of the device behind the header."""
        return sizes.spare(self.id, size - self.offset) if sizes.on(self.id) else 0

    def shrink(self, sizes: Sizes, amount: int) -> None:
        """All of it from what is in it."""
        sizes.shrink(self.id, amount)

    def place(self, below: str) -> str:
        """The mapping by which it is open."""
        return f"/dev/mapper/{self.name}" if self.name else below


def capture(survey: Survey) -> Iterator[Item]:
    """Every LUKS header; of one that is closed, what is inside is left out."""
    for device in survey.carrying("crypto_LUKS"):
        try:
            with survey.reading(f"crypto_LUKS on {device.path}", [device.path]):
                yield _luks(survey, device)
        except ProgramMissing:
            raise
        except ProgramFailed as error:
            if any(survey.devices[child].type == "crypt" for child in device.children):
                raise
            survey.leave_out(f"crypto_LUKS on {device.path}", error.message, lost=True, on=[device.path])
    for device in survey.of_type("crypt"):
        if all(survey.devices[parent].fstype != "crypto_LUKS" for parent in device.parents):
            _leave_out_without_header(survey, device)


def _leave_out_without_header(survey: Survey, device: Device) -> None:
    """What is encrypted without a LUKS header on its device: with a random key, or with a key or header elsewhere."""
    spec, key_file, options = survey.crypttab.get(device.path.rpartition("/")[2], ("", "", ""))
    # A line may be older than what somebody has opened under its name.
    below = names(survey.devices.values())(spec)
    another = below in survey.devices and below not in device.parents
    if key_file in RANDOM and not another and not re.search(r"(^|,)header=", options):
        reason = f"encrypted with a random key ({key_file} in crypttab): it keeps nothing over a restart"
        survey.leave_out(device.path, reason, device=device.path)
    else:
        reason = "encrypted without a LUKS header on its device: neither saved nor recreated"
        survey.leave_out(device.path, reason, lost=True, on=device.parents, device=device.path)


def _luks(survey: Survey, device: Device) -> Luks:
    opened = next((survey.devices[c] for c in device.children if survey.devices[c].type == "crypt"), None)
    name = opened.path.rpartition("/")[2] if opened else ""
    if opened is None:
        reason = "the LUKS volume is closed: open it before `rear savelayout`"
        survey.leave_out(f"inside {device.path}", reason, lost=True, on=[device.path])
    _, key_file, options = survey.crypttab.get(name, ("", "", ""))
    facts: dict[str, Any] = {
        "needs": (device.path,),
        "name": name,
        "key_file": key_file,
        "crypttab_options": options,
        "device": opened.path if opened else "",
    }
    return described(survey, device.path, facts)


def described(survey: Survey, path: str, facts: dict[str, Any]) -> Luks:
    """The volume by its header, on a device or as a file, and by `facts` that are not in it."""
    header = survey.sh.query("cryptsetup", "luksDump", path)
    uuid = _field(header, "UUID")
    common = {"id": f"luks:{uuid}", "uuid": uuid, **facts}
    return _luks1(header, common) if _field(header, "Version") == "1" else _luks2(survey, path, header, common)


def _luks1(header: str, common: dict[str, Any]) -> Luks:
    """From the text, as version 1 has no JSON.

    >>> sh.query("cryptsetup", "luksDump", "/dev/vdc")
    LUKS header information for /dev/vdc
    Version:       	1
    Cipher name:   	aes
    Cipher mode:   	xts-plain64
    Hash spec:     	sha256
    Payload offset:	4096
    MK bits:       	512
    UUID:          	1ecfdc6f-064e-45a1-8b67-124549447897
    Key Slot 0: ENABLED
        Iterations:         	1000
    Key Slot 1: DISABLED
    """
    cipher = f"{_field(header, 'Cipher name')}-{_field(header, 'Cipher mode')}"
    hash, bits = _field(header, "Hash spec"), int(_field(header, "MK bits"))
    slots = re.findall(r"Key Slot (\d+): ENABLED\s+Iterations:\s+(\d+)", header)
    return Luks(
        **common,
        version=1,
        cipher=cipher,
        key_size=bits,
        hash=hash,
        offset=int(_field(header, "Payload offset")) * 512,
        slots=tuple(
            Slot(int(number), hash=hash, cost=int(cost), key_size=bits, cipher=cipher) for number, cost in slots
        ),
    )


def _luks2(survey: Survey, path: str, header: str, common: dict[str, Any]) -> Luks:
    """From the JSON area; label, subsystem and flags stand in the text only.

    >>> sh.json("cryptsetup", "luksDump", "--dump-json-metadata", "/dev/vdd")
    {"keyslots": {"0": {"type": "luks2", "key_size": 64, "af": {"type": "luks1", "stripes": 4000, "hash":
    "sha256"},
         "area": {"type": "raw", "encryption": "aes-xts-plain64", "key_size": 64, ...},
         "kdf": {"type": "argon2id", "time": 4, "memory": 32768, "cpus": 2, "salt": "wXv0P3Qf..."}}},
     "tokens": {}, "digests": {"0": {"type": "pbkdf2", "hash": "sha256", "iterations": 1000, ...}},
     "segments": {"0": {"type": "crypt", "offset": "16777216", "size": "dynamic", "encryption":
     "aes-xts-plain64",
         "sector_size": 4096, ...}}, "config": {"json_size": "12288", "keyslots_size": "16744448"}}
    """
    try:
        area = json.loads(survey.sh.query("cryptsetup", "luksDump", "--dump-json-metadata", path))
    except ProgramFailed as error:
        error.hint = "cryptsetup 2.4 or later is needed to describe LUKS 2"
        raise
    segment, config = area["segments"][min(area["segments"])], area.get("config", {})
    keys = {number: slot for number, slot in area["keyslots"].items() if "kdf" in slot}
    slots = tuple(_slot(int(number), slot) for number, slot in sorted(keys.items()))
    return Luks(
        **common,
        version=2,
        cipher=segment.get("encryption", ""),
        key_size=max((s.key_size for s in slots), default=0),
        hash=next((digest["hash"] for digest in area["digests"].values()), ""),
        label=_optional(header, "Label"),
        subsystem=_optional(header, "Subsystem"),
        sector_size=int(segment.get("sector_size", 512)),
        offset=int(segment["offset"]),
        slots=slots,
        tokens=tuple(read(survey, int(number), token) for number, token in sorted(area["tokens"].items())),
        flags=tuple(_optional(header, "Flags").split()),
        # Each of the two copies of the metadata has 4096 bytes before its JSON.
        metadata_size=json_size + 4096 if (json_size := _whole(config.get("json_size"))) else 0,
        keyslots_size=_whole(config.get("keyslots_size")),
        other=tuple(_other(area)),
    )


def _whole(value: object) -> int:
    """A number, which the JSON area has as text; 0 for what is none."""
    text = str(value)
    return int(text) if text.isdigit() else 0


def _other(area: dict[str, Any]) -> Iterator[str]:
    """What makes a volume another one than `cryptsetup luksFormat` makes here."""
    segments = area["segments"].values()
    kinds = {segment.get("type", "crypt") for segment in segments} - {"crypt"}
    yield from sorted(kinds)
    if any("integrity" in segment for segment in segments):
        yield "integrity"
    if len(segments) > 1 or any(slot.get("type") == "reencrypt" for slot in area["keyslots"].values()):
        yield "reencryption"


def _slot(number: int, slot: dict[str, Any]) -> Slot:
    kdf = slot["kdf"]
    return Slot(
        number,
        pbkdf=kdf["type"],
        hash=kdf.get("hash", slot["af"]["hash"]),
        cost=kdf.get("time", kdf.get("iterations", 0)),
        memory=kdf.get("memory", 0),
        threads=kdf.get("cpus", 0),
        key_size=slot["key_size"] * 8,
        cipher=slot["area"]["encryption"],
        priority={0: "ignore", 2: "prefer"}.get(slot.get("priority", 1), "normal"),
    )


def _field(header: str, name: str) -> str:
    found = re.search(rf"^{name}:[ \t]*(.*?)\s*$", header, re.MULTILINE)
    return found.group(1) if found else "0"


def _optional(header: str, name: str) -> str:
    """A field that is shown as `(no label)` when it is not set."""
    value = _field(header, name)
    return "" if value.startswith("(") else value


def contents(layout: Layout) -> Contents:
    """cryptsetup with the ciphers in use, and the modes and hashes that headers name."""
    words = {word for item in layout if isinstance(item, Luks) for word in re.split(r"[-:]", item.cipher) if word}
    has_tpm = any(token.is_of_tpm for item in layout if isinstance(item, Luks) for token in item.tokens)
    return Contents(
        # By dmsetup udev tells cryptsetup that a volume is open, which it waits for.
        programs=["cryptsetup", "dmsetup"],
        modules=[
            "dm_crypt",
            "algif_skcipher",
            "algif_hash",
            "aesni_intel",
            "sha256",
            "sha512",
            *sorted(words),
            *(TPM_MODULES if has_tpm else ()),
        ],
        libraries=[
            "/lib/*/libcryptsetup-token-*.so",
            "/usr/lib*/cryptsetup/*.so",
            "/usr/lib/*/cryptsetup/*.so",
        ],
    )
