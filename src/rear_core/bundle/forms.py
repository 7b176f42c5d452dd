# SPDX-License-Identifier: GPL-3.0-or-later
"""The forms of addresses and identifiers, as regular expressions by name."""

from __future__ import annotations

HEX = "[0-9A-Fa-f]"
# What may stand between the parts of an identifier; systemd escapes a dash.
DASH = r"(?:-|\\x2d)"
START, END = r"(?<![^\W_])", r"(?![^\W_])"
ADDRESSES = {
    # One with more parts is an identifier of a DHCP client, or of InfiniBand, that ends with one.
    "mac": rf"(?<![\w:-]){HEX}{{2}}(?::{HEX}{{2}}){{5,19}}(?![\w:])|(?<![\w:-]){HEX}{{2}}(?:-{HEX}{{2}}){{5}}(?![\w-])",
    "card": rf"{START}enx{HEX}{{12}}{END}",
    # The last two parts may be written as an address of IPv4 (RFC 4291).
    "ipv6": rf"(?<![\w:.])(?:{HEX}{{0,4}}:){{2,7}}(?:\d{{1,3}}(?:\.\d{{1,3}}){{3}}|{HEX}{{0,4}})(?![\w:])",
    "ipv4": r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w]|\.\d)",
}
IDENTIFIERS = {
    "uuid": rf"{START}{HEX}{{8}}(?:{DASH}{HEX}{{4}}){{3}}{DASH}{HEX}{{12}}{END}",
    "array": rf"(?<![\w:]){HEX}{{8}}(?::{HEX}{{8}}){{3}}(?![\w:])",
    "lvm": rf"{START}[A-Za-z0-9]{{6}}(?:{DASH}[A-Za-z0-9]{{4}}){{5}}{DASH}[A-Za-z0-9]{{6}}{END}",
    "fat": rf"{START}[0-9A-F]{{4}}-[0-9A-F]{{4}}(?![\w-])",
    "mbr": rf"{START}{HEX}{{8}}-{HEX}{{2}}(?![\w-])",
    "number": rf"{START}0x{HEX}{{8,}}{END}",
    "hex": rf"{START}(?=[A-Fa-f0-9]*[A-Fa-f]|[0-9]{{24}}){HEX}{{16,}}{END}",
    "long": rf"{START}[A-Za-z0-9]{{32,}}{END}",
    # Keys, salts and digests: base64, also that for URLs.
    "blob": r"(?<![\w/+.-])(?![/.]|LVM-)(?=[\w+/-]*\d)(?=[\w+/-]*[A-Z])(?=[\w+/-]*[a-z])"
    r"[A-Za-z0-9+/_-]{40,}={0,2}(?![\w/+-])",
}
