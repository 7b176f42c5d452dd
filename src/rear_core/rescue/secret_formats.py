# SPDX-License-Identifier: GPL-3.0-or-later
"""How secrets look in files: keys, hashes of passwords, and settings that hold either."""

from __future__ import annotations

import base64

from .secret_kinds import Beginning, Format, Placed, Setting
from .secret_programs import NAMED, TOKENS
from .secret_values import NO_VALUE, OF_A_TOKEN, VALUE

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
# In UTF-16 of either order, each letter is followed by a zero byte but for the last one.
_PEM_IN_UTF16 = (
    b"\0".join([*map(bytes, zip(b"BEGIN "))])
    + rb"(?:\0[A-Z0-9 ]){0,60}?\0"
    + b"\0".join([*map(bytes, zip(b"PRIVATE KEY"))])
    + rb"(?:\0[A-Z ])*(?:\0-){5}"
    rb"(?:\0[\s])+(?:\0[A-Za-z0-9+/]){32}"
)
# What gpg-agent keeps, in binary form or as text. For keys on cards there is but a "shadowed" one.
_EXPRESSION = rb"private-key(?<!shadowed-private-key)\s*\((?:\d+:)?\w+\s*\((?:\d+:[a-z]|\w+\s+[#\w])"
# crypt(5): method, options, salt, hash. Lengths keep examples in program texts out.
_CRYPT = (
    rb"\$(?:(?:apr)?1\$[./0-9A-Za-z]{1,8}\$[./0-9A-Za-z]{22}"
    rb"|5\$(?:rounds=\d+\$)?[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{43}"
    rb"|6\$(?:rounds=\d+\$)?[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{86}"
    rb"|2[abxy]\$\d\d\$[./0-9A-Za-z]{53}"
    rb"|(?:y|gy|7)\$[./0-9A-Za-z]+\$[./0-9A-Za-z]{1,86}\$[./0-9A-Za-z]{43}"
    # Mosquitto's have the signs of base64.
    rb"|[67]\$(?:\d+\$)?[A-Za-z0-9+/]{8,}={0,2}\$[A-Za-z0-9+/]{86}=="
    rb"|sha1\$\d+\$[./0-9A-Za-z]{1,64}\$[./0-9A-Za-z]{28}"
    rb"|argon2(?:id|i|d)\$(?:v=\d+\$)?m=\d+,t=\d+,p=\d+\$[+/0-9A-Za-z]{11,}\$[+/0-9A-Za-z]{43,})(?![./0-9A-Za-z])"
)

# A setting on a line of its own, which is no comment.
_LINE = rb"\n[ \t]*"
# nm-settings-keyfile(5), iwd.network(5), systemd.netdev(5): here a value is all the rest of its line, whatever it is.
_OTHER_LINES = rb"[ \t]*\r?\n(?:(?!\[).*\n){0,100}?[ \t]*"
_KEYFILE = (
    rb"\n\[(?:wifi-security|802-11-wireless-security|802-1x|gsm|cdma|pppoe|adsl|macsec|Security"
    rb"|MACsec(?:Transmit|Receive)Association)\]" + _OTHER_LINES
    + rb"(?:psk|wep-key\d|password(?:-raw)?|leap-password|(?:phase2-)?private-key-password|pin|mka-cak"
    rb"|(?:phase2-)?(?:ca|client)-cert-password|Passphrase|PreSharedKey|Key)[ \t]*=[ \t]*" + VALUE,
    rb"\n\[vpn-secrets\]" + _OTHER_LINES + rb"[^\s#;\[=][^#;=\n]*=[ \t]*" + VALUE,
)  # fmt: skip
# wpa_supplicant.conf(5): text in quotes, or hexadecimal digits, in a block.
_BLOCK = (
    rb"network=\{(?:[^}#\"]|\"[^\"\n]*\"|#.*\n){0,4000}?(?<=[\s{])"
    rb"(?:psk|sae_password|password|private_key2?_passwd|wep_key\d|pin|mka_cak)="
    rb"(?:\"" + VALUE + rb"[^\"\n]*\"|hash:[0-9a-fA-F]{32}|[0-9a-fA-F]{10,64}(?![^\s}]))"
)
# netplan(5)
_ACCESS_POINT = rb"access-points:[ \t]*\r?\n(?:.*\n){1,20}?[ \t]+password:[ \t]*[\"']?" + VALUE
# Settings of networks in any file; what programs call is no value.
_PIN = (
    _LINE + rb"(?:pin|wep[-_]?key\d)[ \t]*=[ \t]*\"?(?!self\.|[\w.]+[(\[].*[)\]])" + VALUE
    + rb"(?<![\"#$])[^\s#]{3,}[ \t]*\r?$"
)  # fmt: skip
# netrc(5): an entry, its words in any order. "and" behind one is a sentence about passwords.
_LOGIN = rb"\s+(?:login|account|port)\s+(?!and\b|or\b|anonymous\b)[!-~]+"
_WORD = rb"\s+password\s+" + VALUE + rb"[!-~\x80-\xff]*"
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
_SAS = rb"sig=(?:[A-Za-z0-9+/]|%2[BbFf]){40,44}(?:=|%3[Dd])"
_KEY_OF_32_BYTES = rb"[ \t]*=[ \t]*(?:[A-Za-z0-9+/]{43}=|[0-9a-fA-F]{64}\b)"
# In YAML of netplan the name of the program is somewhere else in the file.
_NETPLAN_KEY = _LINE + rb"(?:key|private|shared):[ \t]*[\"']?[A-Za-z0-9+/]{43}="
# RFC 7517, in a file that says "kty": d is the private part of a key, k all of a symmetric one.
_JWK = (
    rb"\"d\"\s*:\s*\"[\w-]{20}",
    rb"\"k\"\s*:\s*\"[\w-]{20}",
)

