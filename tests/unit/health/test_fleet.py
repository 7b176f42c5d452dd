# SPDX-License-Identifier: GPL-3.0-or-later
"""Many machines on one page: whatever their files hold, each is a line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from lab.pages import Page
from rear_core.errors import Refused
from rear_core.health import fleet, forms
from rear_core.health.checks import Check, State

NOW = 1795372300.0
HOUR = 3600


def put(folder: Path, name: str, *checks: Check, age: float = 0) -> None:
    """What a machine printed that many seconds ago."""
    (folder / f"{name}.json").write_text(forms.as_json(checks, name, NOW - age))


def read(folder: Path) -> list[tuple[str, str, str]]:
    """Name, state and text of each machine."""
    return [(found.name, found.state.name, found.text) for found in fleet.read(folder, 26, NOW)]


def test_the_worst_machine_comes_first(tmp_path: Path) -> None:
    put(tmp_path, "alpha", Check("backup", State.OK, "2 hours old"))
    put(tmp_path, "beta", Check("backup", State.WARNING, "3 days old"), Check("media", State.OK, ""))
    put(tmp_path, "delta", Check("backup", State.CRITICAL, "9 days old"), Check("layout", State.UNKNOWN, "busy"))
    put(tmp_path, "gamma", Check("layout", State.UNKNOWN, "busy"))
    assert read(tmp_path) == [
        ("delta", "CRITICAL", "backup: 9 days old; layout: busy"),
        ("beta", "WARNING", "backup: 3 days old"),
        ("gamma", "UNKNOWN", "layout: busy"),
        ("alpha", "OK", "all is well"),
    ]


def test_a_machine_that_is_silent_is_unknown_unless_it_is_worse(tmp_path: Path) -> None:
    put(tmp_path, "silent", Check("backup", State.OK, "fresh"), age=50 * HOUR)
    put(tmp_path, "worse", Check("backup", State.CRITICAL, "none"), age=50 * HOUR)
    put(tmp_path, "ahead", Check("backup", State.OK, "fresh"), age=-30 * HOUR)
    assert read(tmp_path) == [
        ("worse", "CRITICAL", "nothing was heard of it for 50 hours; then: backup: none"),
        ("ahead", "UNKNOWN", "its clock is 30 hours ahead; then: all is well"),
        ("silent", "UNKNOWN", "nothing was heard of it for 50 hours; then: all is well"),
    ]


GOOD = {"version": 1, "host": "a", "time": NOW, "checks": {"backup": {"state": "ok", "text": ""}}}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "empty or broken"),
        ('{"version": 1, "checks": {"bac', "empty or broken"),
        ("[" * 100000, "empty or broken"),
        (b"\xff\xfe", "empty or broken"),
        ("[1]", "no status of rear"),
        ('{"plugins": []}', "no status of rear"),
        (json.dumps({**GOOD, "version": 2}), "newer rear"),
        (json.dumps({**GOOD, "version": True}), "no status of rear"),
        (json.dumps({**GOOD, "checks": {}}), "lacks checks, host or time"),
        (json.dumps({**GOOD, "checks": {"backup": "ok"}}), "the check backup is none"),
        (json.dumps({**GOOD, "time": "today"}), "lacks checks, host or time"),
        (json.dumps({**GOOD, "time": float("inf")}), "lacks checks, host or time"),
        (json.dumps({**GOOD, "checks": {"backup": {"state": "splendid", "text": "?"}}}), "backup: ?"),
        ('{"result": "refused", "status": 2, "error": "OUTPTU is unknown"}', "nobody could look: OUTPTU is unknown"),
    ],
)
def test_a_file_that_tells_nothing_is_a_line(tmp_path: Path, content: str | bytes, told: str) -> None:
    (tmp_path / "a.json").write_bytes(content.encode() if isinstance(content, str) else content)
    os.utime(tmp_path / "a.json", (NOW, NOW))
    ((name, state, text),) = read(tmp_path)
    assert (name, state) == ("a", "UNKNOWN") and told in text


def test_what_is_no_file_is_a_line_and_other_files_are_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "gone.json").symlink_to("nowhere")
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / ".a.json.part").write_text("")
    assert [(name, state) for name, state, _ in read(tmp_path)] == [
        ("folder", "UNKNOWN"), ("gone", "UNKNOWN"), ("pipe", "UNKNOWN"),
    ]  # fmt: skip


def test_a_folder_without_machines_is_not_well(tmp_path: Path) -> None:
    assert [check.state for check in fleet.as_checks([], tmp_path)] == [State.UNKNOWN]
    with pytest.raises(Refused, match="cannot read the folder"):
        fleet.read(tmp_path / "absent", 26, NOW)


def test_the_page_needs_nothing_else_and_runs_nothing(tmp_path: Path) -> None:
    evil = "<img src=x onerror=alert(1)>\"'{{ 7 * 7 }}\x1b[2J\u202e"
    put(tmp_path, "web1", Check(evil, State.CRITICAL, evil))
    (tmp_path / f"{evil.replace('/', '')}\n.json").write_text(forms.as_json([Check("x", State.OK, evil)], evil, NOW))
    (tmp_path / os.fsdecode(b"caf\xe9.json")).write_text('{"error": "\\ud800"}')
    text = fleet.page(fleet.read(tmp_path, 26, NOW), NOW)
    page = Page(text)
    page.check()
    assert len(page.classes("state")) == 4 + 3 + 2
    assert "caf\\xe9" in page.text and page.text.count("{{ 7 * 7 }}") == 7 and "\x1b" not in page.text


def test_words_stand_beside_colors(tmp_path: Path) -> None:
    put(tmp_path, "web1", Check("backup", State.WARNING, "3 days old"))
    put(tmp_path, "web2", Check("backup", State.OK, "fresh"), age=2 * HOUR)
    text = fleet.page(fleet.read(tmp_path, 26, NOW), NOW)
    assert "<summary><strong>warning</strong> <b>web1</b>: backup: 3 days old</summary>" in text
    assert '<details class="state ok">' in text and '<details class="state warning" open>' in text
    assert "It looked at itself 2 hours ago, 2026-11-22 16:31 UTC." in text
