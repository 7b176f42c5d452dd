# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts a file that a shell once read into assignments and what only a shell can do; nothing of it is executed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..errors import ConfigurationError
from .reader import Assignment, parse

# What `{ NAME='secret' ; } 2>>/dev/null` is written for, to keep the value out of a shell's trace, rear does anyway.
_HIDDEN = re.compile(r"\{[ \t]+(?P<inside>.*?)[ \t]*;?[ \t]*\}[ \t]*(?:2?>>?[ \t]*/dev/null)?[ \t]*", re.DOTALL)
_OPENS = re.compile(r"(?:^|[;&|(]\s*|\b(?:then|do|else)\s+)(?:if|for|while|until|case|select)\b|\{\s*(?:#.*)?$")
_CLOSES = re.compile(r"(?:^|[;&|]\s*)(?:fi|done|esac|\})(?=$|[\s;&|>)])")
# What follows, up to a line with that word alone, is text for a command.
_DOCUMENT = re.compile(r"<<-?\s*[\"'\\]?(\w+)")
# Lines that one statement may have.
MOST = 1000


@dataclass(frozen=True)
class Statement:
    """Lines of a file, from line `number` on, which counts from 1: with assignments, or with what a shell would run.

    `problem` says what of it is no assignment; blank lines and comments have neither that nor assignments.
    """

    number: int
    lines: Sequence[str]
    assignments: Sequence[tuple[Assignment, str]] = ()
    problem: str = ""


def statements(text: str, source: str) -> Iterator[Statement]:
    """All lines of a text in their order, none twice; each assignment comes with its own text."""
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    if not lines[-1]:
        lines.pop()
    at = 0
    while at < len(lines):
        found = _statement(lines, at, source)
        yield found
        at += len(found.lines)


def parse_what_can_be_read(text: str, source: str) -> tuple[list[Assignment], list[ConfigurationError]]:
    """The assignments of a text as `parse` reads it without the statements that are errors, and these errors."""
    errors: list[ConfigurationError] = []
    while True:
        try:
            return parse(text, source), errors
        except ConfigurationError as error:
            errors.append(error)
            place = re.match(rf"{re.escape(source)}:(\d+):", error.message)
            shorter = _without(text, int(place[1]), source) if place else text
            if shorter == text:
                return [], errors
            text = shorter


def _without(text: str, line: int, source: str) -> str:
    """A text with the statement that a line belongs to left blank."""
    lines: list[str] = []
    for statement in statements(text, source):
        covers = statement.number <= line < statement.number + len(statement.lines)
        lines += [""] * len(statement.lines) if covers else statement.lines
    return "".join(f"{each}\n" for each in lines)


def _statement(lines: Sequence[str], at: int, source: str) -> Statement:
    problem = ""
    for end in range(at + 1, min(at + MOST, len(lines)) + 1):
        taken = lines[at:end]
        text = "\n".join(taken)
        hidden = _HIDDEN.fullmatch(text.strip())
        try:
            found = _with_texts(hidden["inside"] if hidden else text, source)
            if found or not hidden:
                return Statement(at + 1, taken, found)
            problem = "braces without an assignment"
            break
        except ConfigurationError as error:
            # Without the place, which may be that of the inside alone.
            reason = error.message.split(": ", 1)[-1]
            problem = problem or reason
            if "never closed" not in reason and "ends after a backslash" not in reason:
                break
    return Statement(at + 1, lines[at : at + _length_of_code(lines, at)], problem=problem)


def _with_texts(text: str, source: str) -> list[tuple[Assignment, str]]:
    """The assignments of a text, each with the part of it that it is written as."""
    found = parse(text, source)
    starts = [0, *(end + 1 for end, letter in enumerate(text) if letter == "\n")]
    places = [starts[each.line - 1] + each.column - 1 for each in found]
    return [
        (each, _without_separators(text[begin:end]))
        for each, begin, end in zip(found, places, [*places[1:], len(text)])
    ]


def _without_separators(text: str) -> str:
    """An assignment without what follows it: blanks, semicolons and ends of lines, but not one that is escaped."""
    while text[-2:] == "\\\n" or (text[-1:] in (" ", "\t", ";", "\n") and not _ends_escaped(text)):
        text = text[:-2] if text[-2:] == "\\\n" else text[:-1]
    return text


def _ends_escaped(text: str) -> bool:
    before = text[:-1]
    return (len(before) - len(before.rstrip("\\"))) % 2 == 1


def _length_of_code(lines: Sequence[str], at: int) -> int:
    """How many lines belong together: up to the end of what opens on the first, or that one alone."""
    depth, here, read = 0, "", ""
    for count, line in enumerate(lines[at:], 1):
        code = line.strip()
        if here:
            here = "" if code == here else here
        elif not code.startswith("#"):
            read += f"{line}\n"
            document = _DOCUMENT.search(code)
            here = document[1] if document else ""
            depth += len(_OPENS.findall(code)) - len(_CLOSES.findall(code))
        if depth <= 0 and not here and not _in_quotes(read) and not code.endswith(("\\", "&&", "||", "|")):
            return count
    # A shell reads on to the quote that is missing.
    return len(lines) - at if _in_quotes(read) else 1


def _in_quotes(text: str) -> bool:
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return True
    return False
