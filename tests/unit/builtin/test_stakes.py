# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of disks and backups when the media are made."""

from __future__ import annotations

from pathlib import Path

import pytest

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
