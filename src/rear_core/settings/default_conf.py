# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes settings in the syntax they are read in: the commented default.conf, values for later runs."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping

from ..places.url import Url
from .evaluation import Settings
from .model import Setting, Value

WIDTH = 100

_TYPES = {str: "text", int: "whole number", bool: "yes or no", list: "list of words", Url: "URL"}
_PLAIN = re.compile(r"[A-Za-z0-9_@%+:,./-]+")

_HEAD = """\
# Settings of rear with their defaults. To change one, copy its line to local.conf without the leading #.
#
#   NAME=value   NAME="value with blanks, $OTHER"   NAME=( a list "of words" )   NAME+=( another )
#
# Files are read as data and never executed. Later ones win: default.conf, <uname -s>-<uname -m>.conf,
# <uname -o>.conf, <OS>.conf, <OS>/<VERSION>.conf, site.conf, local.conf, those named with -C, and last the
# environment for the settings that say so.
"""


def render(groups: Mapping[str, Iterable[Setting]]) -> str:
    """The text of default.conf; `groups` are the declared settings by the distribution they come with."""
    parts = [_HEAD]
    for group, settings in groups.items():
        parts.append(f"\n# ---- {group} ----\n")
        parts += [_entry(setting) for setting in settings]
    return "".join(parts)


def quote(value: Value | list[str]) -> str:
    """A value as it is written after `NAME=`, always on one line."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (tuple, list)):
        return f"( {' '.join(map(quote, value))} )" if value else "()"
    text = "" if value is None else str(value)
    if _PLAIN.fullmatch(text):
        return text
    if not text.isprintable():
        return "$'" + "".join(map(_escape, text)) + "'"
    if "'" not in text and text:
        return f"'{text}'"
    return '"' + re.sub(r'([\\"$`])', r"\\\1", text) + '"'


def assigned(setting: Setting, value: Value) -> str:
    """A value of a setting as it is written after `NAME=`."""
    return quote(value[0] if setting.bare and isinstance(value, tuple) and len(value) == 1 else value)


def dump_lines(settings: Settings, secrets: bool = False) -> list[str]:
    """One assignment per setting that differs from its default; secret ones only on demand."""
    return [
        f"{name}={assigned(setting, settings[name])}"
        for name, setting in settings.declared.items()
        if settings[name] != setting.default and (secrets or not setting.secret)
    ]


def _entry(setting: Setting) -> str:
    remarks = [f"Type: {_TYPES[setting.type]}."]
    if setting.choices:
        remarks.append(f"Choices: {', '.join(setting.choices)}.")
    if setting.environment:
        remarks.append("The environment variable of this name takes precedence.")
    if setting.secret:
        remarks.append("Secret: never shown or stored.")
    if setting.aliases:
        remarks.append(f"Other names for it: {', '.join(setting.aliases)}.")
    paragraphs = [*setting.help.splitlines(), " ".join(remarks)]
    lines = [f"# {line}" for paragraph in paragraphs for line in textwrap.wrap(paragraph, WIDTH)]
    # No blank after this #, which tells a setting from a remark.
    return "\n".join(["", *lines, f"#{setting.name}={assigned(setting, setting.default)}", ""])


def _escape(char: str) -> str:
    if char in "\\'":
        return "\\" + char
    if char == "\0" or 0xD800 <= ord(char) < 0xE000:
        raise ValueError(f"a setting cannot hold the character U+{ord(char):04X}")
    if char.isprintable():
        return char
    if char in "\n\t":
        return "\\n" if char == "\n" else "\\t"
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"
