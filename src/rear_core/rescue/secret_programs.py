# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets among the arguments of programs, in the files of services, and tokens that are known by their beginning.

As for `Format`, each pattern begins with plain letters, and all that may be long ends somewhere.
"""

from __future__ import annotations

from .secret_values import NO_VALUE, NO_WORD, OF_A_TOKEN, VALUE

_GIVEN_TO = rb"(?:[\"'][^\"'`$\n]{4}|" + NO_WORD + NO_VALUE + VALUE + rb"[^\s\"'`$<>)]{3})"
_ARGUMENTS = tuple(
    program + rb"[ \t](?:[^\n|;&]{0,200}[ \t])?" + flag + _GIVEN_TO
    for program, flag in (
        (rb"mysql[\w-]{0,20}", rb"-p"),
        (rb"mariadb[\w-]{0,20}", rb"-p"),
        (rb"mongo\w{0,10}", rb"-p[ \t]+"),
        (rb"sshpass", rb"-p[ \t]*"),
        (rb"ldap[a-z]{3,10}", rb"-w[ \t]*"),
        (rb"redis-cli", rb"-a[ \t]+"),
        (rb"ipmitool", rb"-P[ \t]*"),
        (rb"mosquitto_[a-z]{2,3}", rb"-P[ \t]+"),
        (rb"sqlcmd", rb"-P[ \t]*"),
        (rb"zip", rb"-P[ \t]*"),
        (rb"7z[ar]?", rb"-p"),
        (rb"p(?:link|scp|sftp)", rb"-pw[ \t]+"),
        (rb"docker login", rb"-p[ \t]+"),
        (rb"podman login", rb"-p[ \t]+"),
        (rb"smbclient", rb"-U[ \t]*[^\s%]{1,100}%"),
        (rb"net (?:ads|rpc)", rb"-U[ \t]*[^\s%]{1,100}%"),
        (rb"snmp(?:walk|get|set|bulkwalk|trap)", rb"-[AX][ \t]+"),
        (rb"openssl", rb"-pass(?:in|out)?[ \t]+[\"']?pass:"),
    )
)
# What a shell writes to a program that reads a password.
_TYPED = NO_WORD + VALUE + rb"[^|$\n]{2,100}\|[^\n|]{0,60}(?:cryptsetup|passwd|sudo -S|kinit|gpg)\b"
_PIPED = (
    rb"echo[ \t]+(?:-n[ \t]+)?[\"']?[\w.-]{1,32}:" + NO_WORD + VALUE + rb"[^\s|$]{2,100}[ \t]*\|[^\n]{0,60}chpasswd",
    rb"echo[ \t]+(?:-n[ \t]+)?[\"']?" + _TYPED,
    rb"printf[ \t]+(?:[\"']?%s(?:\\n)?[\"']?[ \t]+)?[\"']?" + _TYPED,
)
# Of all programs, by a long name: with a blank between a sentence looks the same without a digit.
_LONG = rb"(?:[\w-]{1,40}-)?pass(?:word|wd|phrase)?"
_LONG_ARGUMENTS = (
    rb"--" + _LONG + rb"[= ][\"']?(?!\$)(?=\S{0,200}\d)" + VALUE + rb"[^\s\"']{3,200}",
    rb"--" + _LONG + rb"=(?!\$|[A-Z_-]+[\s\"'\])])" + _GIVEN_TO,
    rb"--(?:[\w-]{1,40}-)?(?:token|secret|api-?key|access-?key)[= ][\"']?"
    rb"(?=[A-Za-z0-9._~+/=-]{0,40}\d)" + OF_A_TOKEN + rb"{12}",
)
# What comes with words of its own. Each ends somewhere.
NAMED = (
    # pgpass; shadow(5) with DES; smbpasswd(5)
    rb"\n[^\s:#]{1,200}:(?:\d{1,5}|\*):[^\s:]{1,64}:[^\s:]{1,64}:" + VALUE + rb"[^\s:]{3,200}[ \t]*\r?$",
    rb"\n[\w.-]{1,32}:[./0-9A-Za-z]{13}:\d{0,6}:",
    rb":[0-9A-FX]{32}:[0-9A-F]{32}:\[",
    # snmpd.conf(5)
    rb"\n[ \t]*createUser[ \t]+(?:-e[ \t]+\S+[ \t]+)?\S+[ \t]+(?:MD5|SHA[-\d]*)[ \t]+(?:\"[^\"\n]{8}|[^\s\"$]{8})",
    rb"\n[ \t]*r[ow]community6?[ \t]+(?!public\b)" + VALUE + rb"\S{3}",
    rb"\n[ \t]*com2sec6?[ \t]+(?:-Cn[ \t]+\S+[ \t]+)?\S+[ \t]+\S+[ \t]+(?!public\b)" + VALUE + rb"\S{3}",
    rb"usmUser[ \t]+\d[^\n]*[ \t]0x[0-9a-fA-F]{32}",
    # ntp.keys(5), chrony.keys(5); pap-secrets and chap-secrets of pppd(8)
    rb"\n[ \t]*\d{1,10}[ \t]+(?:M|MD5|SHA-?\d+|AES\d+)[ \t]+" + VALUE + rb"\S{3,200}[ \t]*(?:#.*)?\r?$",
    rb"\n(?:\"[ -~]{1,100}\"|(?![#\"*])[!-~]{1,100})[ \t]+(?:\*|\"\*\")[ \t]+(?:\"[^\"\n]{4,}\"|(?=\S{0,200}\d)"
    + VALUE
    + rb"\S{3,200})(?:[ \t]+(?:\*|\"\*\"|[\d./]+))?[ \t]*\r?$",
    # systemd.exec(5), cloud-init, an installer of Debian
    rb"SetCredential=[^\s:]{1,200}:" + VALUE,
    rb"chpasswd:[ \t]*\r?\n(?:[ \t][^\n]*\n){1,20}?[ \t]+(?:- )?[\w.-]{1,32}:(?!R\s|RANDOM\s)" + VALUE + rb"\S{3}",
    rb"\n[ \t]*d-i[ \t]+\S{0,100}pass(?:word|phrase)\S{0,20}[ \t]+(?:password|string)[ \t]+" + VALUE + rb"\S{3}",
    # XML, HTTP
    *_ARGUMENTS,
    *_PIPED,
    *_LONG_ARGUMENTS,
    rb"curl[ \t](?:[^\n|;&]{0,300}[ \t])?(?:-[uU][ \t]*|--(?:proxy-)?user[ \t=])[\"']?"
    rb"[^\s:$<>{\"'-][^\s:$<>{\"']{0,100}:" + NO_WORD + VALUE + rb"[^\s\"'`$<>{]{3}",
    # fetchmail(1), postfix's tables of SASL, OpenVPN's own files
    rb"\n[ \t]*(?:poll|skip|user(?:name)?)[ \t][^\n]{1,300}[ \t,]pass(?:word)?[ \t]+(?:is[ \t]+)?(?:\"|')"
    + VALUE
    + rb"[^\n\"']{3}",
    rb"\n\[[\w-]{1,100}\.[\w.-]{1,200}\](?::\w{1,20})?[ \t]+[^\s:]{1,200}:(?!//)" + VALUE + rb"\S{3}",
    rb"<auth-user-pass>[ \t]*\r?\n[^\s<>]{1,200}[ \t]*\r?\n" + VALUE + rb"[^\n<>]{2}",
    rb"assw(?:or)?d>" + VALUE + rb"[^<>\n]{3,200}</",
    rb"assphrase>" + VALUE + rb"[^<>\n]{3,200}</",
    rb"shared-key>" + VALUE + rb"[^<>\n]{3,200}</",
    rb"name=\"pass(?:word|wd)\"\s+value=\"" + VALUE + rb"[^\"\n]{3,200}\"",
    rb"uthorization\\*[\"']?[: \t,]\s{0,4}\\*[\"']?(?:Basic|Bearer|[Tt]oken) (?=[\w+/.~-]{0,200}\d)[\w+/.~-]{12}",
    # redis.conf, keepalived.conf(5), haproxy, squid
    rb"\n[ \t]*(?:requirepass|masterauth|auth_pass)[ \t]+" + NO_VALUE + rb"\"?" + VALUE + rb"[^\s\"]{3}",
    rb"\n[ \t]*user[ \t]+\S{1,100}[ \t](?:[^\n]{0,300}[ \t])?(?:>" + VALUE + rb"\S{3}|#[0-9a-f]{64}\b)",
    rb"insecure-password[ \t]+" + VALUE + rb"\S{3}",
    rb"stats[ \t]+auth[ \t]+[^\s:#]{1,100}:" + VALUE + rb"\S{3}",
    rb"\n[ \t]*cache_peer[ \t][^\n]{1,300}[ \t]login=[^\s:$*]{1,100}:" + VALUE + rb"\S{3}",
    # SQL; PHP, Perl and Ruby
    rb"IDENTIFIED(?: WITH \w{1,40})? BY (?:PASSWORD )?'" + NO_WORD + VALUE + rb"[^'\n]{3}",
    rb"PASSWORD '" + NO_WORD + VALUE + rb"[^'\n]{3}",
    rb"PASS(?:W(?:OR)?D)?[\"'][ \t]*(?:,|=>)[ \t]*[\"']" + NO_WORD + NO_VALUE + VALUE + rb"[^\"'\n]{3}",
    rb"pass(?:w(?:or)?d)?(?:[\"'][ \t]*|[ \t]+)=>[ \t]*[\"']" + NO_WORD + NO_VALUE + VALUE + rb"[^\"'\n]{3}",
    rb"\$\w{0,40}[Pp]ass(?:w(?:or)?d)?[ \t]*=[ \t]*[\"']" + NO_WORD + NO_VALUE + VALUE + rb"[^\"'\n]{3,100}[\"'];",
)
# Of services: the beginning of a token is its own.
TOKENS = (
    rb"gh[oprsu]_[A-Za-z0-9]{36}", rb"github_pat_\w{22}", rb"gl(?:pat|rt|dt|soat|cbt)-[\w-]{20}",
    rb"xox[abeoprs]-[\w-]{20}", rb"xapp-\d-[\w-]{20}", rb"hv[sb]\.[\w-]{24}", rb"tskey-[a-z]+-\w{8}",
    rb"npm_[A-Za-z0-9]{36}", rb"_auth(?:Token)?=[^\s$]{12}", rb"pypi-AgE[\w-]{50}", rb"dckr_pat_[\w-]{20}",
    rb"do[opr]_v1_[0-9a-f]{64}", rb"hf_[A-Za-z0-9]{30}", rb"gl(?:sa|c)_[\w=]{30}", rb"k_live_[A-Za-z0-9]{20}",
    rb"SG\.[\w-]{22}\.[\w-]{43}", rb"AIza[\w-]{35}", rb"sk-(?:ant|proj)-[\w-]{20}", rb"ATATT3[\w=-]{30}",
    rb"NRAK-[A-Z0-9]{27}", rb"dapi[0-9a-f]{32}", rb"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}",
    rb"dp\.[a-z]{2}\.[A-Za-z0-9]{40}", rb"PMAK-[0-9a-f]{24}", rb"hooks\.slack\.com/services/T\w+/B\w+/\w{16}",
    rb"bot\d{8,10}:AA[\w-]{33}", rb"eyJhbGciOi[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{20}",
)  # fmt: skip
