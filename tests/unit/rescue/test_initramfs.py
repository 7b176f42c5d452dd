# SPDX-License-Identifier: GPL-3.0-or-later
"""Segments are what cpio reads, the same bytes every time, and come from the cache only while they are right."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path

import pytest

from rear_core.errors import ProgramFailed, RearError
from rear_core.rescue.initramfs import (
    DEVICES,
    Member,
    cached_segment,
    choose_compression,
    key_of,
    members_of,
    pack,
    with_parents,
    write_archive,
)
from rear_core.shell import Shell

NEWEST = 1_000_000_000


def sample(folder: Path) -> Path:
    (folder / "usr/bin").mkdir(parents=True)
    (folder / "bin").symlink_to("usr/bin")
    program = folder / "usr/bin/tool"
    program.write_bytes(b"\x7fELF...")
    program.chmod(0o4755)
    (folder / "empty").touch()
    return folder


def test_cpio_reads_the_archive(tmp_path: Path) -> None:
    tree = sample(tmp_path / "tree")
    archive = io.BytesIO()
    write_archive(archive, members_of(tree), NEWEST)
    (tmp_path / "archive").write_bytes(archive.getvalue())
    (tmp_path / "out").mkdir()
    with (tmp_path / "archive").open("rb") as file:
        Shell().run("cpio", "--extract", "--quiet", "--preserve-modification-time", stdin=file, cwd=tmp_path / "out")
    out = tmp_path / "out"
    assert (out / "bin").readlink() == Path("usr/bin")
    assert (out / "usr/bin/tool").read_bytes() == b"\x7fELF..."
    assert (out / "usr/bin/tool").stat().st_mode & 0o7777 == 0o4755
    assert (out / "usr/bin/tool").stat().st_mtime == NEWEST
    assert (out / "empty").stat().st_size == 0


def test_devices_have_their_numbers() -> None:
    archive = io.BytesIO()
    write_archive(archive, DEVICES, NEWEST)
    console = archive.getvalue()[:110]
    assert console[:6] == b"070701"
    assert int(console[14:22], 16) == stat.S_IFCHR | 0o600
    assert (int(console[78:86], 16), int(console[86:94], 16)) == (5, 1)


def test_the_same_tree_gives_the_same_bytes_whenever_it_was_made(tmp_path: Path) -> None:
    archives = []
    for name, time in (("a", 1_500_000_000), ("b", 1_600_000_000)):
        tree = sample(tmp_path / name)
        os.utime(tree / "usr/bin/tool", (time, time))
        pack(Shell(), members_of(tree), tmp_path / f"{name}.packed", "gzip", NEWEST)
        archives.append((tmp_path / f"{name}.packed").read_bytes())
    assert archives[0] == archives[1]


def test_parents_of_members_are_added_once() -> None:
    members = with_parents([Member("usr/lib/a", stat.S_IFREG), Member("usr/lib/b", stat.S_IFREG)])
    assert [member.name for member in members] == ["usr", "usr/lib", "usr/lib/a", "usr/lib/b"]


def test_a_failing_source_leaves_no_segment(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        pack(Shell(), [Member("gone", stat.S_IFREG, source="/nonexistent")], tmp_path / "segment", "gzip", NEWEST)
    assert not (tmp_path / "segment").exists()


def test_a_failing_compressor_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rear_core.rescue.initramfs.COMPRESSORS", {"gzip": ("false",)})
    members = [Member(f"file{number}", stat.S_IFREG, content=bytes(100_000)) for number in range(20)]
    with pytest.raises(ProgramFailed, match="false failed"):
        pack(Shell(), members, tmp_path / "segment", "gzip", NEWEST)


def test_the_cache_is_used_until_an_input_changes_or_the_segment_is_damaged(tmp_path: Path) -> None:
    made = []

    def make(target: Path) -> None:
        made.append(target)
        target.write_bytes(b"segment")

    module = tmp_path / "module.ko"
    module.write_text("1")
    cache = tmp_path / "cache"
    key = key_of([module], "zstd")
    segment = cached_segment(cache, "modules", key, make)
    assert cached_segment(cache, "modules", key_of([module], "zstd"), make) == segment
    assert len(made) == 1

    segment.write_bytes(b"damaged")
    cached_segment(cache, "modules", key, make)
    assert segment.read_bytes() == b"segment"
    assert len(made) == 2

    module.write_text("22")
    assert key_of([module], "zstd") != key
    assert key_of([module], "xz") != key_of([module], "zstd")
    assert cache.stat().st_mode & 0o777 == 0o700


def test_old_segments_are_removed(tmp_path: Path) -> None:
    for number in range(6):
        segment = cached_segment(tmp_path, "modules", str(number), lambda target: target.write_bytes(b"x"))
        os.utime(segment, (number, number))
    assert sorted(path.name for path in tmp_path.glob("*.cpio")) == [
        "modules-3.cpio", "modules-4.cpio", "modules-5.cpio",
    ]  # fmt: skip
    assert len(list(tmp_path.glob("*.sha256"))) == 3


def test_the_segment_just_made_stays_whatever_the_clock_said_before(tmp_path: Path) -> None:
    for number in range(5):
        segment = cached_segment(tmp_path, "modules", str(number), lambda target: target.write_bytes(b"x"))
        assert segment.exists()
        os.utime(segment, (4_000_000_000, 4_000_000_000))
    assert len(list(tmp_path.glob("*.cpio"))) == 3


def test_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "modules-0.cpio.part").touch()
    cached_segment(tmp_path, "modules", "1", lambda target: target.write_bytes(b"x"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["modules-1.cpio", "modules-1.sha256"]


def test_compression_is_the_best_that_kernel_and_machine_know() -> None:
    config = {"CONFIG_RD_XZ": "y", "CONFIG_RD_GZIP": "y"}
    assert choose_compression({**config, "CONFIG_RD_ZSTD": "y"}, "", lambda _: True) == "zstd"
    assert choose_compression(config, "", lambda _: True) == "xz"
    assert choose_compression(config, "", lambda name: name == "gzip") == "gzip"
    assert choose_compression({}, "", lambda _: True) == "gzip"
    with pytest.raises(RearError, match="cannot unpack"):
        choose_compression(config, "zstd", lambda _: True)
