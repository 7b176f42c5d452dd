# SPDX-License-Identifier: GPL-3.0-or-later
"""The wireless networks that this machine knows: files of NetworkManager, wpa_supplicant, netplan, iwd and ifupdown.

Formats: nm-settings-keyfile(5), wpa_supplicant.conf(5), iwd.network(5), interfaces(5). What is for
one user, or uses certificates, is known too, with the reason why the rescue system cannot join it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from .. import own_files
from ..errors import ConfigurationError, Refused

# Names of key management, as wpa_supplicant has them.
OPEN, ENHANCED_OPEN, WPA3 = ("NONE",), ("OWE",), ("SAE",)
WPA2 = ("WPA-PSK", "WPA-PSK-SHA256")
ENTERPRISE = "it uses 802.1X (enterprise), whose certificates and passwords rear does not take along"
WEP = "it uses WEP, which does not protect it"
NOT_STORED = "its key is not in that file: a user's session or another program has it"
NM_METHODS = {"": OPEN, "owe": ENHANCED_OPEN, "sae": WPA3, "wpa-psk": WPA2}
ESCAPES = {"s": " ", "n": "\n", "t": "\t", "r": "\r", "e": "\x1b", "\\": "\\", '"': '"'}
HASH = re.compile(r"[0-9A-Fa-f]{64}")
# IEEE 802.11: bytes of a name, and of a passphrase of WPA2.
LONGEST_NAME, PASSPHRASE = 32, range(8, 64)


@dataclass(frozen=True)
class KnownNetwork:
    """A wireless network, by its name (SSID, up to 32 bytes) and the file that describes it.

    `methods` are the words for `key_mgmt` of wpa_supplicant. It opens with a `passphrase`, or for WPA2 only with the
    `psk`, 64 hexadecimal digits that were made of it. A `hidden` one does not tell its name. `country` decides about
    channels. `refused` says why the rescue system cannot join it.
    """

    name: bytes
    source: str
    methods: tuple[str, ...] = OPEN
    passphrase: bytes = field(default=b"", repr=False)
    psk: str = field(default="", repr=False)
    hidden: bool = False
    country: str = ""
    refused: str = ""

    @property
    def secrets(self) -> list[str]:
        """What must not be shown."""
        derived = derive(self.name, self.passphrase) if self.passphrase else ""
        words = (os.fsdecode(self.passphrase), self.passphrase.hex(), self.psk, derived)
        return [word for word in words if word]


def find(name: bytes, root: Path = Path("/")) -> KnownNetwork:
    """The network of that name; `Refused` where this machine does not know it, or the rescue system cannot join it."""
    found = [network for network in known_networks(root) if network.name == name]
    shown = repr(os.fsdecode(name))
    if not found:
        raise Refused(
            f"no file of this machine has the key of the wireless network {shown}",
            "have NetworkManager, wpa_supplicant, netplan, iwd or ifupdown keep it for the whole machine, or change"
            " RESCUE_WIRELESS",
        )
    usable = next((network for network in found if not network.refused), None)
    if usable is None:
        raise Refused(
            f"the rescue system cannot join the wireless network {shown}: {found[0].refused} ({found[0].source})",
            "name another network in RESCUE_WIRELESS, or remove it",
        )
    return usable


def sources(name: bytes, root: Path = Path("/")) -> list[str]:
    """The files that describe the network of that name."""
    return [network.source for network in known_networks(root) if network.name == name]


def known_networks(root: Path = Path("/")) -> Iterator[KnownNetwork]:
    """All networks in the files of those programs; what cannot be read there knows none."""
    for pattern, read in STORES.items():
        for path in sorted(root.glob(pattern)):
            try:
                text = own_files.read(path).decode(errors="surrogateescape")
                yield from map(_checked, read(f"/{path.relative_to(root)}", text))
            except (OSError, ValueError, ConfigurationError):
                continue


def derive(name: bytes, passphrase: bytes) -> str:
    """The key that WPA2 makes of a passphrase, as hexadecimal digits (IEEE 802.11, annex J.4)."""
    return hashlib.pbkdf2_hmac("sha1", passphrase, name, 4096, 32).hex()


def configuration(network: KnownNetwork) -> str:
    """A file for wpa_supplicant that knows this network alone.

    Names and keys are hexadecimal digits, whatever bytes they have: wpa_supplicant has no other form for all.
    """
    methods = network.methods
    lines = [f"ssid={network.name.hex()}", *(["scan_ssid=1"] if network.hidden else [])]
    if methods == WPA2:
        lines += [f"psk={network.psk or derive(network.name, network.passphrase)}"]
        # Access points that speak WPA3 only still belong to profiles that say WPA2.
        methods += WPA3 if network.passphrase else ()
    if "SAE" in methods:
        lines += [f"sae_password={network.passphrase.hex()}"]
    lines += [f"key_mgmt={' '.join(methods)}"]
    # WPA3 and OWE need protected management frames; WPA2 has them where the other side has.
    lines += [] if methods == OPEN else [f"ieee80211w={1 if 'WPA-PSK' in methods else 2}"]
    country = [f"country={network.country}"] if network.country else []
    block = ["network={", *(f"\t{line}" for line in lines), "}"]
    return "\n".join(["ctrl_interface=/run/wpa_supplicant", *country, *block, ""])


def _checked(network: KnownNetwork) -> KnownNetwork:
    """The network, refused where its name or key cannot be right."""
    refused = network.refused
    if not 0 < len(network.name) <= LONGEST_NAME:
        refused = refused or f"its name has {len(network.name)} bytes, not 1 to {LONGEST_NAME}"
    elif network.methods in (WPA2, WPA3) and not (network.passphrase or network.psk):
        refused = refused or NOT_STORED
    elif network.methods == WPA3 and not network.passphrase:
        refused = refused or "WPA3 needs its passphrase, and only what WPA2 makes of it is stored"
    elif network.methods == WPA2 and not network.psk and len(network.passphrase) not in PASSPHRASE:
        refused = refused or "its passphrase has not 8 to 63 bytes"
    return replace(network, refused=refused)


def _with_key(network: KnownNetwork, key: str) -> KnownNetwork:
    """The network with a key as users write it: a passphrase, or the 64 digits that WPA2 makes of one."""
    if HASH.fullmatch(key) and network.methods == WPA2:
        return replace(network, psk=key.lower())
    return replace(network, passphrase=os.fsencode(key))


def _of_network_manager(source: str, text: str) -> Iterator[KnownNetwork]:
    found = _sections(text)
    kind = {"wifi", "802-11-wireless"} & found.keys()
    if not kind:
        return
    radio = found[kind.pop()]
    # What this machine offers to others is no network that it joins.
    if radio.get("mode", "infrastructure") != "infrastructure":
        return
    security = found.get("wifi-security") or found.get("802-11-wireless-security") or {}
    method = security.get("key-mgmt", "")
    network = KnownNetwork(_name(radio.get("ssid", "")), source, hidden=radio.get("hidden") == "true")
    if method in NM_METHODS:
        yield _with_key(replace(network, methods=NM_METHODS[method]), _unescaped(security.get("psk", "")))
    else:
        yield replace(network, refused=WEP if method == "none" else ENTERPRISE)


def _name(value: str) -> bytes:
    """The bytes of a name: text, or their numbers as `72;111;109;101;`."""
    value = _unescaped(value)
    if re.fullmatch(r"(\s*[0-9]{1,3}\s*;)+\s*", value):
        return bytes(int(number) for number in value.split(";") if number.strip())
    return os.fsencode(value.replace("\\;", ";"))


def _of_iwd(source: str, text: str) -> Iterator[KnownNetwork]:
    """The file's own name is that of the network, or `=` and its bytes as hexadecimal digits."""
    stem, kind = os.path.splitext(os.path.basename(source))
    name = bytes.fromhex(stem[1:]) if stem.startswith("=") else os.fsencode(stem)
    found = _sections(text)
    hidden = found.get("Settings", {}).get("Hidden", "").lower() in ("true", "1")
    network = KnownNetwork(name, source, hidden=hidden)
    if kind == ".open":
        yield network
    elif kind == ".8021x":
        yield replace(network, refused=ENTERPRISE)
    elif kind == ".psk":
        security = found.get("Security", {})
        network = replace(network, methods=WPA2, psk=security.get("PreSharedKey", "").lower())
        passphrase = os.fsencode(_unescaped(security.get("Passphrase", "")))
        yield replace(network, passphrase=passphrase, psk="" if passphrase else network.psk)


