# SPDX-License-Identifier: GPL-3.0-or-later
"""A generation is there when it is complete, the previous one until then; a date chooses among them."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest

from rear_core.archive import generations, manifest
from rear_core.errors import ConfigurationError, Refused

NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=timezone.utc)


def make(home: Path, *names: str) -> None:
    for name in names:
        (home / name).mkdir(parents=True)
        (home / name / manifest.NAME).touch()


def test_it_appears_in_the_end_and_for_its_owner_alone(tmp_path: Path) -> None:
    home = tmp_path / "web1"
    with generations.new(home, NOON) as (partial, name):
        assert generations.names(home) == []
        generations.write(partial / "x", "text")
    assert generations.names(home) == [name] == ["2026-11-22T120000Z"]
    assert (home / name / "x").read_text() == "text"
    assert (home / name / "x").stat().st_mode & 0o777 == 0o600
    assert {path.stat().st_mode & 0o777 for path in (home, home / name)} == {0o700}


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_after_an_error_nothing_of_it_is_left(tmp_path: Path, error: type[BaseException]) -> None:
    make(tmp_path, "2026-11-21T120000Z")
    with pytest.raises(error), generations.new(tmp_path, NOON) as (partial, _):
        generations.write(partial / "x", "text")
        raise error
    assert [path.name for path in tmp_path.iterdir()] == ["2026-11-21T120000Z"]


def test_what_a_killed_run_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    make(tmp_path, "2026-11-21T120000Z.partial", "notes.partial", "2026-11-20T120000Z")
    with generations.new(tmp_path, NOON):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "2026-11-20T120000Z", "2026-11-22T120000Z", "notes.partial",
    ]  # fmt: skip


def test_the_newest_by_name_is_the_one_made_last_also_when_the_clock_was_set_back(tmp_path: Path) -> None:
    for _ in range(3):
        with generations.new(tmp_path, NOON):
            pass
    with generations.new(tmp_path, NOON.replace(hour=3)):
        pass
    assert generations.names(tmp_path) == [f"2026-11-22T12000{second}Z" for second in range(4)]


def test_the_oldest_are_pruned_but_never_the_one_just_made(tmp_path: Path) -> None:
    make(tmp_path, "2026-11-19T120000Z", "2026-11-20T120000Z", "2026-11-21T120000Z", "2019-01-01T000000Z")
    (tmp_path / "2026-11-01T000000Z").mkdir()
    assert generations.prune(tmp_path, 2, "2019-01-01T000000Z") == (["2026-11-19T120000Z", "2026-11-20T120000Z"], [])
    assert generations.names(tmp_path) == ["2019-01-01T000000Z", "2026-11-01T000000Z", "2026-11-21T120000Z"]


@pytest.mark.parametrize(
    ("date", "chosen"),
    [
        ("", "2026-11-22T183000Z"),
        ("2026-11-22", "2026-11-22T183000Z"),
        ("2026-11-22T12", "2026-11-22T060000Z"),
        ("2026-11-22 18:30", "2026-11-22T183000Z"),
        ("2026-11-22T182959Z", "2026-11-22T060000Z"),
        ("2026-11-21", "2026-11-20T120000Z"),
        ("2027", "2026-11-22T183000Z"),
    ],
)
def test_the_newest_of_a_date_or_before_is_chosen(tmp_path: Path, date: str, chosen: str) -> None:
    make(tmp_path, "2026-11-20T120000Z", "2026-11-22T060000Z", "2026-11-22T183000Z")
    assert generations.choose(generations.names(tmp_path), date, "there") == chosen


def test_a_date_before_all_names_those_there_are(tmp_path: Path) -> None:
    make(tmp_path, "2026-11-20T120000Z")
    with pytest.raises(Refused, match="as old as 2026-11-19") as caught:
        generations.choose(generations.names(tmp_path), "2026-11-19", "there")
    assert "2026-11-20T120000Z" in caught.value.hint


def test_what_is_no_date_is_a_configuration_error(tmp_path: Path) -> None:
    make(tmp_path, "2026-11-20T120000Z")
    with pytest.raises(ConfigurationError, match="yesterday"):
        generations.choose(generations.names(tmp_path), "yesterday", "there")


def test_without_a_backup_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no backup"):
        generations.choose(generations.names(tmp_path / "none"), "", "there")
