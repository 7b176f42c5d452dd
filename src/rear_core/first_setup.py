# SPDX-License-Identifier: GPL-3.0-or-later
"""What `rear setup` asks for a plugin, and what it offers at its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .run import Run


@dataclass(frozen=True)
class SecretLine:
    """A line of a file with secrets: what is typed, with `before` in front of it.

    It is not shown while it is typed, and has to be typed twice, unless it is `shown`. `check` says what is wrong with
    it, "" when nothing is; an empty line that is `optional` is left out.
    """

    question: str
    before: str = ""
    shown: bool = False
    optional: bool = False
    check: Callable[[str], str] = lambda _typed: ""


@dataclass(frozen=True)
class SecretFile:
    """A file for root alone beside local.conf; the setting gets its path. `name` is that of the file alone."""

    name: str
    lines: tuple[SecretLine, ...]


@dataclass(frozen=True)
class Ask:
    """A question of `rear setup`: which setting it is for, and in one sentence what it means.

    Enter takes the value that the setting has, else `default`: a text, or what a function says of this machine. A list
    is typed as words, a bool as yes or no. With `needed` an empty answer is asked for again. A setting that is a `file`
    with secrets is asked for its path, or for its lines. `when` says from the answers so far, as they were typed, by
    the names of their settings, whether it is asked at all.
    """

    setting: str
    question: str
    default: str | Callable[[Run], str] = ""
    needed: bool = False
    file: SecretFile | None = None
    when: Callable[[Mapping[str, str]], bool] = lambda _answers: True


@dataclass(frozen=True)
class Offer:
    """What `rear setup` offers once a backup was made: a question that yes answers, and the command that is run then,
    with its arguments."""

    question: str
    command: str
    arguments: tuple[str, ...] = ()
