# SPDX-License-Identifier: GPL-3.0-or-later
"""Says what a piece of shell in a configuration file is, and what to write instead."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

_WORD = re.compile(r"[^\s;&|<>()'\"`$\\]+")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CONTROL = frozenset(
    [
        "if",
        "then",
        "elif",
        "else",
        "fi",
        "for",
        "while",
        "until",
        "do",
        "done",
        "case",
        "esac",
        "select",
        "function",
        "time",
        "coproc",
        "[[",
        "[",
        "test",
        "{",
        "}",
        "!",
    ]
)


class Advice(NamedTuple):
    """What is wrong, and what to write instead."""

    what: str
    hint: str


def about_substitution(text: str, at: int) -> Advice:
    """About `$(..)`, backticks or arithmetic."""
    if text.startswith(("$((", "$["), at):
        return Advice("arithmetic: values are never computed", "write the number")
    return Advice(
        "command substitution: configuration is never executed",
        "write the value, or refer to another one by $NAME; text that looks like this needs single quotes",
    )


def about_command(text: str, at: int, before: Sequence[str]) -> Advice:
    """About what stands where an assignment should; `before` are the names that are assigned before it on its line.

    Behind a value no word is shown: it may be part of a passphrase without quotes, as may every name but the first.
    """
    previous = "" if not before else before[0] if len(before) == 1 else "NAME"
    found = _WORD.match(text, at)
    word = found[0] if found else text[at]
    rest = text[at + len(word) :]
    if word == "(" and previous:
        return Advice("a blank between = and (", f"write {previous}=( ... ) without it")
    if word in _CONTROL or text.startswith(("&&", "||", "("), at):
        return Advice(
            "control flow: configuration is never executed",
            "write assignments only, in one file per case: <OS>.conf, <OS>/<VERSION>.conf or -C FILE",
        )
    if word in ("`", "$") and text.startswith(("`", "$(", "$["), at):
        return about_substitution(text, at)
    if word in "<>" or (word.isdigit() and rest.startswith(("<", ">"))):
        return Advice("a redirection: configuration is never executed", "remove it")
    if word in ("|", "&"):
        kind = "a pipe" if word == "|" else "a command for the background"
        return Advice(f"{kind}: configuration is never executed", f"remove it, or quote the {word}")
    if word in (";", ")"):
        return Advice(f"unexpected {word!r}", "remove it")
    if word in ("source", "."):
        return Advice(
            "a configuration file cannot include others",
            "call it site.conf or local.conf in the configuration directory, or name it with -C FILE",
        )
    if re.match(r"[ \t]*\(", rest):
        return Advice(
            "a function: configuration is never executed",
            "put scripts into the directory of their phase, below the configuration directory",
        )
    if _NAME.fullmatch(word) and re.match(r"[ \t]+\+?=", rest):
        return Advice("a blank before =", f"write {'NAME' if before else word}=value without blanks around =")
    if re.match(rf"{_NAME.pattern}\[", word):
        return Advice("a list has no indices", "write NAME=( all values ) or NAME+=( another )")
    if "=" in word:
        name = "this" if before else repr(word.split("=")[0])
        return Advice(f"{name} is not a name", "a name has letters, digits and _ only")
    if previous:
        return Advice(
            f"a blank or semicolon in the value of {previous}, or a command",
            f'quote a value with either: {previous}="several words"; a list is {previous}=( several words )',
        )
    return Advice(f"not an assignment: {word!r}", "write NAME=value or NAME=( .. ); a comment begins with #")