# A setting on a line of its own: in a shell, a unit of systemd, an image, INI or YAML.
_NAME = rb"\n[ \t]*(?:- )?(?:(?:export|declare -x|setenv|set|ENV)[ \t]+|Environment=(?:\"[^\"\n]*\"[ \t]+)*)?[\"']?"
_END = rb"(?:[ \t]+[#;].*|[ \t]*)\r?$"
_QUOTED = rb"\"" + VALUE + rb"[^\"\n]{3,62}\"|'" + VALUE + rb"[^'\n]{3,62}'"
_GIVEN = NO_VALUE + rb"(?:" + _QUOTED + rb"|" + VALUE + rb"(?<![\"'#])\S{3,200})"
_IN_A_LINE = rb"\d?(?:[ \t]*=[ \t]*|[\"']?[ \t]*:[ \t]+)" + _GIVEN + _END
# Without a sign between the two a sentence looks the same: there a value has a digit, or is in quotes.
_BEHIND_A_BLANK = rb"[ \t]+" + NO_VALUE + rb"(?:" + _QUOTED + rb"|(?=\S{0,200}\d)" + VALUE + rb"\S{5,200})[ \t]*\r?$"
_JSON_GIVEN = _IS.replace(rb"[=:]", rb":").replace(rb"[\"']?", rb"\"")
_JSON = rb"(?P<json>" + _JSON_GIVEN + NO_VALUE + rb"(?=[^\"\s]{0,200}\d)" + VALUE + rb"[^\"\s\\]{3,200}\\*\")"
# A name may end in "pass" alone, but not in a word such as "bypass"; requirepass is one of Redis.
_PASS = rb"(?:(?i:w(?:or)?d|phrase)|(?<![A-Za-z][pP]ass)|(?<=[a-z]Pass)|(?<![A-Za-z]PASS)(?<=PASS)|(?<=requirepass))"
_PASSWORD = _PASS + rb"(?:_in)?(?:" + _JSON + rb"|" + _IN_A_LINE + rb"|" + _BEHIND_A_BLANK + rb")"
_RANDOM = rb"(?=(?:[A-Za-z._~+/=-]{0,40}\d){2})(?:" + OF_A_TOKEN + rb"{200}|" + OF_A_TOKEN + rb"{16,199}"
_TOKEN = (
    rb"(?:(?P<json>" + _JSON_GIVEN + _RANDOM + rb"\\*\"))"
    rb"|(?:[ \t]*=[ \t]*|[\"']?[ \t]*:[ \t]+)[\"']?" + _RANDOM + rb"[\"']?[ \t]*\r?$))"
)  # fmt: skip
_AMONG_WORDS = rb"(?:\n|\A)(?:[^#\n]*[\s;&|(`\"'])?[A-Z0-9_]*"
_PSK = rb"(?:[ \t]*=[ \t]*" + _GIVEN + _END + rb"|[ \t]+(?!\d+\s)" + _GIVEN + rb"[ \t]*\r?$)"
PASSWORD = "a password or token in a setting"
# Names that end in secret: a name of one, as of Kubernetes, has no digit.
_SECRET = (
    rb"(?:[_-]?(?i:key)(?:_base)?)?(?:" + _JSON
    + rb"|(?:[ \t]*=[ \t]*|[ \t]*:[ \t]+|[ \t]+)(?=[^\n]{0,200}\d)" + NO_VALUE
    + rb"(?:" + _QUOTED + rb"|" + VALUE + rb"(?<![\"'#])[^\s;.()]{7,200})(?:;|" + _END + rb"))"
)  # fmt: skip
# Names that no sentence has: of LDAP, SSSD, duply.
_ALONE = rb"(?:[ \t]*[:=][ \t]*|[ \t]+(?:--plaintext[ \t]+)?)(?!--|\{|type\b)" + _GIVEN + rb"[ \t]*\r?$"
# A word of a list of options, as of mount.cifs(8) in fstab or a map of automount, beside a user.
_OPTION = rb"(?:[^,\s]{1,200},){0,20}?"
_NEXT = rb"(?:,[ \t]*|[ \t]*(?=\\))(?:\\\r?\n[ \t]*)?"
_WITH_USER = (
    rb"ser(?:name)?=[^,\s]{1,200}," + _OPTION + rb"pass(?:word)?2?=(?!,)" + VALUE + rb"[^,\s]{3}",
    rb"pass(?:word)?2?=(?!,)" + VALUE + rb"[^,\s]{3,200}," + _OPTION + rb"user(?:name)?=",
    rb"ser(?:name)?=[^,\s%=\"']{1,60}%" + VALUE + rb"[^,\s%]{3,200}(?:,|\s)",
    # ddclient.conf(5)
    rb"ogin=[^,\s]{1,200}"
    + _NEXT
    + rb"(?:[\w-]{1,40}=[^,\s]{1,200}"
    + _NEXT
    + rb"){0,10}?pass(?:word)?=[\"']?"
    + VALUE
    + rb"[^,\s]{3}",
)
# A file of a user and his password, whose value is all the rest of the line.
_OF_A_USER = (
    rb"\n[ \t]*user(?:name)?[ \t]*=[^\n]*\n(?:[^\n]*\n){0,2}?[ \t]*pass(?:word)?[ \t]*=[ \t]*" + NO_VALUE + VALUE
    + rb"(?<![\"'])",
)  # fmt: skip
_IN_A_URL = (
    rb"://[^\s/:@\"'<>(){}$%&?#,]{1,100}:(?!(?i:pass(?:word|wd|phrase)?|pwd?|secret|token|x+|\*+|\.+)@)" + VALUE
    + rb"[^\s/:@\"'<>(){}$]{2,100}@[\w\[]"
)  # fmt: skip
_WEP = rb"[\"']?(?:s:[^\s\"']{5,13}|(?:h:)?[0-9A-Fa-f-]{10,38})[\"']?(?:[ \t]+\[\d\])?[ \t]*\r?$"
_WEP_KEYS = (
    rb"\nKEY(?:_\w+|[1-4])?=" + _WEP,
    rb"WIRELESS_KEY(?:_[0-3])?=" + _WEP,
    rb"wireless-key[0-3]?[ \t]+" + _WEP,
)
_OTHER_KEYS = (
    rb"Private-key-format: v\d",
    rb"untrusted comment: [^\n]{0,200}secret key\r?\nR[A-Za-z0-9+/]{40}",
    rb"-----BEGIN TSS KEY BLOB-----\s+[A-Za-z0-9+/]{32}",
    rb"== ed25519v1-secret: ",
    rb"BORG_KEY [0-9a-f]{10,64}\r?\n[A-Za-z0-9+/]{20}",
)
_IPSEC_KINDS = (rb"PSK", rb"EAP", rb"XAUTH", rb"NTLM", *(kind + rb"[ \t]+[^\s\"]+" for kind in (
    rb"RSA", rb"ECDSA", rb"PKCS8", rb"P(?:KCS)?12", rb"PIN",
)))  # fmt: skip
_IPSEC = rb"[ \t]+(?:\"[^\"\n]{4,}\"|0[xs]\S{8,})"
# Of BitLocker, and of systemd-cryptenroll(1).
_RECOVERY = (
    rb"-(?<=\d{6}-)\d{6}(?:-\d{6}){6}(?![\d-])",
    rb"-(?<=[cbdefghijklnrtuv]{8}-)[cbdefghijklnrtuv]{8}(?:-[cbdefghijklnrtuv]{8}){6}(?![\w-])",
)

