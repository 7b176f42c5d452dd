# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of bconsole and of the file daemon: what it says, and without the passwords in it.

The language is that of bacula's lexer: resources with directives, whose names know neither capitals nor blanks::

    Director {                # the one that may ask this client
      Name = backup-dir
      Password = "not for the media"
    }
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rear_core import ConfigurationError, own_files

STRING = r'"(?:\\.|[^"\\])*"'
TOKEN = re.compile(rf"(?P<comment>\#[^\n]*)|(?P<string>{STRING})|(?P<sign>[{{}}=;\n])|(?P<word>[^\s{{}}=;\#\"]+)", re.S)
PASSWORD = re.compile(rf"(?i)\b(pass[ \t]*word[ \t]*=[ \t]*)({STRING}|[^\s;}}#\"]+)", re.S)
INCLUDE = re.compile(r"^[ \t]*@([^\n]*)$", re.M)
# What stands in the place of the first password, the second, and so on.
ABSENT = re.compile(r"rear-asks-for-password-([0-9]+)")
DEEPEST = 8
# Directives that name a file with a key, and others that name files which are no secret.
KEYS = ("tlskey", "pkikeypair")
OTHERS = ("tlscertificate", "tlscacertificatefile", "tlscacertificatedir", "tlsdhfile", "pkisigner", "pkimasterkey")


@dataclass(frozen=True)
class Resource:
    """A resource: its kind, and its directives, in lower case and without blanks."""

    kind: str
    values: Mapping[str, str]

    @property
    def name(self) -> str:
        """By which others know it."""
        return self.values.get("name", "")


def read(path: Path, used: list[Path] | None = None, depth: int = 0) -> str:
    """The text of a file with those that it includes; of a folder, as Bareos has it, all files below it.

    The files are added to those `used`. Raises `ConfigurationError` where it cannot be read.
    """
    if depth > DEEPEST:
        raise ConfigurationError(f"{path} includes itself", "repair the lines that begin with @")
    try:
        if path.is_dir():
            return "\n".join(read(file, used, depth + 1) for file in sorted(path.rglob("*.conf")))
        text = own_files.read(path).decode(errors="surrogateescape")
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}", "see BACULA_CONSOLE and BACULA_FD") from error

    if used is not None:
        used.append(path)

    def included(found: re.Match[str]) -> str:
        name = found[1].strip().strip('"')
        if name.startswith("|"):
            raise ConfigurationError(f"{path} includes the output of a program", "write that into a file and name it")
        return read(path.parent / name, used, depth + 1)

    return INCLUDE.sub(included, text)


def resources(text: str) -> list[Resource]:
    """What a text defines; resources inside others are left out."""
    found: list[Resource] = []
    kind, key, depth = "", "", 0
    words: list[str] = []
    values: dict[str, str] = {}
    for token in TOKEN.finditer(text):
        sign = token["sign"]
        if token["comment"]:
            continue
        if not sign:
            words.append(_plain(token[0]) if token["string"] else token[0])
            continue
        if sign == "=" and depth == 1 and not key:
            key, words = "".join(words).lower(), []
            continue
        if sign in "{};\n" and key and depth == 1:
            values.setdefault(key, " ".join(words))
            key = ""
        if sign == "{":
            depth += 1
            if depth == 1:
                kind, values = "".join(words).lower(), {}
        elif sign == "}":
            depth -= 1
            if depth == 0:
                found.append(Resource(kind, values))
        # The brace may be on the next line.
        if sign != "\n" or depth:
            words = []
    return found


def _plain(string: str) -> str:
    return re.sub(r"\\(.)", r"\1", string[1:-1], flags=re.S)


def quoted(value: str) -> str:
    """A value as a string of that language."""
    return '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'


def without_passwords(text: str) -> str:
    """The text with a mark in the place of each password."""
    count = 0

    def mark(found: re.Match[str]) -> str:
        nonlocal count
        count += 1
        return f'{found[1]}"rear-asks-for-password-{count}"'

    return PASSWORD.sub(mark, text)


def with_passwords(text: str, word: Callable[[Resource], str]) -> str:
    """The text with the `word` of each resource in the place of its mark."""
    words = {
        one.values["password"]: word(one) for one in resources(text) if ABSENT.match(one.values.get("password", ""))
    }
    return re.sub(f'"{ABSENT.pattern}"', lambda found: quoted(words.get(found[0][1:-1], "")), text)


def passwords(text: str) -> list[str]:
    """All passwords that a text has."""
    return [_plain(found) if found.startswith('"') else found for _, found in PASSWORD.findall(text)]


def files(text: str, directives: Sequence[str]) -> list[str]:
    """The files that these directives name."""
    return sorted({one.values[name] for one in resources(text) for name in directives if one.values.get(name)})


def change(text: str, kind: str, **directives: str) -> str:
    """The text with directives of a resource set to other values, by their names without blanks."""
    start = re.search(rf"(?im)^[ \t]*{kind}[ \t]*\n?[ \t]*\{{", text)
    if not start:
        return text
    for name in directives:
        spaced = r"[ \t]*".join(name)
        text = re.sub(rf"(?im)(?<=[\n;{{])[ \t]*{spaced}[ \t]*=[ \t]*(?:{STRING}|[^\n;}}#]*)", " ", text)
    added = "".join(f"\n  {name} = {quoted(value)}" for name, value in directives.items())
    end = re.search(rf"(?im)^[ \t]*{kind}[ \t]*\n?[ \t]*\{{", text)
    assert end
    return f"{text[: end.end()]}{added}\n{text[end.end() :]}"