def _sections(text: str) -> Mapping[str, Mapping[str, str]]:
    """The values of a key file as GLib has it, with their escapes."""
    found: dict[str, dict[str, str]] = {}
    section: dict[str, str] = {}
    for line in text.replace("\r\n", "\n").split("\n"):
        if heading := re.fullmatch(r"\s*\[(.*)\]\s*", line):
            section = found.setdefault(heading[1], {})
        elif "=" in line and not line.lstrip().startswith("#"):
            name, _, value = line.partition("=")
            section[name.strip()] = value.lstrip()
    return found


def _unescaped(value: str) -> str:
    return re.sub(r"\\([sntr\\])", lambda found: ESCAPES[found[1]], value)


def _of_supplicant(source: str, text: str) -> Iterator[KnownNetwork]:
    country = ""
    block: dict[str, str] | None = None
    for line in text.split("\n"):
        name, _, value = (part.strip() for part in line.partition("="))
        if name.startswith("#"):
            continue
        if name == "network" and value.startswith("{"):
            block = {}
        elif block is None:
            country = value if name == "country" and re.fullmatch("[A-Z]{2}", value) else country
        elif name.startswith("}"):
            yield from _of_block(source, block, country)
            block = None
        else:
            # A comment ends a line unless it is within quotes.
            block[name] = value if '"' in value else value.partition("#")[0].strip()


