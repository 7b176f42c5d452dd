# SPDX-License-Identifier: GPL-3.0-or-later
"""Passphrases of volumes that are there: what is set, then what somebody types, a few times."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from rear_core import questions
from rear_core.errors import Refused
from rear_core.storage.passphrases import unlock
from rear_core.storage.technologies.luks import Luks

VAULT = cast(Luks, "volume vault")


def machine(known: str = "") -> Any:
    return SimpleNamespace(settings={"LUKS_PASSPHRASE": known})


@pytest.mark.parametrize(
    ("known", "typed", "tried"),
    [
        ("right", [], ["right"]),
        ("wrong", ["right"], ["wrong", "right"]),
        ("", ["wrong", "wrong", "right"], ["wrong", "wrong", "right"]),
    ],
)
def test_a_mistyped_passphrase_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, known: str, typed: list[str], tried: list[str]
) -> None:
    answers, seen = iter(typed), list[str]()
    monkeypatch.setattr(questions, "is_interactive", lambda _run: True)
    monkeypatch.setattr(questions, "ask_secret", lambda _run, _question: next(answers))
    unlock(machine(known), VAULT, lambda word: seen.append(word) or word == "right")  # type: ignore[func-returns-value]
    assert seen == tried


def test_three_wrong_ones_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "is_interactive", lambda _run: True)
    monkeypatch.setattr(questions, "ask_secret", lambda _run, _question: "wrong")
    with pytest.raises(Refused, match="no passphrase that opens volume vault"):
        unlock(machine(), VAULT, lambda _word: False)


@pytest.mark.parametrize(("known", "why"), [("", "is not set"), ("wrong", "does not open it")])
def test_where_nobody_can_be_asked_it_is_said_what_was_wrong(
    monkeypatch: pytest.MonkeyPatch, known: str, why: str
) -> None:
    monkeypatch.setattr(questions, "is_interactive", lambda _run: False)
    with pytest.raises(Refused, match=f"LUKS_PASSPHRASE {why}, and this run is unattended"):
        unlock(machine(known), VAULT, lambda _word: False)
