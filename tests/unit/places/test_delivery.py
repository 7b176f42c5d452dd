# SPDX-License-Identifier: GPL-3.0-or-later
"""Finished files are put in their place at once, with their checksum."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from rear_core.errors import RearError
from rear_core.places.delivery import Extent, beside, checksum, is_same, put_in_place
from rear_core.places.folder import Folder
from rear_core.places.place import publish
from rear_core.shell import Shell


def test_checksums_are_those_of_sha256sum(tmp_path: Path) -> None:
    part = tmp_path / ".a.iso.part"
    part.write_bytes(b"new")
    put_in_place(tmp_path / "a.iso", checksum(part))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.iso", "a.iso.sha256"]
    checked = Shell().run("sha256sum", "--check", "--strict", "a.iso.sha256", cwd=tmp_path)
    assert checked.stdout == "a.iso: OK\n"


def test_extents_are_compared_one_after_the_other(tmp_path: Path) -> None:
    file, source = tmp_path / "file", tmp_path / "source"
    file.write_bytes(b"..abc....def.")
    source.write_bytes(b"abcdef")
    assert is_same(file, [Extent(2, 3), Extent(9, 3)], source)
    assert not is_same(file, [Extent(2, 3), Extent(8, 3)], source)
    assert not is_same(file, [Extent(2, 3)], source)
    assert not is_same(file, [Extent(2, 3), Extent(9, 3), Extent(0, 1)], source)


def test_an_extent_beyond_the_end_is_not_the_same(tmp_path: Path) -> None:
    file, source = tmp_path / "file", tmp_path / "source"
    file.write_bytes(b"abc")
    source.write_bytes(b"cde")
    assert not is_same(file, [Extent(2, 3)], source)


def test_a_copy_replaces_an_older_one_and_is_private(tmp_path: Path) -> None:
    source = tmp_path / "a.iso"
    source.write_bytes(b"new" * 1000)
    target = tmp_path / "deep/er"
    target.mkdir(parents=True)
    (target / "a.iso").write_bytes(b"old")
    beside(target / "a.iso").write_bytes(b"left by a killed run")
    publish(Folder(target), source, checksum(source))
    assert (target / "a.iso").read_bytes() == source.read_bytes()
    assert stat.S_IMODE((target / "a.iso").stat().st_mode) == 0o600
    assert sorted(path.name for path in target.iterdir()) == ["a.iso", "a.iso.sha256"]


def test_a_copy_that_differs_leaves_the_older_one(tmp_path: Path) -> None:
    source, target = tmp_path / "a.iso", tmp_path / "target"
    source.write_bytes(b"new")
    target.mkdir()
    (target / "a.iso").write_bytes(b"old")
    with pytest.raises(RearError, match="differs"):
        publish(Folder(target), source, checksum(target / "a.iso"))
    assert [path.name for path in target.iterdir()] == ["a.iso"]
    assert (target / "a.iso").read_bytes() == b"old"


def test_a_target_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    source = tmp_path / "a.iso"
    source.write_bytes(b"new")
    (tmp_path / "file").touch()
    with pytest.raises(RearError, match="Not a directory"):
        publish(Folder(tmp_path / "file/below"), source, "")
