# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts a file that a shell once read into assignments and what only a shell can do; nothing of it is executed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from ..errors import ConfigurationError
from .reader import Assignment, Reader, parse

# `{ NAME='secret' ; } 2>>/dev/$SECRET_OUTPUT_DEV` keeps a value out of a shell's trace; rear has none.
_HIDES = re.compile(r"[ \t]*\{[ \t\n]")
_HIDDEN = re.compile(
    r"\{[ \t\n]+(?P<inside>.*?)[ \t\n]*;?[ \t\n]*\}[ \t]*"
    r"(?:2?>>?[ \t]*\"?/dev/(?:null|\$\{?SECRET_OUTPUT_DEV\}?)\"?)?[ \t;]*(?:[ \t]#[^\n]*)?",
    re.DOTALL,
)
# Lines that such braces may have.
MOST = 100
_OPENS = re.compile(r"(?:^|[;&|(]\s*|\b(?:then|do|else)\s+)(?:if|for|while|until|case|select)\b|\{\s*$")
_CLOSES = re.compile(r"(?:^|[;&|]\s*)(?:fi|done|esac|\})(?=$|[\s;&|>)])")
# What follows, up to a line with that word alone, is text for a command.
_DOCUMENT = re.compile(r"<<-?\s*[\"'\\]?(\w+)")
# The pattern of a case.
_PATTERN = re.compile(r"^\s*\(?[^()]*\)|(?<=;;)\s*\(?[^()]*\)")
# A piece of a line without quotes, within single quotes and within double quotes, each with the quote that ends it.
_PIECES = {
    "": re.compile(r"(?:[^\\'\"#]|\\.?|(?<![\s;&|()])(?<!^)#)*(?P<end>['\"]?)"),
    "'": re.compile(r"[^']*(?P<end>'?)"),
    '"': re.compile(r"(?:[^\\\"]|\\.?)*(?P<end>\"?)"),
}


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
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    # A byte in one statement is no reason to refuse the others.
    reader = Reader(text.replace("\0", "\N{REPLACEMENT CHARACTER}"), source)
    at = 0
    while at < len(lines):
        found = _statement(reader, lines, at)
        yield found
        at += len(found.lines)


def parse_what_can_be_read(text: str, source: str) -> tuple[list[Assignment], list[ConfigurationError]]:
    """The assignments of a text as `parse` reads it without the statements that are errors, and these errors."""
    found: list[Assignment] = []
    errors: list[ConfigurationError] = []
    try:
        reader = Reader(text, source)
    except ConfigurationError as error:
        return found, [error]
    lines, at = reader.text.split("\n"), 0
    while at < len(lines):
        reader.at = reader.line_starts[at]
        try:
            found += reader.line()
            at = reader.line_starts.index(reader.at, at) if reader.at < len(reader.text) else len(lines)
        except ConfigurationError as error:
            errors.append(error)
            at += _length_of_code(lines, at)
    return found, errors


def _statement(reader: Reader, lines: Sequence[str], at: int) -> Statement:
    """The statement that begins with line `at`, which counts from 0."""
    reader.at = reader.line_starts[at]
    if found := _in_braces(lines, at, reader.source):
        return found
    try:
        assignments = reader.line()
    except ConfigurationError as error:
        problem = error.message.split(": ", 1)[-1]
        return Statement(at + 1, lines[at : at + _length_of_code(lines, at)], problem=problem)
    text = reader.text[reader.line_starts[at] : reader.at]
    taken = lines[at : at + max(1, text.count("\n") + (not text.endswith("\n")))]
    if assignments and any("\0" in line for line in taken):
        return Statement(at + 1, taken, problem="a NUL byte: the file is damaged")
    return Statement(at + 1, taken, _with_texts(assignments, "".join(f"{line}\n" for line in taken), at))


def _in_braces(lines: Sequence[str], at: int, source: str) -> Statement | None:
    """The assignments between braces that begin on a line."""
    for end in range(at + 1, min(at + MOST, len(lines)) + 1) if _HIDES.match(f"{lines[at]}\n") else ():
        taken = lines[at:end]
        if hidden := _HIDDEN.fullmatch("\n".join(taken).strip()):
            with suppress(ConfigurationError):
                inside = hidden["inside"]
                found = _with_texts(parse(inside, source), inside, 0)
                return Statement(at + 1, taken, found) if found else None
    return None


def _with_texts(found: Sequence[Assignment], text: str, before: int) -> list[tuple[Assignment, str]]:
    """Assignments of a text, each with the part of it that it is written as; the text has lines `before` it."""
    starts = [0, *(end + 1 for end, letter in enumerate(text) if letter == "\n")]
    places = [starts[each.line - 1 - before] + each.column - 1 for each in found]
    return [
        (each, _without_separators(text[begin:end]))
        for each, begin, end in zip(found, places, [*places[1:], len(text)])
    ]


def _without_separators(text: str) -> str:
    """An assignment without what follows it: blanks, semicolons and ends of lines, but not one that is escaped."""
    while text[-1:] in (" ", "\t", ";", "\n") and (text[-1] == "\n" or not _ends_escaped(text)):
        text = text[:-2] if _ends_escaped(text) else text[:-1]
    return text


def _ends_escaped(text: str) -> bool:
    before = text[:-1]
    return (len(before) - len(before.rstrip("\\"))) % 2 == 1


def _length_of_code(lines: Sequence[str], at: int) -> int:
    """How many lines belong together: up to the end of what opens on the first, or that one alone."""
    depth, parentheses, cases, here, quote = 0, 0, 0, "", ""
    for count, line in enumerate(lines[at:], 1):
        code = line.strip()
        if here:
            here = "" if code == here else here
        else:
            outside, quote = _outside_of_quotes(line, quote)
            outside = outside.strip()
            document = _DOCUMENT.search(code) if "<<" in outside else None
            here = document[1] if document else ""
            depth += len(_OPENS.findall(outside)) - len(_CLOSES.findall(outside))
            plain = _PATTERN.sub("", outside) if cases > 0 else re.sub(r"\bin\s+\(?[^()]*\)", "", outside)
            cases += len(re.findall(r"\bcase\b", outside)) - len(re.findall(r"\besac\b", outside))
            parentheses += plain.count("(") - plain.count(")")
        if depth <= 0 and parentheses <= 0 and not (here or quote) and not code.endswith(("\\", "&&", "||", "|")):
            return count
    # A shell reads on to the quote that is missing.
    return len(lines) - at if quote else 1


def _outside_of_quotes(line: str, quote: str) -> tuple[str, str]:
    """What of a line is neither in quotes nor a comment, and the quote that is open at its end; `quote` was before."""
    outside, at = "", 0
    while at < len(line):
        found = _PIECES[quote].match(line, at)
        assert found
        if not quote:
            outside += found[0][: len(found[0]) - len(found["end"])]
            if not found["end"] and found.end() < len(line):
                return outside, ""  # a comment
            quote = found["end"]
        elif found["end"]:
            quote = ""
        at = found.end()
    return outside, quote
