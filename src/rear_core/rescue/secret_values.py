# SPDX-License-Identifier: GPL-3.0-or-later
"""What the value of a setting looks like, and what only stands for one."""

from __future__ import annotations

# What stands for a value in scripts, templates and documentation. All that may be long ends somewhere, here and below:
# a file of one line with many names would take for ever.
VALUE = (
    rb"(?!\$\([^)\n]{0,200}\)|\$\{[^}\n]{0,200}\}|%\(|\{\{|\{[\w.]*\}"
    rb"|(?:\$[A-Z_]+|%s|<[^<>\n]{0,200}>|@\w+@)(?:[\"'\s\\]|$))"
    rb"[!-~\x80-\xff]"
)
# What is no value: words that stand for one or for none, the sources of nsswitch.conf(5) and types of programs; a name
# that says the same; asterisks; calls, members, paths, small numbers, ports; what runs, goes on below or is empty.
WORDS = (
    rb"prompt|ask|none|no|yes|true|false|nil|null|undefined|required|optional|disabled|enabled|default|changeme|example"
    rb"|files|compat|db|sss|nis|ldap|systemd|winbind|str|string|bytes|bool|int"
)
NO_VALUE = (
    rb"(?![\"']?(?:(?i:" + WORDS + rb")\b(?!\S{0,200}[\w!@$%&*])"
    rb"|(?:[\w.>-]*[_.>-])?(?i:pass(?:word|wd|phrase)?|psk|token|secret)[\"';,)]*\s"
    rb"|[*xX.]{3,}[\"']?\s|self\.|[\w.]+[(\[].{0,200}[)\]]|[A-Za-z_]+(?:\.[A-Za-z_]+)+[;,]?\s"
    rb"|/(?:[\w.-]+/)*[\w.-]*[\"']?\s|\d{1,3}\s|\d+/(?:tcp|udp)\b|[`&|>]|''|\"\"))"
)  # fmt: skip
NO_WORD = rb"(?!(?i:pass(?:word|wd|phrase)?|pwd?|secret|your\w*|x+|\*+|\.+)(?![\w!@$%&*]))"
OF_A_TOKEN = rb"[A-Za-z0-9._~+/=-]"
