# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands and settings on the pages of the documentation, with the marks that say who runs them."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rear_core.errors import ConfigurationError
from rear_core.settings import parse

ROOT = Path(__file__).parents[2]
MARK = r"<!-- (?P<{}>(?:run by|needs) [^\n>]+) -->\n"
BLOCK = re.compile(
    rf"(?:^ *{MARK.format('mark')}\n?)?^(?P<indent> *)```(?P<language>sh|console)\n(?P<text>.*?)^(?P=indent)```$",
    re.M | re.S,
)
# What a program is started by, or what stands in its place, in a shell.
WORDS = {"!", "{", "}", "case", "do", "done", "else", "esac", "fi", "for", "if", "sudo", "then", "while"}
ENDS = set(";&|()\n")


@dataclass(frozen=True)
class Block:
    """One block of a page (`docs/how-to/boot.md`), the line it is on, and the heading of its section.

    `mark` is the one above it, or else that of its page: `run by` a test, or what it `needs`. Empty if there is none.
    """

    page: str
    line: int
    heading: str
    language: str
    text: str
    mark: str

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def file(self) -> str:
        """Where a script says that it belongs, in its first comment; empty for all else."""
        found = re.match(r"(?:#!.*\n)?# (/\S+/\S+)", self.text)
        return found[1] if found and not self.settings else ""

    @property
    def settings(self) -> bool:
        """Whether it is for local.conf, and nothing to run."""
        try:
            return self.language == "sh" and bool(parse(self.text, self.where))
        except ConfigurationError:
            return False

    def lines(self) -> list[str]:
        """What is typed, without comments: of a `console` the line with the prompt, of others each command."""
        if self.language == "console":
            return [self.text.partition("\n")[0][2:]]
        text = re.sub(
            r"(<<'(\w+)'\n)(.*?\n)(\2\n)", lambda found: found[0].replace("\n", "\0")[:-1] + "\n", self.text, flags=re.S
        )
        joined = text.replace("\\\n", " ").splitlines()
        return [
            re.sub(r"\s+# .*", "", line.replace("\0", "\n")) for line in joined if line and not line.startswith("#")
        ]

    def commands(self) -> Iterator[list[str]]:
        """Each program of those lines with its arguments."""
        for line in self.lines():
            yield from programs(re.sub(r"<<'(\w+)'.*", "", line, flags=re.S))


def programs(line: str) -> Iterator[list[str]]:
    """The programs that a line of a shell starts, with their arguments; no redirections, and no words of the shell."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|()<>")
    lexer.whitespace_split = True
    words: list[str] = []
    tokens = iter([*lexer, ";"])
    for token in tokens:
        if set(token) <= {"<", ">", "&"} and set(token) & {"<", ">"}:
            next(tokens)
            words = words[:-1] if words and words[-1] in ("1", "2") else words
        elif set(token) <= ENDS:
            while words and (words[0] in WORDS or re.match(r"\w+=", words[0])):
                words = words[1:]
            if words and words[0] != "[":
                yield words
            words = []
        else:
            words.append(token)


def blocks(page: Path) -> list[Block]:
    """The commands and settings of a page, in order."""
    text = page.read_text()
    of_page = re.match(rf"# .+\n\n{MARK.format('mark')}", text)
    name = str(page.relative_to(ROOT))
    found = []
    for match in BLOCK.finditer(text):
        headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text[: match.start()], flags=re.M | re.S), re.M)
        line = text.count("\n", 0, match.start("text"))
        mark = match["mark"] or (of_page["mark"] if of_page else "")
        code = textwrap.dedent(match["text"])
        found.append(Block(name, line, headings[-1], match["language"], code, mark))
    return found


def typed(page: str, heading: str) -> list[str]:
    """The lines to type of one section of a page (`how-to/boot.md`)."""
    found = [block for block in blocks(ROOT / "docs" / page) if block.heading == heading]
    return [line for block in found if not (block.settings or block.file) for line in block.lines()]


def missing(said: str, shown: str) -> list[str]:
    """The lines of a page that were not printed. Numbers may differ, and dots stand for what is left out.

    So may be steps: those that take no time are not printed.
    """

    def alike(text: str) -> str:
        return re.sub(r"mount\.\w+", "mount.9", re.sub(r"\d+", "9", text))

    words = {
        line: re.escape(alike(line)).replace(r"\.\.\.", ".*")
        for line in shown.splitlines()
        if not re.search(r"\(\d+\.\d s\)$", line)
    }
    return [line for line, pattern in words.items() if not re.search(pattern, alike(said))]


def recorded(name: str) -> str:
    """What a picture of the documentation shows, without what was typed (`status` of docs/images/status.svg)."""
    text = re.sub(r"<.*?>", "", (ROOT / f"docs/images/recorded/{name}.txt").read_text())
    return "\n".join(line for line in text.splitlines() if not line.startswith("# "))


def every() -> list[Path]:
    """All pages that tell readers what to type."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/[!_]*/**/*.md"), ROOT / "docs/index.md",
            *ROOT.glob("plugins/*/README.md")]  # fmt: skip