FORMATS = (
    Format(PRIVATE_KEY, _PEM, _PEM_IN_BASE64, _PEM_IN_UTF16, _EXPRESSION, anywhere=True),
    Format(PRIVATE_KEY, *_JWK, among=b'"kty"'),
    Format(HASH, _CRYPT, anywhere=True),
    Format(HASH, rb"\{(?:SSHA\d*|SMD5)\}[A-Za-z0-9+/]{26,}={0,2}"),
    Format("a password hash of GRUB", rb"grub\.pbkdf2\.sha\d+\.\d+\.[0-9A-Fa-f]{32,}\.[0-9A-Fa-f]{32,}"),
    Format("a private key of PuTTY", rb"PuTTY-User-Key-File-\d: (?:.*\n){1,200}?[ \t]*Private-Lines: [1-9]"),
    Format("a private key of age", rb"AGE-SECRET-KEY-(?:PQ-)?1[02-9AC-HJ-NP-Z]{50}"),
    Format(
        "a key of WireGuard",
        rb"rivate[-_]?[Kk]ey" + _KEY_OF_32_BYTES,
        rb"reshared[-_]?[Kk]ey" + _KEY_OF_32_BYTES,
        # One that was mistyped.
        rb"\n\[Interface\]" + _OTHER_LINES + rb"PrivateKey[ \t]*=[ \t]*[A-Za-z0-9+/]{40}",
    ),
    Format("a key of WireGuard", _NETPLAN_KEY, among=b"wireguard"),
    Format(
        "a key of OpenVPN",
        rb"-----BEGIN OpenVPN (?:Static key V1-----\s+[0-9a-f]{32}|tls-crypt-v2 \w+ key-----\s+[A-Za-z0-9+/]{32})",
    ),
    Format("a key or password of a network", *_KEYFILE, _BLOCK, _ACCESS_POINT, _PIN, *_WEP_KEYS),
    Format("a password of netrc", *_NETRC, among=b"password"),
    Format("a key of a cloud", *_CLOUD, _SAS),
    Format("a login of a registry", rb"\"auth\\*\"\s*:\s*\\*\"(?=[A-Za-z0-9+/]*[A-Z0-9])[A-Za-z0-9+/]{8,}={0,2}\\*\""),
    Format("a key of BIND", rb"secret[ \t]+\"?[A-Za-z0-9+/]{16,}={0,2}\"?;"),
    Format(PRIVATE_KEY, *_OTHER_KEYS),
    Format("a key of Ceph", rb"AQ(?<=[= \t]AQ)[A-Za-z0-9+/]{36}=="),
    Format("a key that recovers a disk", *_RECOVERY),
    Format("a password in a URL", _IN_A_URL),
    Format(PASSWORD, *_WITH_USER, *_OF_A_USER, *NAMED, *TOKENS),
    Format("a key of NVMe", rb"DHHC-1:\d\d:[A-Za-z0-9+/]{40,}={0,2}:"),
)
# Looked for in files without any of the others, which have more to tell.
SETTINGS = (
    Setting(PASSWORD, rb"ass(?<=[pP]ass)" + _PASSWORD, begin=_NAME + rb"[\w.-]*[pP]\Z"),
    Setting(PASSWORD, rb"ASS(?<=PASS)" + _PASSWORD, begin=_NAME + rb"[\w.-]*P\Z"),
    Setting(PASSWORD, rb"oken" + _TOKEN, begin=_NAME + rb"[\w.-]*[tT]\Z"),
    Setting(PASSWORD, rb"OKEN" + _TOKEN, begin=_NAME + rb"[\w.-]*T\Z"),
    Setting(PASSWORD, rb"pi[-_]?[kK]ey" + _TOKEN, begin=_NAME + rb"[\w.-]*[aA]\Z"),
    Setting(PASSWORD, rb"PI_?KEY" + _TOKEN, begin=_NAME + rb"[\w.-]*A\Z"),
    # For one command of a shell, or behind an option of one.
    Setting(PASSWORD, rb"ASS(?<=PASS)(?:W(?:OR)?D|PHRASE)?=" + _GIVEN + rb"(?:\s|;)", begin=_AMONG_WORDS + rb"P\Z"),
    Setting(PASSWORD, rb"psk" + _PSK, begin=_NAME + rb"[\w.-]*\Z"),
    Setting(PASSWORD, rb"PSK" + _PSK, begin=_NAME + rb"[\w.-]*\Z"),
    Setting(PASSWORD, rb"ecret" + _SECRET, begin=_NAME + rb"(?:IPSec )?[\w.-]*[sS]\Z"),
    Setting(PASSWORD, rb"ECRET" + _SECRET, begin=_NAME + rb"[\w.-]*S\Z"),
    Setting(PASSWORD, rb"indpw" + _ALONE, rb"uthtok" + _ALONE, begin=_NAME + rb"[\w.-]*[abAB]\Z"),
    Setting(PASSWORD, rb"oot[pP][wW]" + _ALONE, rb"PG_PW" + _ALONE, begin=_NAME + rb"[\w.-]*[rRG]\Z"),
    # In XML, and in braces of YAML.
    Setting(PASSWORD, rb"assw(?:or)?d=\"" + NO_VALUE + VALUE + rb"[^\"\n]{3,200}\"", begin=rb"<[^<>\n]*[pP]\Z"),
    Setting(PASSWORD, rb"assw(?:or)?d: " + NO_VALUE + VALUE + rb"[^\s,}]{3,200}[,}]", begin=rb"\{[^{}\n]*[pP]\Z"),
    # ipsec.secrets(5)
    Setting(PASSWORD, *(kind + _IPSEC for kind in _IPSEC_KINDS), begin=rb"\n[^#\n]*:[ \t]*\Z"),
)

