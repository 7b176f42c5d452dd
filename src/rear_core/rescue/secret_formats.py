# SPDX-License-Identifier: GPL-3.0-or-later
"""How secrets look in files: keys, hashes of passwords, and settings that hold either."""

from __future__ import annotations

import base64
import mmap
import re
from typing import Union

# A file that is mapped is searched as it is, without a copy.
Data = Union[bytes, mmap.mmap]


class Format:
    """What a kind of secret looks like, in the middle of a file.

    Each of the `patterns` begins with a plain letter or word: so it is found ten times as quickly. One for the start
    of a line begins with the end of the line above. What is `anywhere` also counts in the libraries that a
    distribution and Python brought.
    """

    def __init__(self, what: str, *patterns: bytes, anywhere: bool = False) -> None:
        self.what = what
        self.anywhere = anywhere
        # One by one: alternatives are looked for at each letter.
        self._patterns = [re.compile(pattern, re.MULTILINE) for pattern in patterns]

    def is_in(self, data: Data) -> bool:
        """Whether a file has such a secret."""
        head = b"\n" + data[:FIRST_LINES]
        return any(pattern.search(data) or pattern.match(head) for pattern in self._patterns)


class Beginning:
    """A kind of secret that is a file of its own, known by how it begins."""

    def __init__(self, what: str, *patterns: bytes, anywhere: bool = True) -> None:
        self.what = what
        self.anywhere = anywhere
        self._pattern = re.compile(b"|".join(patterns), re.DOTALL)

    def is_in(self, data: Data) -> bool:
        """Whether a file begins so."""
        return bool(self._pattern.match(data))


# Nothing is above the first line of a file: it is looked at again behind an empty one.
FIRST_LINES = 4096
PRIVATE_KEY = "a private key"
HASH = "a password hash"

