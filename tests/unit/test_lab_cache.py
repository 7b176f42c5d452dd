# SPDX-License-Identifier: GPL-3.0-or-later
"""The cache of the laboratory removes what nobody used for long, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab import cache


def test_old_things_go_and_what_somebody_is_making_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REAR_TEST_CACHE", str(tmp_path))
    keys = [f"{number:016x}" for number in range(5)]
    for key in keys[:4]:
        (tmp_path / f"tree-{key}").mkdir()
        os.utime(tmp_path / f"tree-{key}", (1000 + int(key), 1000 + int(key)))
    for other in (f"tree-{'f' * 16}.new", f"tree-{'e' * 16}.new", f"tree-other-{keys[0]}"):
        (tmp_path / other).mkdir()
        os.utime(tmp_path / other, (0, 0))
    (tmp_path / f"tree-{'e' * 16}.lock").touch()
    with cache.locked(tmp_path / f"tree-{'f' * 16}.lock"):
        made = cache.cached("tree", keys[4], Path.mkdir)
    left = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    assert made.name in left
    assert left == {f"tree-{key}" for key in keys[2:]} | {f"tree-{'f' * 16}.new", f"tree-other-{keys[0]}"}


def test_what_killed_runs_have_left_goes_and_what_others_use_stays(tmp_path: Path) -> None:
    left, new = tmp_path / "rear-held-guest.left", tmp_path / "rear-held-guest.new"
    for folder in (left, new):
        folder.mkdir()
    (left / "disk").touch()
    with cache.scratch("guest", f"{tmp_path}") as used:
        for folder in (left, used):
            os.utime(folder, (0, 0))
        with cache.scratch("guest", f"{tmp_path}") as another:
            assert {*tmp_path.iterdir()} == {new, used, another}
    assert [*tmp_path.iterdir()] == [new]
