# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings written in the syntax they are read in."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rear_core.settings import Setting, Sources, dump_lines, evaluate, parse, quote, render

LARGEST = 10**18 - 1
TEXTS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"))

GROUPS = {
    "rear-core": [
        Setting("OUTPUT", default="ISO", choices=("ISO", "USB"), help="Kind of media. " + "Long. " * 40),
        Setting("MODULES", list, default=["a b", "it's", "$x"], aliases=("MODS",), help="Two\nparagraphs."),
        Setting("TMPDIR", default="/tmp", environment=True),
    ],
    "rear-output-x": [
        Setting("X_PASSWORD", secret=True),
        Setting("X_SIZE", int, default=5),
        Setting("X_ON", bool),
    ],
}
DECLARED = [setting for settings in GROUPS.values() for setting in settings]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("", '""'),
        ("nfs://server/path", "nfs://server/path"),
        ("two words", "'two words'"),
        ("$HOME", "'$HOME'"),
        ("it's $5", '"it\'s \\$5"'),
        ("a\n\tb\x1b'\\", r"$'a\n\tb\u001b\'\\'"),
        (True, "yes"),
        (False, "no"),
        (5, "5"),
        ((), "()"),
        (("a", "b c", ""), "( a 'b c' \"\" )"),
    ],
)
def test_values_are_written_the_simplest_way(value: str | int | tuple[str, ...], written: str) -> None:
    assert quote(value) == written


@given(TEXTS | st.lists(TEXTS).map(tuple) | st.integers(-LARGEST, LARGEST) | st.booleans())
def test_a_quoted_value_reads_back_the_same(value: str | int | tuple[str, ...]) -> None:
    setting = Setting("A", list if isinstance(value, tuple) else type(value))
    text = f"A={quote(value)}\n"
    assert text.count("\n") == 1
    assert evaluate(Sources(assignments=tuple(parse(text, "f"))), [setting], {})["A"] == value


def test_characters_that_no_file_can_hold_are_refused() -> None:
    with pytest.raises(ValueError, match=r"U\+0000"):
        quote("a\0")


def test_the_default_configuration_assigns_nothing() -> None:
    assert parse(render(GROUPS), "default.conf") == []


def test_the_default_configuration_without_its_comment_signs_gives_the_defaults() -> None:
    text = re.sub(r"^#(?=\S)", "", render(GROUPS), flags=re.MULTILINE)
    assert [assignment.name for assignment in parse(text, "f")] == [setting.name for setting in DECLARED]
    settings = evaluate(Sources(assignments=tuple(parse(text, "f"))), DECLARED, {})
    assert dict(settings) == {setting.name: setting.default for setting in DECLARED}


def test_the_default_configuration_explains_every_setting() -> None:
    text = render(GROUPS)
    assert "# ---- rear-output-x ----" in text
    assert "# Type: text. Choices: ISO, USB.\n#OUTPUT=ISO\n" in text
    assert "# Two\n# paragraphs.\n# Type: list of words. Other names for it: MODS.\n" in text
    assert "The environment variable of this name takes precedence." in text
    assert max(len(line) for line in text.splitlines()) <= 110


def test_a_dump_holds_what_differs_from_the_defaults_and_no_secrets() -> None:
    text = "OUTPUT=USB X_PASSWORD=hunter2 X_SIZE=5 MODULES+=( 'c d' )"
    settings = evaluate(Sources(assignments=tuple(parse(text, "f"))), DECLARED, {})
    lines = dump_lines(settings)
    assert lines == ["OUTPUT=USB", "MODULES=( 'a b' \"it's\" '$x' 'c d' )"]
    assert dump_lines(settings, secrets=True) == [*lines, "X_PASSWORD=hunter2"]
