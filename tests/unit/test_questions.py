# SPDX-License-Identifier: GPL-3.0-or-later
"""What is typed at a terminal, what it means, and that nobody's silence is an answer."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache

import pexpect
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rear_core import builtin, questions
from rear_core.errors import Interrupted, RearError, Refused
from rear_core.plugins import Plugins
from rear_core.report import Report
from rear_core.run import Options, Run
from rear_core.settings import Settings, Sources, evaluate
from rear_core.settings.reader import parse

Type = Callable[[str], object]
QUITS = "ended as asked"
EOF = "\x04"


@cache
def read(conf: str) -> Settings:
    sources = Sources(assignments=tuple(parse(conf, "local.conf")))
    return evaluate(sources, Plugins(builtin.modules()).call("rear_settings"), {})


def run(conf: str = "", **options: bool) -> Run:
    return Run(read(conf), Plugins([]), Options(**options), Report(terminal=io.StringIO()))  # type: ignore[arg-type]


class Screen(io.StringIO):
    """What is shown; each question is answered by the next line."""

    def __init__(self, keys: io.RawIOBase) -> None:
        super().__init__()
        self.keys = keys
        self.typed: list[str] = []

    def write(self, text: str) -> int:
        if text.endswith(": ") and self.typed:
            self.keys.write(self.typed.pop(0).encode())
        return super().write(text)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    """The terminal that this process has then."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "wb", buffering=0) as keys, os.fdopen(theirs) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        yield Screen(keys)


@pytest.fixture
def keyboard(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> Type:
    """Types these lines, one for each question."""

    def sit_down(text: str) -> None:
        screen.typed = text.splitlines(keepends=True)
        # Not before the test runs: pytest has a standard error of its own for each phase.
        monkeypatch.setattr(sys, "stderr", screen)

    return sit_down


def confirmed(here: Run, default: bool) -> bool:
    return questions.confirm(here, "Erase the disk", default=default, quits=QUITS)


@pytest.mark.parametrize("default", [True, False])
@pytest.mark.parametrize(
    ("typed", "answer"),
    [("yes", True), ("y", True), (" Yes ", True), ("no", False), ("n", False), ("NO", False), ("", None)],
)
def test_yes_is_yes_and_no_is_no(keyboard: Type, default: bool, typed: str, answer: bool | None) -> None:
    keyboard(f"{typed}\n")
    assert confirmed(run(), default) is (default if answer is None else answer)


@pytest.mark.parametrize("default", [True, False])
def test_the_default_is_shown(keyboard: Type, screen: Screen, default: bool) -> None:
    keyboard("\n")
    confirmed(run(), default)
    assert screen.getvalue() == f"Erase the disk? {'[yes], no' if default else 'yes, [no]'}, quit: "


@pytest.mark.parametrize("typed", ["nein", "yess", "yes please", "1", "s", "-", "ja", "oui", "\x1b[A"])
def test_a_word_without_meaning_is_asked_for_again(keyboard: Type, screen: Screen, typed: str) -> None:
    keyboard(f"{typed}\nno\n")
    assert confirmed(run(), True) is False
    assert "is not an answer; type one of: yes, no, Enter, quit" in screen.getvalue()


@pytest.mark.parametrize("typed", ["q\n", "quit\n", "QUIT\n", EOF, f"what?\n{EOF}"])
def test_quit_and_the_end_of_the_input_end_the_run(keyboard: Type, typed: str) -> None:
    keyboard(typed)
    with pytest.raises(Interrupted):
        confirmed(run(), True)


@given(typed=st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=9), default=st.booleans())
def test_only_a_yes_or_a_shown_default_is_agreement(typed: str, default: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", io.StringIO(f"{typed}\n"))
        try:
            agreed = confirmed(run(), default)
        except Interrupted:
            agreed = False
    assert not agreed or typed.strip().lower() in ("y", "yes") or (default and not typed.strip())


def test_what_has_to_be_done_is_waited_for(keyboard: Type) -> None:
    keyboard("yes\n\nno\n")
    questions.wait(run(), "Put the disc in", quits=QUITS)
    with pytest.raises(Interrupted, match=QUITS):
        questions.wait(run(), "Put the disc in", quits=QUITS)


SECRET = """
from types import SimpleNamespace as Space
from rear_core import questions
run = Space(options=Space(unattended=False), settings={})
raise SystemExit(questions.ask_secret(run, "Passphrase: ") != "quit")
"""


def test_a_secret_is_not_shown_and_may_be_any_word() -> None:
    console = pexpect.spawn(sys.executable, ["-c", SECRET], encoding="utf-8", timeout=30)
    console.expect_exact("Passphrase: ")
    console.sendline("quit")
    console.expect(pexpect.EOF)
    console.close()
    assert console.before == "\r\n"
    assert console.exitstatus == 0


def test_a_secret_can_come_from_a_program() -> None:
    argv = [sys.executable, "-c", SECRET]
    assert subprocess.run(argv, input=b"quit\n", capture_output=True, timeout=30).returncode == 0


WORD = """
from types import SimpleNamespace as Space
from rear_core import questions
from rear_core.cli import output
from rear_core.storage.passphrases import passphrase_problem
output.take_over()
run = Space(options=Space(unattended=False), settings={})
if questions.confirm(run, "Erase it", default=False, quits="ended"):
    word = questions.ask_secret(run, "Passphrase: ")
    print(ascii(word), passphrase_problem(word))
"""


def test_a_byte_that_is_no_letter_in_the_locale_is_no_answer_and_no_fault() -> None:
    console = pexpect.spawn(sys.executable, ["-c", WORD], timeout=30, env={**os.environ, "LC_ALL": "C.UTF-8"})
    console.expect_exact("quit: ")
    console.sendline(b"y\xe9s")
    console.expect_exact("is not an answer")
    console.expect_exact("quit: ")
    console.sendline(b"yes")
    console.expect_exact("Passphrase: ")
    console.sendline(b"caf\xe9")
    console.expect_exact(b"'caf\\udce9' it contains characters that cannot be typed")
    console.expect(pexpect.EOF)
    console.close()
    assert console.exitstatus == 0


ASKED: dict[str, Callable[[Run], object]] = {
    "a line": lambda here: questions.ask(here, "Which disk: ", quits=QUITS),
    "a word": lambda here: confirmed(here, True),
    "the Enter key": lambda here: questions.wait(here, "Put the disc in", quits=QUITS),
    "a secret": lambda here: questions.ask_secret(here, "Passphrase: "),
}
asked = pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)


