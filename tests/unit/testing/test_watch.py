# SPDX-License-Identifier: GPL-3.0-or-later
"""What is changed is seen, what is put back is not held against anybody."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rear_core.testing.watch import changes, differences, picture


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "old").write_text("old")
    (tmp_path / "work").mkdir()
    return tmp_path


CHANGES: dict[str, Callable[[Path], object]] = {
    "written": lambda folder: (folder / "old").write_text("new"),
    "removed": lambda folder: (folder / "old").unlink(),
    "renamed": lambda folder: (folder / "old").rename(folder / "new"),
    "given another mode": lambda folder: (folder / "old").chmod(0o600),
    "given another time": lambda folder: os.utime(folder / "old", (1, 1)),
    "made": lambda folder: (folder / "new").touch(),
    "made a folder": lambda folder: (folder / "new").mkdir(),
    "linked": lambda folder: (folder / "new").symlink_to("old"),
    "truncated": lambda folder: os.truncate(folder / "old", 1),
}


@pytest.mark.parametrize("how", CHANGES)
def test_a_change_is_seen(folder: Path, how: str) -> None:
    before = picture(folder)
    with changes([folder / "work"]) as found:
        CHANGES[how](folder)
    assert len(found) in (1, 2)
    assert str(folder) in found[0]
    assert differences(before, picture(folder))


def test_looking_and_a_probe_that_is_gone_are_no_changes(folder: Path) -> None:
    before = picture(folder)
    with changes([folder / "work"]) as found:
        (folder / "old").read_text()
        (folder / "probe").write_text("x")
        (folder / "probe").unlink()
        (folder / "work").mkdir(exist_ok=True)
        (folder / "work/file").touch()
        with open(os.devnull, "w") as null:
            null.write("x")
    assert found == []
    assert differences(before, picture(folder, [folder / "work"])) == ["work: " + before["work"] + " -> gone"]


def test_what_nobody_watches_is_not_noted(folder: Path) -> None:
    with changes([]) as found:
        pass
    (folder / "old").write_text("new")
    assert found == []