# A key is its first line and data: programs that read keys have the bare line, and are not keys. Between the two are
# the ends of lines, or what JSON (and JSON within it), shells, programs, URLs and XML write for them, and a header.
_GAP = rb"(?:[\s\"']|\\+(?:[nrt]|u000[aAdD]|\s)|%0[aAdD]|&#(?:10|13|x[aAdD]);)"
_HEADER = rb"[\w-]{1,30}: (?:(?:[^\n\\]|\\\r?\n){0,200}(?=[\n\\])|[^\s\\]{0,100})" + _GAP + rb"+"
_PEM = (
    rb"----[- ]BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?[- ]----" + _GAP + rb"*(?:" + _HEADER + rb"){0,8}"
    rb"(?:[A-Za-z0-9+]|\\*/){32}"
)
# The same in base64, as in a kubeconfig: all base64 begins as its text does, by groups of three letters.
_KINDS = (b"", b"RSA ", b"EC ", b"DSA ", b"ENCRYPTED ", b"OPENSSH ", b"PGP ")
_STARTS = [base64.b64encode((b"-----BEGIN %bPRIVATE KEY" % kind)[: 21 + len(kind) // 3 * 3]) for kind in _KINDS]
_PEM_IN_BASE64 = rb"LS0tLS1CRUdJTi(?:" + b"|".join(start[14:] for start in _STARTS) + rb")[A-Za-z0-9+/\s]{40}"
# What gpg-agent keeps, in binary form or as text. For keys on cards there is but a "shadowed" one.
_EXPRESSION = rb"private-key(?<!shadowed-private-key)\s*\((?:\d+:)?\w+\s*\((?:\d+:[a-z]|\w+\s+[#\w])"
# crypt(5): method, options, salt, hash. Lengths keep examples in program texts out.
_CRYPT = (
    rb"\$(?:(?:apr)?1\$[./0-9A-Za-z]{1,8}\$[./0-9A-Za-z]{22}"
    rb"|5\$(?:rounds=\d+\$)?[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{43}"
    rb"|6\$(?:rounds=\d+\$)?[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{86}"
    rb"|2[abxy]\$\d\d\$[./0-9A-Za-z]{53}"
    rb"|(?:y|gy|7)\$[./0-9A-Za-z]+\$[./0-9A-Za-z]{1,86}\$[./0-9A-Za-z]{43}"
    rb"|sha1\$\d+\$[./0-9A-Za-z]{1,64}\$[./0-9A-Za-z]{28}"
    rb"|argon2(?:id|i|d)\$(?:v=\d+\$)?m=\d+,t=\d+,p=\d+\$[+/0-9A-Za-z]{11,}\$[+/0-9A-Za-z]{43,})(?![./0-9A-Za-z])"
)

# A setting on a line of its own, which is no comment.
_LINE = rb"\n[ \t]*"
# What stands for a value in scripts, templates and documentation.
_VALUE = (
    rb"(?!\$\([^)\n]*\)|\$\{[^}\n]*\}|%\(|\{\{|\{[\w.]*\}|(?:\$[A-Z_]+|%s|<[^<>\n]*>|@\w+@)(?:[\"'\s\\]|$))"
    rb"[!-~\x80-\xff]"
)
# nm-settings-keyfile(5), iwd.network(5): here a value is all the rest of its line, whatever it consists of.
_OTHER_LINES = rb"[ \t]*\r?\n(?:(?!\[).*\n){0,100}?[ \t]*"
_KEYFILE = (
    rb"\n\[(?:wifi-security|802-11-wireless-security|802-1x|gsm|cdma|pppoe|adsl|macsec|Security)\]" + _OTHER_LINES
    + rb"(?:psk|wep-key\d|password(?:-raw)?|leap-password|(?:phase2-)?private-key-password|pin|mka-cak"
    rb"|(?:phase2-)?(?:ca|client)-cert-password|Passphrase|PreSharedKey)[ \t]*=[ \t]*" + _VALUE,
    rb"\n\[vpn-secrets\]" + _OTHER_LINES + rb"[^\s#;\[=][^#;=\n]*=[ \t]*" + _VALUE,
)  # fmt: skip
# wpa_supplicant.conf(5): text in quotes, or hexadecimal digits, in a block.
_BLOCK = (
    rb"network=\{(?:[^}#\"]|\"[^\"\n]*\"|#.*\n){0,4000}?(?<=[\s{])"
    rb"(?:psk|sae_password|password|private_key2?_passwd|wep_key\d|pin)="
    rb"(?:\"" + _VALUE + rb"[^\"\n]*\"|hash:[0-9a-fA-F]{32}|[0-9a-fA-F]{10,64}(?![^\s}]))"
)
# netplan(5)
_ACCESS_POINT = rb"access-points:[ \t]*\r?\n(?:.*\n){1,20}?[ \t]+password:[ \t]*[\"']?" + _VALUE
# The same and hostapd's settings in any file, where a word behind a dollar sign is a variable. What programs call,
# pick or leave empty is no value.
_SETTING = (
    _LINE + rb"(?:psk|sae_password|wep-?key\d|wep_key\d|password|leap-password|(?:phase2-)?private-key-password|pin"
    rb"|private_key2?_passwd|wpa_passphrase|wpa_psk|WPA_PSK)[ \t]*=[ \t]*"
    rb"(?:\"[^\"\n$][^\"\n]{0,62}\"|(?!self\.|None\b|NULL\b|[\w.]+[(\[].*[)\]])"
    + _VALUE
    + rb"(?<![\"#$])[^\s#]*)(?:[ \t]+[#;].*|[ \t]*)\r?$"
)
# netrc(5): an entry, its words in any order. "and" behind one is a sentence about passwords.
_LOGIN = rb"\s+(?:login|account|port)\s+(?!and\b|or\b|anonymous\b)[!-~]+"
_WORD = rb"\s+password\s+" + _VALUE + rb"[!-~\x80-\xff]*"
_NETRC = (
    rb"machine[ \t]+[!-~]+(?:" + _LOGIN + rb"){1,2}" + _WORD,
    _LINE + rb"machine[ \t]+[!-~]+" + _WORD + rb"(?:" + _LOGIN + rb"|[ \t]*\r?$)",
    _LINE + rb"default(?:" + _LOGIN + rb"){1,2}" + _WORD,
    _LINE + rb"default" + _WORD + _LOGIN,
)
# Settings in INI files, the environment, YAML and JSON. Two digits tell what was drawn at random from the names of
# variables.
_IS = rb"\\*[\"']?\s*[=:]\s*\\*[\"']?"
_ACCESS = rb"(?:" + _IS + rb"|[ \t]+)" + rb"(?:[A-Za-z0-9/+]{40}|(?=[A-Za-z/+]*[0-9])[A-Za-z0-9/+]{20})"
_CLIENT = _IS + rb"(?=(?:[A-Za-z~._+/=-]*[0-9]){2})[A-Za-z0-9~._+/=-]{20}"
_CLOUD = (
    rb"ecret_?(?:[Aa]ccess_?)?[Kk]ey" + _ACCESS,
    rb"SECRET_(?:ACCESS_)?KEY" + _ACCESS,
    rb"AKIA[A-Z0-9]{16}:[A-Za-z0-9/+]{40}",
    rb"lient_?[Ss]ecret" + _CLIENT,
    rb"CLIENT_SECRET" + _CLIENT,
    rb"ccount_?[Kk]ey" + _IS + rb"[A-Za-z0-9+/]{86}==",
    rb"STORAGE_(?:ACCOUNT_|ACCESS_)*KEY" + _IS + rb"[A-Za-z0-9+/]{86}==",
    _LINE + rb"key[ \t]*=[ \t]*[A-Za-z0-9+/]{86}==",
    rb"\"appId\"[^{}]{1,500}\"password\"\s*:\s*\"[^\"\n]{16}",
    rb"SharedAccessKey=[A-Za-z0-9+/]{43}=",
    rb"\"refresh_token\\*\"\s*:\s*\\*\"[^\"\n]{20}",
)
_KEY_OF_32_BYTES = rb"[ \t]*=[ \t]*(?:[A-Za-z0-9+/]{43}=|[0-9a-fA-F]{64}\b)"

FORMATS = (
    Format(PRIVATE_KEY, _PEM, _PEM_IN_BASE64, _EXPRESSION, anywhere=True),
    Format(HASH, _CRYPT, anywhere=True),
    Format(HASH, rb"\{(?:SSHA\d*|SMD5)\}[A-Za-z0-9+/]{26,}={0,2}"),
    Format("a password hash of GRUB", rb"grub\.pbkdf2\.sha\d+\.\d+\.[0-9A-Fa-f]{32,}\.[0-9A-Fa-f]{32,}"),
    Format("a private key of PuTTY", rb"PuTTY-User-Key-File-\d: (?:.*\n){1,200}?[ \t]*Private-Lines: [1-9]"),
    Format("a private key of age", rb"AGE-SECRET-KEY-(?:PQ-)?1[02-9AC-HJ-NP-Z]{58}"),
    Format(
        "a key of WireGuard",
        rb"rivate[-_]?[Kk]ey" + _KEY_OF_32_BYTES,
        rb"reshared[-_]?[Kk]ey" + _KEY_OF_32_BYTES,
    ),
    Format(
        "a key of OpenVPN",
        rb"-----BEGIN OpenVPN Static key V1-----\s+[0-9a-f]{32}",
        rb"-----BEGIN OpenVPN tls-crypt-v2 \w+ key-----\s+[A-Za-z0-9+/]{32}",
    ),
    Format("a key or password of a network", *_KEYFILE, _BLOCK, _ACCESS_POINT, _SETTING),
    Format("a password of netrc", *_NETRC),
    Format("a key of a cloud", *_CLOUD),
)

# DER (X.690), or BER, where a length may also be open.
_LENGTH = rb"(?:[\x00-\x80]|\x81.|\x82..)"
_SEQUENCE = rb"\x30" + _LENGTH
# The identifiers of RSA's standards: 1.2.840.113549.1, and below that the bags of a PKCS #12.
_PKCS = rb"\x2a\x86\x48\x86\xf7\x0d\x01"
_BAG = rb"\x06\x0b" + _PKCS + rb"\x0c\x0a\x01"
_DER = (
    # RFC 5958, 8017, 5915: a version number, then the algorithm, the modulus or the number that is the key.
    _SEQUENCE + rb"\x02\x01[\x00\x01](?:" + _SEQUENCE + rb"\x06|\x02\x82..\x00|\x02\x81.\x00|\x04[\x14-\x42])",
    # RFC 5958, encrypted: by a method of PKCS #5 or #12.
    _SEQUENCE * 2 + rb"\x06." + _PKCS + rb"(?:\x05|\x0c\x01)",
    # RFC 7292, but one that shows certificates and no key, as those that Java trusts.
    _SEQUENCE + rb"\x02\x01\x03" + _SEQUENCE + rb"\x06\x09" + _PKCS + rb"\x07"
    rb"(?:(?=.*" + _BAG + rb"[\x01\x02])|(?!.*" + _BAG + rb"\x03))",
)
# Keystores of Java, JKS and JCEKS, which are not empty: any entry that is no certificate (2), or the method by which
# keys are encrypted.
_JAVA = (
    rb"(?:\xfe\xed\xfe\xed|\xce\xce\xce\xce)\x00\x00\x00[\x01\x02](?!\x00{4})"
    rb"(?:.{4}(?!\x00\x00\x00\x02)|.*\x2b\x06\x01\x04\x01\x2a\x02(?:\x11\x01|\x13)\x01)"
)
# RFC 9580, a packet with a secret key: old or new kind of length, version, time, algorithm, first number or curve.
_PGP = (
    rb"(?:\x94.|\x95..|\x96.{4}|\xc5(?:[\x00-\xbf]|[\xc0-\xdf].|\xff.{4}))[\x03-\x06].{4}"
    rb"(?:[\x01-\x03\x10\x11][\x01-\x40].|[\x12\x13\x16][\x03-\x0a][\x2a\x2b]|[\x19-\x1c])"
)
# A version, then the size of the first entry and its number of names; the size of one that was deleted is negative.
_KEYTAB = rb"\x05[\x01\x02](?:\x00\x00[\x00-\x0f].\x00[\x01-\x08]|\xff\xff[\xf0-\xff].)"

BEGINNINGS = (
    Beginning(PRIVATE_KEY, *_DER, _JAVA, _PGP),
    Beginning("a keytab of Kerberos", _KEYTAB, anywhere=False),
)