@asked
def test_with_n_nobody_is_asked(keyboard: Type, ask: Callable[[Run], object]) -> None:
    keyboard("yes\n")
    with pytest.raises(Refused, match="-n forbids questions"):
        ask(run(unattended=True))


@pytest.mark.slow
@asked
def test_silence_ends_the_run_after_the_time_that_is_set(keyboard: Type, ask: Callable[[Run], object]) -> None:
    started = time.monotonic()
    with pytest.raises(Interrupted, match="no answer within 1 seconds"):
        ask(run("USER_INPUT_TIMEOUT=1"))
    assert time.monotonic() - started >= 1


@asked
def test_the_end_of_the_input_is_no_answer(keyboard: Type, ask: Callable[[Run], object]) -> None:
    keyboard(EOF)
    with pytest.raises(RearError, match="the input ended before an answer"):
        ask(run())


def test_what_was_typed_before_is_no_answer(keyboard: Type, screen: Screen) -> None:
    screen.keys.write(b"yes\nyes\n")
    keyboard("no\n")
    assert confirmed(run(), True) is False


def test_a_closed_input_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert not questions.is_interactive(run())
    with pytest.raises(Interrupted, match="the input ended before an answer"):
        confirmed(run(), True)


def test_a_file_is_nobody(monkeypatch: pytest.MonkeyPatch, keyboard: Type) -> None:
    assert questions.is_interactive(run())
    assert not questions.is_interactive(run(unattended=True))
    monkeypatch.setattr(sys, "stdin", io.StringIO("yes\n"))
    assert not questions.is_interactive(run())