# Lines of words that are no comment. A file of a user and a password has two such lines and nothing more.
_USER_AND_WORD = rb"\n[^\s:#;<\[]{1,200}:" + VALUE + rb"\S{2}"
_WORDS_OF = rb"\n[ \t]*(?:\"[^\"\n]{1,200}\"|[^\s#;<\[=\"][^\s=]{0,200})"
_TWO_LINES = rb"\n(?![#;<\[/])[^\s=]{1,200}[ \t]*\r?\n(?![#;<\[/])[^\s=][^\s]{2,200}[ \t]*\s*\Z"
PLACED = (
    # pppd(8): a client, a server, a secret that is no file (@) and not what matches or is empty.
    Placed(
        PASSWORD,
        r"/(?:pap|chap)-secrets(?:\.[\w-]+)?",
        _WORDS_OF + rb"[ \t]+\S{1,200}[ \t]+(?:\"(?!\")" + VALUE + rb"[^\"\n]{2}|(?![\"*@])" + VALUE + rb"\S{2})",
    ),
    Placed(PASSWORD, r"/psk\.txt", _WORDS_OF + rb"[ \t]+" + VALUE + rb"\S{2}"),
    Placed(PASSWORD, r"/\.?davfs2/secrets", _WORDS_OF * 1 + rb"[ \t]+\S{1,200}[ \t]+\"?" + VALUE + rb"\S{2}"),
    Placed(
        PASSWORD,
        r"/[\w.-]*(?:sasl|smtp|relay)[\w-]*pass\w*",
        rb"\n[^\s#]{1,200}[ \t]+[^\s:]{1,200}:" + VALUE + rb"\S{2}",
    ),
    # Tables that were made of those are no text.
    Placed(PASSWORD, r"/[\w.-]*(?:sasl|smtp|relay)[\w-]*pass\w*\.(?:db|lmdb|cdb)", rb"[^\0]"),
    Placed(PASSWORD, r"/[\w.-]*rsync[\w.-]*secrets?", _USER_AND_WORD),
    Placed(PASSWORD, r"/[\w.-]*rsync[\w.-]*(?:pass\w*|pwd?)", rb"\n[^\s#]\S{2}"),
    Placed(PASSWORD, r"/[\w.-]*mosquitto[\w.-]*/[\w.-]*(?:pass\w*|pwfile|pwd)[\w.-]*", _USER_AND_WORD),
    Placed(PASSWORD, r"/[\w.-]*mosquitto[\w.-]*(?:pass\w*|pwfile|pwd)[\w.-]*", _USER_AND_WORD),
    Placed(PASSWORD, r"/\.?fetchmailrc", rb"pass(?:word)?[ \t]+(?:is[ \t]+)?[\"']?" + VALUE + rb"[^\s\"']{2}"),
    Placed(PASSWORD, r"/[._]?curlrc", rb"u(?:ser)?[ \t]*[=: \t][ \t]*\"?[^\s:\"]{1,200}:" + VALUE + rb"[^\s\"]{2}"),
    Placed(PASSWORD, r"/openvpn/(?:[^/]+/)?[^/]+", _TWO_LINES),
    Placed(
        PASSWORD,
        r"/[\w.-]*(?:auth|login|cred(?:ential)?s?|user-?pass|userpw)[\w-]*(?:\.(?:txt|conf|cfg|auth|up|pass))?",
        _TWO_LINES,
    ),
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
_KEYTAB = rb"\x05[\x01\x02](?:\x00\x00[\x00-\x0f].(?:\x00[\x01-\x08]|\Z)|\xff\xff[\xf0-\xff].)"

BEGINNINGS = (
    Beginning(PRIVATE_KEY, *_DER, _JAVA, _PGP),
    Beginning("a keytab of Kerberos", _KEYTAB, anywhere=False),
)