def _of_block(source: str, block: Mapping[str, str], country: str) -> Iterator[KnownNetwork]:
    if block.get("mode", "0") != "0" or "ssid" not in block:
        return
    network = KnownNetwork(_bytes(block["ssid"]), source, hidden=block.get("scan_ssid", "0") != "0", country=country)
    words = {*block.get("key_mgmt", "WPA-PSK WPA-EAP").split()}
    key = block.get("psk", "")
    if {"WPA-PSK", "WPA-PSK-SHA256", "FT-PSK"} & words and (key or "WPA-EAP" not in words):
        network = replace(network, methods=WPA2)
    elif {"SAE", "FT-SAE"} & words:
        network, key = replace(network, methods=WPA3), block.get("sae_password", key)
    elif "OWE" in words:
        network = replace(network, methods=ENHANCED_OPEN)
    elif words != {"NONE"}:
        network = replace(network, refused=ENTERPRISE)
    elif any(name.startswith("wep_key") for name in block):
        network = replace(network, refused=WEP)
    if key.startswith("ext:"):
        yield replace(network, refused=NOT_STORED)
    else:
        yield _with_key(network, os.fsdecode(_bytes(key)) if '"' in key else key)


def _of_ifupdown(source: str, text: str) -> Iterator[KnownNetwork]:
    """Of interfaces(5): what wpa_supplicant is told, each word with `wpa-` before it, quotes left out."""
    block: dict[str, str] = {}
    for line in [*text.split("\n"), "iface"]:
        name, _, value = line.strip().replace("\t", " ").partition(" ")
        if name in ("iface", "auto", "allow-hotplug", "mapping", "source"):
            yield from _of_block(source, block, "")
            block = {}
        elif name.startswith("wpa-"):
            value = value.strip()
            text_in_file = name in ("wpa-ssid", "wpa-psk") and not HASH.fullmatch(value) and not value.startswith('"')
            block[name[4:].replace("-", "_")] = f'"{value}"' if text_in_file else value


def _bytes(value: str) -> bytes:
    """The bytes of a text in quotes, of one with escapes (`P"..."`), or of hexadecimal digits."""
    quoted = re.fullmatch(r'(P?)"(.*)"[^"]*', value, re.DOTALL)
    if not quoted:
        return bytes.fromhex(value)
    if not quoted[1]:
        return os.fsencode(quoted[2])
    escape = rb'\\(?:x([0-9A-Fa-f]{1,2})|([0-7]{1,3})|([ntre\\"]))'
    return re.sub(escape, _byte, os.fsencode(quoted[2]))


def _byte(found: re.Match[bytes]) -> bytes:
    if found[3]:
        return ESCAPES[found[3].decode()].encode()
    return bytes([int(found[1], 16) if found[1] else int(found[2], 8) & 0xFF])


# In the order in which they count, the files of each with what reads them.
STORES = {
    "etc/NetworkManager/system-connections/*": _of_network_manager,
    "run/NetworkManager/system-connections/*": _of_network_manager,
    "usr/lib/NetworkManager/system-connections/*": _of_network_manager,
    "etc/wpa_supplicant/*.conf": _of_supplicant,
    "etc/wpa_supplicant.conf": _of_supplicant,
    "run/netplan/wpa-*.conf": _of_supplicant,
    "var/lib/iwd/*": _of_iwd,
    "etc/network/interfaces": _of_ifupdown,
    "etc/network/interfaces.d/*": _of_ifupdown,
}
