# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads assignments in shell syntax as data: what only a shell could do is an error."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import NoReturn

from ..errors import ConfigurationError
from .advice import about_command, about_substitution

NAME = r"[A-Za-z_][A-Za-z0-9_]*"

_NAME = re.compile(NAME)
_TARGET = re.compile(rf"({NAME})(\+?)=")
_BLANKS = re.compile(r"(?:[ \t]|\\\n)*")
_BLANKS_AND_LINES = re.compile(r"(?:[ \t\n]|\\\n)*")
_COMMENT = re.compile(r"#[^\n]*")
_REFERENCE = re.compile(rf"\$\{{({NAME})(?:\[([@*])\]|:-([^'\"`$\\{{}}()<>]*))?\}}")
_BROKEN_NAME = re.compile(r"(?:\\\n)+[A-Za-z0-9_]")
_END_OF_WORD = " \t\n;&|<>()"
_AFTER_LIST = re.compile(r"[ \t\n;\\]|\Z")

_DECLARING = re.compile(r"(?:export|readonly|declare|typeset|local)(?=[ \t])")
_DECLARING_OPTION = re.compile(r"-[agrx]+(?=[ \t\n;]|$)")
_ESCAPES = {
    "n": "\n",
    "t": "\t",
    "r": "\r",
    "a": "\a",
    "b": "\b",
    "e": "\x1b",
    "E": "\x1b",
    "f": "\f",
    "v": "\v",
    "\\": "\\",
    "'": "'",
    '"': '"',
    "?": "?",
}
_CODE = re.compile(r"([0-7]{1,3})|x([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{1,4})|U([0-9A-Fa-f]{1,8})")


@dataclass(frozen=True)
class Reference:
    """`$NAME`, `${NAME:-default}`, or all words of a list: `${NAME[@]}`, `${NAME[*]}` (`every` is @ or *)."""

    name: str
    quoted: bool
    place: str
    every: str = ""
    default: str | None = None


@dataclass(frozen=True)
class Word:
    """Literal text and references in the order written; an empty text stands for an empty pair of quotes."""

    parts: tuple[str | Reference, ...]


@dataclass(frozen=True)
class Assignment:
    """`NAME=word` or `NAME=( words )`, with `append` the same with `+=`; line and column count from 1.

    `before` are the names that are assigned before it on its line: without quotes it may be a part of their values.
    """

    name: str
    append: bool
    is_array: bool
    words: tuple[Word, ...]
    source: str
    line: int
    column: int
    before: tuple[str, ...] = ()

    @property
    def origin(self) -> str:
        """Where it stands, as FILE:LINE."""
        return f"{self.source}:{self.line}"

    @property
    def place(self) -> str:
        """Where it stands, as FILE:LINE:COLUMN."""
        return f"{self.source}:{self.line}:{self.column}"

    @property
    def references(self) -> tuple[Reference, ...]:
        """What it refers to."""
        return tuple(part for word in self.words for part in word.parts if isinstance(part, Reference))


def parse(text: str, source: str) -> list[Assignment]:
    """The assignments of a text, in order; `source` is the name of its file for messages."""
    return Reader(text, source).assignments()


