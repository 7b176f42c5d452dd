# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives names, addresses and identifiers pseudonyms: the same one wherever it occurs, of the same form and length.

A UUID stays a UUID, an address of a network an address of one network, and a name of five letters has five letters, so
that what programs printed is still read as before. The pseudonyms are made with a random key that nobody keeps.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import itertools
import os
import re
import string
from collections.abc import Iterable, Mapping
from typing import Any

from .forms import ADDRESSES, HEX, IDENTIFIERS
from .words import COMMON, FORMS, OF_KERNEL, PLAIN, TELLING, tells_nothing

BASE = {**ADDRESSES, **IDENTIFIERS, "escape": r"\\x[0-9a-f]{2}|\\[0-7]{3}|\\[nrt]"}
STRUCTURES = {
    "url": r"(?<![\w])[A-Za-z][A-Za-z0-9+.-]*://[^\s\"'<>`]+",
    "share": r"(?<![\w:/])//[\w.-]+/[^\s\"'<>`,;]*",
    "export": r"(?<![\w./-])[\w.-]{2,}:/[^\s\"'<>`,;]+",
    "qualified": r"(?<![\w.])(?:iqn|nqn|naa|eui|nvme)\.[^\s\"',<>]+",
    "mail": r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)*",
    "value": r"(?<![\w])(?P<key>[A-Z_]*(?:LABEL|SERIAL|WWN|UUID|HOST|USER|NAME)[A-Z_]*=)(?P<of>[^\s\",;]+)",
    "path": r"(?<![\w.~@:/-])/(?:[^\s\"'`<>,;:()\[\]{}|*?=&]+)",
}
# Below these folders only known names are replaced, in all others every name.
SYSTEM = frozenset(
    ("bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "run", "sbin", "sys", "tmp", "usr", "var")
)
# A run of bytes, as od(1) and others print it.
BYTES = re.compile(r"(?<![\w])[0-9a-f]{2}(?:\s+[0-9a-f]{2}){7,}(?![\w])")
ESCAPED = re.compile(r"(?:\\x[89a-f][0-9a-f]){2,}|(?:\\[23][0-7]{2}){2,}")


def _pattern(parts: Mapping[str, str], word: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?P<{name}>{part})" for name, part in {**parts, "word": word}.items()))


ALL_WORDS = _pattern(BASE, r"[^\W_]+")
TEXT = _pattern({**STRUCTURES, **BASE}, r"[^\W_]+")


class Anonymizer:
    """Replaces what tells whose machine it is.

    `names` are words that are replaced wherever they stand, `plain` such that never are, as programs have them.
    """

    def __init__(self, names: Iterable[str] = (), plain: Iterable[str] = (), key: bytes = b"") -> None:
        self._key = key or os.urandom(32)
        self._plain = frozenset(plain)
        self._names = {name for name in map(_small, names) if not self._is_plain(name)}
        self._made: dict[str, str] = {}
        self._taken: set[str] = set()
        self.replaced: dict[str, set[str]] = {"names": set(), "addresses": set(), "identifiers": set()}

    def text(self, text: str) -> str:
        """A text in which known names are replaced, and what has the form of an address, identifier, URL or path."""
        text = ESCAPED.sub(_unescaped, text)
        return BYTES.sub(self._bytes, TEXT.sub(self._found, text))

    def name(self, text: str) -> str:
        """A name or path of the owner's own, of which every word is replaced that says something."""
        return ALL_WORDS.sub(self._found_in_name, ESCAPED.sub(_unescaped, text))

    def document(self, document: Any, key: str = "", *, machine: bool = True) -> Any:
        """A JSON document; in one that describes the `machine`, names are known by their fields."""
        if isinstance(document, Mapping):
            return {
                self._key_of(str(name)): self.document(value, str(name), machine=machine)
                for name, value in document.items()
            }
        if isinstance(document, (list, tuple)):
            return [self.document(value, key, machine=machine) for value in document]
        if not isinstance(document, str) or key in PLAIN:
            return document
        is_name = machine and key in TELLING and not document.startswith(OF_KERNEL)
        return self.name(document) if is_name else self.text(document)

    def left(self, text: str) -> set[str]:
        """The names and identifiers that were replaced elsewhere and stand in this text."""
        replaced = self.replaced["identifiers"] | self.replaced["addresses"]
        forms = {re.sub(r"-|:|\\x2d|^0x", "", match[0]) for match in FORMS.finditer(_small(text))}
        # Parts of an identifier are no words.
        words = {*re.findall(r"[^\W_]+", FORMS.sub(" ", _small(text)))}
        return ((replaced & (forms | words)) | (self._names & {*self._made} & words)) - self._taken

    def _is_plain(self, word: str) -> bool:
        return word in self._plain or tells_nothing(word)

    def _key_of(self, name: str) -> str:
        """Fields are what programs call them; some documents have mount points in their place."""
        return name if re.fullmatch(r"[A-Za-z][A-Za-z_:+-]*", name) else self.text(name)

    def _found(self, match: re.Match[str]) -> str:
        text = match[0]
        if match["value"]:
            return match["key"] + self.name(match["of"])
        if match["path"]:
            inside = text.split("/")[1] in SYSTEM
            return self._known(text) if inside else self.name(text)
        if any(match[name] for name in STRUCTURES):
            return self.name(text)
        if match["word"]:
            return self._known_word(text)
        return self._base(match)

    def _known_word(self, word: str) -> str:
        """A word, or its pseudonym where it is known; without its colons an address of a card is a number as any."""
        if _small(word) in self.replaced["addresses"]:
            return self._hardware(word)
        return self._word(word) if _small(word) in self._names else word

    def _found_in_name(self, match: re.Match[str]) -> str:
        if match["word"]:
            return match[0] if self._is_plain(_small(match[0])) else self._word(match[0])
        return self._base(match)

    def _known(self, text: str) -> str:
        """A text of which only known names and identifiers are replaced."""

        def found(match: re.Match[str]) -> str:
            return self._known_word(match[0]) if match["word"] else self._base(match)

        return ALL_WORDS.sub(found, text)

    def _base(self, match: re.Match[str]) -> str:
        text = match[0]
        if match["escape"]:
            return text
        if match["mac"] or match["card"]:
            return self._hardware(text)
        if match["ipv4"] or match["ipv6"]:
            return self._address(text)
        if match["mbr"]:
            return self._identifier(text[:8]) + text[8:]
        return self._identifier(text)

    def _word(self, word: str) -> str:
        self.replaced["names"].add(_small(word))
        return self._like(word)

    def _like(self, text: str) -> str:
        """The pseudonym of a word, in the letters, capital or small, that it has."""
        if text[:2] == "0x" and len(text) > 2:
            return "0x" + self._like(text[2:])
        made = self._pseudonym(_small(text))
        return "".join(new.upper() if old.isupper() else new for old, new in zip(text, made))

    def _identifier(self, text: str) -> str:
        """One of several parts is the same one without what stands between them; LVM joins two."""
        parts = re.split(r"(-|:|\\x2d)", text)
        joined = "".join(parts[::2])
        self.replaced["identifiers"].add(_small(joined))
        halves = [joined[:32], joined[32:]] if len(joined) == 64 and not re.fullmatch(f"{HEX}+", joined) else [joined]
        letters = iter("".join(map(self._like, halves)) if joined.isalnum() else self._blob(joined))
        return "".join(part if number % 2 else "".join(itertools.islice(letters, len(part)))
                       for number, part in enumerate(parts))  # fmt: skip

    def _blob(self, text: str) -> str:
        """Something in base64, still in base64."""
        return "".join(self._letter(text, number, letter) if letter.isalnum() else letter
                       for number, letter in enumerate(text))  # fmt: skip

    def _pseudonym(self, word: str) -> str:
        """For a word in small letters one of the same form, which is no other one's; the kernel's prefixes stay."""
        if word not in self._made:
            for attempt in itertools.count():
                made = "".join(self._letter(f"{attempt}/{word}", n, letter, word) for n, letter in enumerate(word))
                if made != word and not {made} & (self._taken | self._names | COMMON):
                    break
            self._made[word] = made
            self._taken.add(made)
        return self._made[word]

    def _letter(self, of: str, place: int, letter: str, word: str = "") -> str:
        """A letter for a letter and a digit for a digit; hexadecimal ones where all are."""
        number = self._number(f"{of}/{place}")
        if letter.isdigit():
            return string.digits[number % 10]
        is_hex = len(word) >= 8 and re.fullmatch("[0-9a-f]+", word) is not None
        made = "abcdef"[number % 6] if is_hex else string.ascii_lowercase[number % 26]
        return made.upper() if letter.isupper() else made

    def _number(self, of: str) -> int:
        digest = hmac.new(self._key, of.encode(errors="surrogateescape"), hashlib.sha256).digest()
        return int.from_bytes(digest[:8], "big")

    def _hardware(self, text: str) -> str:
        """The address of a card, the last six bytes of what there is; it becomes one that is given locally."""
        prefix, text = ("enx", text[3:]) if text[:3] == "enx" else ("", text)
        separator = text[2] if text[2] in ":-" else ""
        size = 12 + 5 * len(separator)
        before, own = text[:-size], text[-size:]
        plain = _small(own.replace(separator, "") if separator else own)
        if set(plain) <= {"0"} or set(plain) <= {"f"}:
            return prefix + text
        self.replaced["addresses"].add(plain)
        made = "02" + self._pseudonym(plain)[2:]
        made = separator.join(made[n : n + 2] for n in range(0, 12, 2))
        return prefix + before + (made.upper() if own.isupper() else made)

    def _address(self, text: str) -> str:
        """An address of IP, octet by octet: those of one network have one network again."""
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return text
        if address.is_loopback or address.is_unspecified or address.is_multicast or text.startswith("255."):
            return text
        self.replaced["addresses"].add(str(address))
        if address.version == 4:
            octets = text.split(".")
            first = 1 + (address.is_private and octets[0] in ("172", "192")) if address.is_private else 0
            first = 2 if address.is_link_local else first
            made = [o if n < first else self._part(octets[:n], o, 254) for n, o in enumerate(octets)]
            return ".".join(made)
        groups = address.exploded.split(":")
        first = 1 if address.is_link_local or address.is_private else 0
        made = [g if n < first or not int(g, 16) else self._group(groups[:n], g) for n, g in enumerate(groups)]
        return str(ipaddress.ip_address(":".join(made)))

    def _part(self, before: list[str], octet: str, top: int) -> str:
        """An octet by those before it, another one for each; 0 and 255, which mean networks, stay."""
        value = int(octet)
        if value in (0, 255):
            return octet
        shift = 1 + self._number(".".join(before)) % (top - 1)
        return str(1 + (value - 1 + shift) % top)

    def _group(self, before: list[str], group: str) -> str:
        shift = 1 + self._number(":".join(before)) % 0xFFFD
        return f"{1 + (int(group, 16) - 1 + shift) % 0xFFFE:x}"

    def _bytes(self, match: re.Match[str]) -> str:
        """Bytes of a disk: names in them are replaced as elsewhere, and the numbers of FAT, which begin at the end."""
        pairs = re.findall(r"[0-9a-f]{2}", match[0])
        data = bytes.fromhex("".join(pairs))
        for word, made in self._made.items():
            if re.fullmatch("[0-9a-f]{8}", word):
                data = data.replace(bytes.fromhex(word)[::-1], bytes.fromhex(made)[::-1])
        new = iter(self._known(data.decode("latin-1")).encode("latin-1").hex(" ").split())
        return re.sub(r"[0-9a-f]{2}", lambda _pair: next(new), match[0])


def _small(text: str) -> str:
    """In small letters, of the same length."""
    return "".join(small if len(small := letter.lower()) == 1 else letter for letter in text)


def _unescaped(match: re.Match[str]) -> str:
    """Letters beyond ASCII, as udev and the kernel escape them; what is no text stays escaped."""
    from ..mounts import unescaped

    text = unescaped(match[0])
    return text if text.isprintable() else match[0]
