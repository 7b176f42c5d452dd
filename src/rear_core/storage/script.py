# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan as a shell script, in which no label or name becomes a line: anybody may have written what is on disks."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..report import visible
from .command import Command

if TYPE_CHECKING:
    from .plan import Plan


def script(made: Plan, disks: Sequence[str] = ()) -> str:
    """The plan as a shell script that can be edited and run instead; it ends at the first failure.

    After it, `rear recover` goes on with what it made. `disks` says what becomes of each of them.
    """
    lines = ["#!/bin/bash", "# Recreates the storage of this machine. THIS DESTROYS data on these disks:"]
    lines += [_comment(f"  {made.site.item(id)}") for id in sorted(made.mapping)]
    lines += [_comment(line) for line in disks]
    lines += [_comment(f"Note: {note}") for note in made.notes]
    lines += ["set -e"]
    if made.volumes:
        lines += [
            "passphrase() { printf 'Passphrase of %s: ' \"$1\" >&2; IFS= read -rs word </dev/tty; echo >&2;"
            ' printf %s "$word"; }'
        ]
    lines += _chapter("Take down what is there", made.teardown)
    lines += _chapter("Build", made.build)
    lines += ["", "# `rear recover` continues from here.", f"rear layout made {made.id}"]
    lines += _chapter("Mount", made.mount)
    if made.restored:
        lines += ["", "## After the files are restored (not done by this script)"]
        lines += [f"# {line}" for command in made.restored for line in _lines(command)]
    return "\n".join(lines) + "\n"


def _chapter(title: str, commands: Sequence[Command]) -> Iterator[str]:
    if commands:
        yield from ("", f"## {title}")
    for command in commands:
        yield from ("", *_lines(command))


def joined(argv: Sequence[str]) -> str:
    r"""The words of a command on one line, as bash reads them; what cannot be seen is escaped.

    >>> joined(["mke2fs", "-L", "x\nid #", "/dev/sda"])
    "mke2fs -L $'x\\nid #' /dev/sda"
    """
    return " ".join(map(_quoted, argv))


def _quoted(word: str) -> str:
    if visible(word) == word:
        return shlex.quote(word)
    return "$'" + "".join(map(_escaped, word)) + "'"


def _escaped(letter: str) -> str:
    if letter in "\\'":
        return f"\\{letter}"
    if letter in "\n\t":
        return "\\n" if letter == "\n" else "\\t"
    if visible(letter) == letter:
        return letter
    # Bytes are the same in any locale, and what is no UTF-8 has nothing else.
    return "".join(f"\\x{byte:02x}" for byte in letter.encode(errors="surrogateescape"))


def _comment(text: str) -> str:
    return f"# {visible(text)}"


def _lines(command: Command) -> Iterator[str]:
    """A command with its reason; each is one line of the script, but for what a here-document holds."""
    yield _comment(command.reason)
    if command.destroys:
        yield _comment(f"DESTROYS {command.destroys}")
    for device in command.devices:
        yield f"test -b {_quoted(device)}"
    if command.passphrase:
        yield f"passphrase {_quoted(command.passphrase)} | {joined(command.argv)}"
    elif command.input:
        yield from _fed(command)
    else:
        yield joined(command.argv)


def _fed(command: Command) -> Iterator[str]:
    """A command with its input: to be read and edited as a here-document, unless that could not hold it as it is."""
    *lines, rest = command.input.split("\n")
    if rest or any(visible(line) != line for line in lines):
        yield f"printf %s {_quoted(command.input)} | {joined(command.argv)}"
        return
    end = next(word for word in _ends() if word not in lines)
    yield f"{joined(command.argv)} <<'{end}'"
    yield from lines
    yield end


def _ends() -> Iterator[str]:
    return (f"END{number or ''}" for number in itertools.count())
