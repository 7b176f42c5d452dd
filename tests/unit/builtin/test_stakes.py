# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of disks and backups when the media are made."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rear_core.builtin import stakes
from rear_core.builtin.stakes import emptied_by


@pytest.mark.parametrize(
    ("patterns", "used"),
    [
        (["/a*"], set()),
        (["/a*", "/[b-z]*"], {"/a*", "/[b-z]*"}),
        (["/a*", "/folder/*"], {"/a*", "/folder/*"}),
        (["/folder"], set()),
        (["/nothing*"], set()),
    ],
)
def test_patterns_that_leave_no_file_are_known(tmp_path: Path, patterns: list[str], used: set[str]) -> None:
    (tmp_path / "folder/deep").mkdir(parents=True)
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "a-file").touch()
    (tmp_path / "folder/deep/file").touch()
    assert emptied_by(f"{tmp_path}", [f"{tmp_path}{pattern}" for pattern in patterns]) == {
        f"{tmp_path}{pattern}" for pattern in used
    }


def test_a_file_system_that_is_empty_is_emptied_by_nothing(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    assert emptied_by(f"{tmp_path}", ["/*"]) == set()


def test_a_link_to_a_folder_is_saved_as_a_file_is(tmp_path: Path) -> None:
    (tmp_path / "a-file").touch()
    (tmp_path / "link").symlink_to("/usr")
    assert emptied_by(f"{tmp_path}", [f"{tmp_path}/a*"]) == set()


def test_what_is_mounted_below_is_not_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is gone would hold up whoever asks, for ever."""
    (tmp_path / "a-file").touch()
    (tmp_path / "gone/server").mkdir(parents=True)
    place = f"{tmp_path}/gone/server"
    monkeypatch.setattr(stakes, "mount_points", lambda: [SimpleNamespace(target=place)])
    asked: list[str] = []
    scan = os.scandir

    def noted(path: str) -> Any:
        asked.append(path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", noted)
    assert emptied_by(f"{tmp_path}", [f"{tmp_path}/a*", f"{tmp_path}/gone"]) == {f"{tmp_path}/a*"}
    assert emptied_by(f"{tmp_path}", [f"{tmp_path}/a*"]) == {f"{tmp_path}/a*"}
    assert place not in asked and f"{tmp_path}/gone" in asked
