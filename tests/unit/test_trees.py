# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders that users nest as deep as they like end nothing that looks through them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rear_core import trees
from rear_core.archive import sizes
from rear_core.rescue.initramfs import members_of
from rear_core.rescue.secrets import find_secrets
from rear_core.rescue.tree import Tree

LEVELS = 1100


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """A folder with more levels of folders below it than Python has calls, and a file in the last one."""
    top = tmp_path / "deep"
    bottom = os.path.join(top, *"a" * LEVELS)
    subprocess.run(["mkdir", "-p", bottom], check=True)
    Path(bottom, "file").write_text("x" * 5000)
    yield top
    # What Python has to make and to remove folders calls itself.
    subprocess.run(["rm", "-rf", *tmp_path.iterdir()], check=True)


def test_what_is_below_comes_parents_first_and_in_order(tmp_path: Path) -> None:
    for name in ("b/y", "b/x/1", "a", "c/z"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "link").symlink_to("b")
    found = [os.path.relpath(entry.path, tmp_path) for entry in trees.below(os.fspath(tmp_path))]
    assert found == ["a", "b", "b/x", "b/x/1", "b/y", "c", "c/z", "link"]
    some = trees.below(os.fspath(tmp_path), lambda entry: entry.name != "x")
    assert [entry.name for entry in some] == ["a", "b", "y", "c", "z", "link"]
    assert sorted(trees.walk(os.fspath(tmp_path))) == sorted(os.walk(tmp_path))


def test_what_a_walk_is_told_to_leave_out_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "c/d").mkdir(parents=True)
    seen = []
    for folder, folders, _ in trees.walk(os.fspath(tmp_path)):
        seen.append(os.path.relpath(folder, tmp_path))
        folders[:] = [name for name in folders if name != "a"]
    assert seen == [".", "c", "c/d"]


def test_what_a_pattern_leaves_out_is_counted_however_deep(deep: Path) -> None:
    assert sizes.bytes_below(f"{deep}/*/file") >= 4096


def test_what_is_taken_along_may_be_deep(deep: Path, tmp_path: Path) -> None:
    tree = Tree(tmp_path / "root")
    tree.root.mkdir()
    assert [path.name for path in tree.add(deep)] == ["file"]
    names = [member.name for member in members_of(tree.root)]
    assert names[-1].endswith("/a/file")
    assert list(find_secrets(tree.root, {}, ())) == []
