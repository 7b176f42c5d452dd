# SPDX-License-Identifier: GPL-3.0-or-later
"""Finished files are put in their place at once, with their checksum."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from rear_core.errors import Interrupted, RearError
from rear_core.interruption import interruptible
from rear_core.places.delivery import Extent, beside, checksum, is_same, old, put_all_in_place, put_in_place, sums_of
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


@pytest.mark.parametrize("keep_old", [False, True])
@pytest.mark.parametrize("names", [("rear.iso",), ("kernel", "initrd")], ids=["one file", "two files"])
def test_a_signal_at_any_moment_leaves_no_medium_without_its_checksums(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...], keep_old: bool
) -> None:
    """It comes after each call that changes a name, once after the other."""
    medium = tmp_path / "rear"
    replace, calls, moment = Path.replace, 0, 0

    def interrupted(path: Path, to: Path) -> Path:
        nonlocal calls
        calls += 1
        done = replace(path, to)
        if calls == moment:
            os.kill(os.getpid(), signal.SIGINT)
        return done

    monkeypatch.setattr(Path, "replace", interrupted)
    while calls >= moment:
        moment += 1
        for path in tmp_path.iterdir():
            path.unlink()
        for generation in ("first", "second", "third"):
            sums = {}
            for name in names:
                beside(tmp_path / name).write_text(generation)
                sums[tmp_path / name] = checksum(beside(tmp_path / name))
            calls = 0 if generation == "third" else -1000
            with ExitStack() as undo, suppress(Interrupted), interruptible(undo):
                put_all_in_place(sums, medium, keep_old=keep_old)
        media = [medium, old(medium)] if keep_old else [medium]
        for one in media:
            check = ["sha256sum", "--check", "--status", sums_of(one).name]
            assert subprocess.run(check, cwd=tmp_path).returncode == 0, (moment, one)
        assert len(list(tmp_path.iterdir())) == (len(names) + 1) * len(media), moment
    assert moment > 1
