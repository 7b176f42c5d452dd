# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of the lines of a configuration of Relax-and-Recover, and the file that this makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from textwrap import wrap

Words = Sequence[str]
# Columns of a remark in a file.
WIDTH = 100


class Outcome(Enum):
    """What becomes of an assignment."""

    SAME = "same"
    RENAMED = "renamed"
    OTHERWISE = "done otherwise"
    NEEDLESS = "not needed"
    MISSING = "not there"
    CODE = "not read"


ATTENTION = (Outcome.MISSING, Outcome.CODE)


@dataclass(frozen=True)
class Answer:
    """What becomes of lines `number` and following; `lines` are written in their place, `was` is shown otherwise.

    `script` is the path of a step below the configuration directory, with its text. `name` was assigned, and `refers`
    are the other names that its value depends on.
    """

    outcome: Outcome
    remark: str = ""
    lines: Words = ()
    was: Words = ()
    number: int = 0
    script: tuple[str, str] | None = None
    name: str = ""
    refers: Words = ()


@dataclass
class Imported:
    """All of a file, in its order: answers, and the lines that are comments or blank."""

    parts: list[Answer | str] = field(default_factory=list)

    @property
    def answers(self) -> list[Answer]:
        """What has become of the assignments."""
        return [part for part in self.parts if isinstance(part, Answer)]

    @property
    def scripts(self) -> dict[str, str]:
        """Steps that do what settings did, by their paths below the configuration directory."""
        return dict(answer.script for answer in self.answers if answer.script)

    def text(self, width: int = WIDTH) -> str:
        """The file that rear reads, with a remark for each assignment in lines of at most `width` columns."""
        lines: list[str] = []
        for part in self.parts:
            lines += [part] if isinstance(part, str) else written(part, width)
        return "".join(f"{line}\n" for line in lines)


def written(answer: Answer, width: int = WIDTH) -> list[str]:
    """The lines of an answer in the new file."""
    remark = f": {' '.join(answer.remark.split())}" if answer.remark else ""
    shown = [] if answer.lines else [f"#   {line}" for line in answer.was]
    # A value may have ends of lines.
    lines = [line for each in answer.lines for line in each.split("\n")]
    told = f"# line {answer.number}, {answer.outcome.value}{remark}"
    return [*wrap(told, width, subsequent_indent="# ", break_long_words=False, break_on_hyphens=False), *shown, *lines]
