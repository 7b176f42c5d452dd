# SPDX-License-Identifier: GPL-3.0-or-later
"""The script of a plan runs what the plan says and nothing else, whatever the names and labels on the disks are."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from lab.plan_script import expected, run_by_bash
from rear_core.storage.command import Command, Site
from rear_core.storage.layout import Layout
from rear_core.storage.plan import Plan
from rear_core.storage.script import script

PARTS = (
    "\n", "END", "END1", "\r", "\t", "\x1b[2K", "\x85", "\u2028", "\u202e", "\xe9", "\udce9", "'", '"', "\\",
    "$(id>PWN)", "`id>PWN`", "id>PWN #", "#", " ", "x", "7f", "$'", "!",
)  # fmt: skip
TEXTS = st.lists(st.sampled_from(PARTS), max_size=6).map("".join)
LABEL, NAME = "x\nid>PWN #", "a\nEND\nid>PWN4 #\n"


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(TEXTS, min_size=5, max_size=5), min_size=1, max_size=3), TEXTS)
@example([[LABEL, LABEL, LABEL, NAME, LABEL]], LABEL)
@example([["x", "x", "x", 'name="a\nEND\nid>PWN4 #"\n', "x"]], "x")
@example([["x", "x", "x", "END\nEND1\n", "x"]], "x")
def test_no_text_becomes_a_line_of_the_script(texts: list[list[str]], note: str) -> None:
    commands = tuple(
        Command(("make", word, "/dev/x"), reason, destroys, given, devices=(f"/dev/{device}",))
        for word, reason, destroys, given, device in texts
    )
    made = Plan(Site(Layout(), {}), {}, commands, commands, commands, {"later": commands}, notes=(note,))
    assert run_by_bash(script(made, [note])) == expected(made)


def test_a_passphrase_is_asked_for_by_a_name_that_is_only_a_name() -> None:
    made = Plan(Site(Layout(), {}), {}, build=(Command(("open", "/dev/x"), "open it", passphrase="a\nid>PWN #"),))
    lines = script(made).splitlines()
    assert "passphrase $'a\\nid>PWN #' | open /dev/x" in lines
    assert not [line for line in lines if line.startswith("id>PWN")]