def decode(data: bytes, source: str) -> str:
    """The text of a file, which must be UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise ConfigurationError(
            f"{source}:{line}:{column}: byte 0x{data[error.start]:02x} is not UTF-8", "save the file as UTF-8"
        ) from None


class Reader:
    """The text, and how far it has been read."""

    def __init__(self, text: str, source: str) -> None:
        self.text = (text[1:] if text.startswith("\ufeff") else text).replace("\r\n", "\n")
        self.source = source
        self.at = 0
        self.line_starts = [0] + [at + 1 for at, char in enumerate(self.text) if char == "\n"]
        if "\0" in self.text:
            self.fail(self.text.index("\0"), "a NUL byte", "the file is damaged: write it again")

    def assignments(self) -> list[Assignment]:
        """Everything up to the end of the text."""
        found: list[Assignment] = []
        while self.at < len(self.text):
            found += self.line()
        return found

    def line(self) -> list[Assignment]:
        """Everything up to the end of a line, beyond those within lists and quotes."""
        found: list[Assignment] = []
        on_line: tuple[str, ...] = ()  # names that are assigned on this line
        command_started = declaring = False
        while True:
            self.skip(_BLANKS)
            char = self.peek()
            if char in ("", "\n"):
                self.at += len(char)
                return found
            if char == "#":
                self.skip(_COMMENT)
            elif char == ";" and command_started:
                self.at += 1
                command_started = declaring = False
            elif not command_started and self.skip_declaring_word():
                command_started = declaring = True
            elif not (declaring and self.skip_declared_name()):
                found.append(self.assignment(declaring, on_line))
                on_line += (found[-1].name,)
                command_started = True

    def assignment(self, declaring: bool, before: tuple[str, ...]) -> Assignment:
        """One assignment; `before` are the names that are assigned before it on its line."""
        start = self.at
        target = _TARGET.match(self.text, start)
        if not target:
            self.fail(start, *about_command(self.text, start, before))
        self.at = target.end()
        is_array = self.peek() == "("
        words = self.array() if is_array else (self.word(expands_braces=declaring),)
        if self.peek() in ("(", ")") or (is_array and not _AFTER_LIST.match(self.text, self.at)):
            what = f"unexpected {self.peek()!r}" if self.peek() in ("(", ")") else "unexpected text"
            self.fail(self.at, f"{what} after the value", 'quote it: NAME="a(b)c"')
        line, column = self.position(start)
        return Assignment(target[1], bool(target[2]), is_array, words, self.source, line, column, before)

    def skip_declaring_word(self) -> bool:
        """Whether `export`, `declare -a` or the like stood here; what follows are names and assignments."""
        word = _DECLARING.match(self.text, self.at)
        if not word:
            return False
        self.at = word.end()
        self.skip(_BLANKS)
        while self.peek() == "-":
            if not _DECLARING_OPTION.match(self.text, self.at):
                self.fail(self.at, f"this option of {word[0]} is not read", "write NAME=value or NAME=( .. )")
            self.skip(_DECLARING_OPTION)
            self.skip(_BLANKS)
        if self.peek() in ("", "\n", ";", "#"):
            self.fail(self.at, f"{word[0]} without a name", f"write {word[0]} NAME=value")
        return True

    def skip_declared_name(self) -> bool:
        """Whether a bare name stood here, as in `export NAME`."""
        name = _NAME.match(self.text, self.at)
        if not name or self.text[name.end() : name.end() + 1] not in ("", " ", "\t", "\n", ";"):
            return False
        self.at = name.end()
        return True

    def array(self) -> tuple[Word, ...]:
        """The words between parentheses, over any number of lines."""
        opened = self.at
        self.at += 1
        words: list[Word] = []
        while True:
            self.skip(_BLANKS_AND_LINES)
            char = self.peek()
            if char == ")":
                self.at += 1
                return tuple(words)
            if char == "#":
                self.skip(_COMMENT)
            elif not char:
                self.fail(opened, "the list that opens here is never closed", "end the list with )")
            elif char in _END_OF_WORD:
                line, _ = self.position(opened)
                self.fail(
                    self.at,
                    f"unexpected {char!r} in the list that opens on line {line}",
                    f"close the list of line {line} with ), or quote the word",
                )
            else:
                words.append(self.word(expands_braces=True, in_array=True))

    def word(self, expands_braces: bool, in_array: bool = False) -> Word:
        """A word up to the next blank or separator, its quotes taken away."""
        start = self.at
        parts: list[str | Reference] = []
        unquoted = ""  # the word as the shell looks at it for ~, braces and indices; x for whatever is quoted
        while self.peek() and self.peek() not in _END_OF_WORD:
            char = self.peek()
            if char == "\\":
                self.backslash(parts)
            elif char == "'":
                self.single_quotes(parts)
            elif char == '"':
                self.double_quotes(parts)
            elif char == "$":
                self.dollar(parts, quoted=False)
            elif char == "`":
                self.fail_as_substitution()
            else:
                _add(parts, char)
                self.at += 1
                unquoted += char
                continue
            unquoted += "x"
        if unquoted.startswith("~") or (not in_array and ":~" in unquoted):
            self.fail_as_home(start)
        if expands_braces and re.search(r"\{.*(,|\.\.).*\}", unquoted, re.DOTALL):
            self.fail(start, "a shell would expand these braces", "write each word, or quote the braces")
        if in_array and re.match(r"\[.*\]\+?=", unquoted, re.DOTALL):
            self.fail(start, "a list has no indices", "write only the values: NAME=( a b c )")
        if in_array and unquoted.startswith("[") and not _closes(unquoted):
            self.fail(start, "a shell looks for the ] of this [, over blanks and lines", "quote it: '['")
        return Word(tuple(parts))

    def backslash(self, parts: list[str | Reference]) -> None:
        """An escaped character outside of quotes; an escaped end of line is nothing."""
        following = self.text[self.at + 1 : self.at + 2]
        if not following:
            self.fail(self.at, "the file ends after a backslash", "remove the backslash")
        if following != "\n":
            _add(parts, following)
        self.at += 2

    def single_quotes(self, parts: list[str | Reference]) -> None:
        """Everything up to the next single quote, as it is."""
        end = self.text.find("'", self.at + 1)
        if end < 0:
            self.fail_as_unbalanced(self.at, "'")
        _add(parts, self.text[self.at + 1 : end])
        self.at = end + 1

    def double_quotes(self, parts: list[str | Reference]) -> None:
        """Text with references."""
        opened = self.at
        self.at += 1
        if self.peek() == '"':
            _add(parts, "")
        while self.peek() != '"':
            char = self.peek()
            if not char:
                self.fail_as_unbalanced(opened, '"')
            if char == "$":
                self.dollar(parts, quoted=True)
            elif char == "`":
                self.fail_as_substitution()
            elif char == "\\" and self.text[self.at + 1 : self.at + 2] in ("$", "`", '"', "\\", "\n"):
                self.backslash(parts)
            else:
                _add(parts, char)
                self.at += 1
        self.at += 1

    def dollar(self, parts: list[str | Reference], quoted: bool) -> None:
        """A reference, a $'..' string, or within quotes a dollar sign that means itself."""
        start = self.at
        following = self.text[start + 1 : start + 2]
        name = _NAME.match(self.text, start + 1)
        if name:
            self.at = name.end()
            if _BROKEN_NAME.match(self.text, self.at):
                self.fail(start, "this name continues on the next line", "write ${NAME}, or '$' in single quotes")
            parts.append(Reference(name[0], quoted, self.place(start)))
        elif following == "{":
            reference = _REFERENCE.match(self.text, start)
            if not reference:
                self.fail_as_expansion()
            self.at = reference.end()
            every, default = reference[2] or "", reference[3]
            if not quoted and default and ("~" in default[:1] or ":~" in default):
                self.fail_as_home(start)
            parts.append(Reference(reference[1], quoted, self.place(start), every, default))
        elif following == "'" and not quoted:
            self.escaped_string(parts)
        elif following and following in "([":
            self.fail_as_substitution()
        elif following == '"' and not quoted:
            self.fail(start, 'strings for translation ($"..") are not read', 'remove the $: "text"')
        elif following and following in "0123456789@*#?-$!":
            self.fail(
                start, "a $ before a digit or a sign has no meaning here", "write the value, or '$' in single quotes"
            )
        elif self.text.startswith("\\\n", start + 1):
            self.fail(start, "this line ends within a reference", "write it on one line")
        elif quoted:
            _add(parts, "$")
            self.at += 1
        else:
            # Bash does not split $X in a word that ends so.
            self.fail(start, "a $ without a name", "quote it: '$'")

    def escaped_string(self, parts: list[str | Reference]) -> None:
        """The inside of $'..'."""
        opened = self.at
        self.at += 2
        _add(parts, "")
        while self.peek() != "'":
            char = self.peek()
            if not char:
                self.fail_as_unbalanced(opened, "$'")
            if char == "\\":
                char = self.escape()
            else:
                self.at += 1
            _add(parts, char)
        self.at += 1

    def escape(self) -> str:
        """The character that an escape within $'..' stands for."""
        start = self.at
        letter = self.text[start + 1 : start + 2]
        code = _CODE.match(self.text, start + 1)
        number = (int(code[1], 8) if code[1] else int(code[2] or code[3] or code[4], 16)) if code else 0
        # A byte beyond ASCII could make text that is not UTF-8, and a surrogate is no character.
        limit = 0x110000 if code and (code[3] or code[4]) else 0x80
        if code and 0 < number < limit and not 0xD800 <= number < 0xE000:
            self.at = code.end()
            return chr(number)
        if letter not in _ESCAPES:
            self.fail(start, "this escape in $'..' is not read", "write the character itself")
        self.at = start + 2
        return _ESCAPES[letter]

    def fail(self, at: int, what: str, hint: str) -> NoReturn:
        """Raise the error for a place in the text; it shows nothing of a value, which may be a passphrase."""
        raise ConfigurationError(f"{self.place(at)}: {what}", hint)

    def fail_as_unbalanced(self, opened: int, quote: str) -> NoReturn:
        closing = quote[-1].replace("{", "}")
        self.fail(opened, f"{quote} opens here and is never closed", f"close it with {closing}")

    def fail_as_substitution(self) -> NoReturn:
        self.fail(self.at, *about_substitution(self.text, self.at))

    def fail_as_home(self, at: int) -> NoReturn:
        self.fail(at, "a shell would expand this ~", "write the path of the home directory, or quote the ~")

    def fail_as_expansion(self) -> NoReturn:
        if self.text.find("}", self.at) < 0:
            self.fail_as_unbalanced(self.at, "${")
        self.fail(
            self.at,
            "this expansion is not read",
            'write the value, or one of $NAME, ${NAME}, ${NAME:-default}, "${NAME[@]}"',
        )

    def skip(self, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self.text, self.at)
        self.at = found.end() if found else self.at

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def position(self, at: int) -> tuple[int, int]:
        line = bisect_right(self.line_starts, at)
        return line, at - self.line_starts[line - 1] + 1

    def place(self, at: int) -> str:
        line, column = self.position(at)
        return f"{self.source}:{line}:{column}"


def _closes(word: str) -> bool:
    """Whether the bracket that a word begins with is closed in it."""
    depth = 0
    for char in word:
        depth += (char == "[") - (char == "]")
        if not depth:
            return True
    return False


def _add(parts: list[str | Reference], text: str) -> None:
    """Add literal text to a word."""
    if parts and isinstance(parts[-1], str):
        parts[-1] += text
    else:
        parts.append(text)
