# SPDX-License-Identifier: GPL-3.0-or-later
"""A small file takes the place of the one before as a whole, or not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from rear_core.durable import write, write_until_failure
from rear_core.errors import RearError


@pytest.fixture
def open_mask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def test_a_file_belongs_to_its_owner_alone_with_the_folders_that_were_missing(tmp_path: Path, open_mask: None) -> None:
    path = tmp_path / "etc/recovery/layout.json"
    write(path, "größer\n")
    assert path.read_text(encoding="utf-8") == "größer\n"
    assert [stat.S_IMODE(place.stat().st_mode) for place in (path, path.parent)] == [0o600, 0o700]


def test_what_was_there_stays_when_the_new_one_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "usage.json"
    write(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write(path, "new \udc80")
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["usage.json"]


def test_what_a_killed_run_left_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / ".usage.json.part").write_text("half")
    write(tmp_path / "usage.json", "whole")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("usage.json", "whole")]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RearError, match=f"cannot write {tmp_path}/file/layout.json"):
        write(tmp_path / "file/layout.json", "{}")


@pytest.mark.parametrize("before", [None, "old"])
def test_a_run_that_fails_puts_back_what_was_there(tmp_path: Path, before: str | None) -> None:
    path = tmp_path / "file"
    if before:
        path.write_text(before)
    for error in (RearError("failed"), KeyboardInterrupt()):
        with pytest.raises(type(error)), ExitStack() as undo:
            write_until_failure(path, "new", undo)
            assert path.read_text() == "new"
            raise error
        assert (path.read_text() if path.exists() else None) == before
    with ExitStack() as undo:
        write_until_failure(path, "new", undo)
    assert path.read_text() == "new"
