# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks the administrator at the terminal; the only module that reads what is typed there.

Every question knows the same words: yes, no and quit, or their first letters; ^D is quit. A word that no answer belongs
to is asked for again, and nothing is ever taken for an answer because nobody gave one.
"""

from __future__ import annotations

import os
import re
import select
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, TypeVar

from .errors import Interrupted, Refused
from .report import visible

if TYPE_CHECKING:
    from .run import Run

Answer = TypeVar("Answer")

# While it is set nothing hangs: the user is asked.
WAITING = Event()

# In the rescue system alone.
KEYMAP_NAME, KEYMAP_US = "/etc/rear/keymap-name", "/etc/rear/keymap-us"

QUIT = ("q", "quit")
YES = {"y": True, "yes": True}
NO = {"n": False, "no": False}


def is_interactive(run: Run) -> bool:
    """Whether somebody can be asked: the standard input is a terminal, and -n was not given."""
    return not run.options.unattended and sys.stdin is not None and sys.stdin.isatty()


def ask(run: Run, question: str, *, quits: str) -> str:
    """The line that is typed, without the blanks around it.

    Raises `Interrupted` with the message `quits` for quit, and with one of its own when the terminal is closed, by ^D,
    or after USER_INPUT_TIMEOUT seconds; `Refused` with -n.
    """
    typed = _line(run, question).strip()
    if typed.lower() in QUIT:
        raise Interrupted(quits)
    return typed


def ask_secret(run: Run, question: str) -> str:
    """A line that is typed and not shown. Raises as `ask`, but for quit, which may be a passphrase."""
    return _line(run, f"{_keyboard()}{question}", secret=True)


def _keyboard() -> str:
    """By which layout this console of the rescue system takes keys, which nobody sees; "" on other terminals."""
    with suppress(OSError, ValueError, AttributeError):
        if re.fullmatch(r"/dev/(?:tty\d+|console)", os.ttyname(sys.stdin.fileno())):
            name = Path(KEYMAP_NAME).read_text(errors="replace").strip()
            other = f"; for that of the US: Alt-F2, `loadkeys {KEYMAP_US}`" if os.path.exists(KEYMAP_US) else ""
            return f"(keyboard layout: {name}{other})\n"
    return ""


def choose(run: Run, question: str, answers: Mapping[str, Answer], *, quits: str) -> Answer:
    """What the typed word stands for, in capitals or not; a word that stands for nothing is asked for again.

    The answer to "" is that to the Enter key. Where `answers` has no `no`, that is quit. Raises as `ask`.
    """
    while True:
        typed = ask(run, question, quits=quits)
        for word in (typed, typed.lower()):
            if word in answers:
                return answers[word]
        if typed.lower() in NO:
            raise Interrupted(quits)
        known = [word or "Enter" for word in answers if len(word) != 1]
        print(f"{typed!r} is not an answer; type one of: {', '.join(known)}, quit", file=sys.stderr)


def confirm(run: Run, question: str, *, default: bool, quits: str) -> bool:
    """Whether the answer is yes; the Enter key gives the default. Raises as `ask`."""
    words = "yes, no, quit".replace("yes" if default else "no", "[yes]" if default else "[no]")
    return choose(run, f"{question}? {words}: ", {**YES, **NO, "": default}, quits=quits)


def wait(run: Run, request: str, *, quits: str) -> None:
    """Have something done, and wait for the Enter key. Raises as `ask`."""
    choose(run, f"{request} and press Enter, or type quit: ", {"": None}, quits=quits)


def _line(run: Run, question: str, *, secret: bool = False) -> str:
    if run.options.unattended:
        raise Refused(f"-n forbids questions: {question.strip()}", "run it again without -n")
    seconds = int(run.settings.get("USER_INPUT_TIMEOUT", 0))
    _forget_typed()
    with waiting(), _unseen() if secret else nullcontext():
        print(visible(question), end="", file=sys.stderr, flush=True)
        if seconds and not select.select([sys.stdin], [], [], seconds)[0]:
            print(file=sys.stderr)
            raise Interrupted(f"no answer within {seconds} seconds (USER_INPUT_TIMEOUT)", "run it again")
        try:
            return input()
        except (EOFError, RuntimeError):
            # RuntimeError: the standard input is closed (input() says "lost sys.stdin").
            print(file=sys.stderr)
            raise Interrupted("the input ended before an answer", "run it again, on a terminal") from None


@contextmanager
def waiting() -> Iterator[None]:
    """A block in which the user is waited for."""
    WAITING.set()
    try:
        yield
    finally:
        WAITING.clear()


def _forget_typed() -> None:
    """Drop what was typed before the question was shown: it cannot have been meant as its answer."""
    import termios

    # Nothing is dropped of what is no terminal.
    with suppress(OSError, ValueError, AttributeError, termios.error):
        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)


@contextmanager
def _unseen() -> Iterator[None]:
    """A block in which the terminal does not show what is typed."""
    import termios

    try:
        terminal = sys.stdin.fileno()
        before = termios.tcgetattr(terminal)
    except (OSError, ValueError, AttributeError, termios.error):
        before = []
    if not before:  # A pipe or a file shows nothing.
        yield
        return
    silent = [*before]
    silent[3] = before[3] & ~termios.ECHO  # local modes, see termios(3)
    termios.tcsetattr(terminal, termios.TCSADRAIN, silent)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
        print(file=sys.stderr)
