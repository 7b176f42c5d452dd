# SPDX-License-Identifier: GPL-3.0-or-later
"""BACKUP=CDROM: its checks, and the pieces that an archive is cut into."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rear_backup_cdrom
import rear_output_iso
from rear_backup_cdrom import check_media, pieces, rear_rescue_contents
from rear_core import ConfigurationError, RearError, Refused, Run, builtin
from rear_core.archive.volumes import Writer
from rear_core.media.carried import Carried, Room
from rear_core.plugins import Plugins
from rear_core.run import Options
from rear_core.settings import Sources, evaluate, parse
from rear_core.workflow import WORKFLOWS

MIB = 1 << 20


def make_run(tmp_path: Path, config: str = "", workflow: str = "mkbackup", *, output: bool = True) -> Run:
    plugins = Plugins([*builtin.modules(), rear_backup_cdrom, *([rear_output_iso] if output else [])])
    text = f"BACKUP=CDROM\nISO_DIR={tmp_path}/output\nBACKUP_PREFIX=web1\n{config}"
    sources = Sources(assignments=tuple(parse(text, "local.conf")))
    found = evaluate(sources, plugins.settings(), {}, strict=False)
    options = Options(config_dir=tmp_path / "etc")
    return Run(found, plugins, options, build_dir=tmp_path, phases=WORKFLOWS[workflow])


def test_the_iso_output_can_carry_it(tmp_path: Path) -> None:
    check_media(make_run(tmp_path))


def test_an_output_that_cannot_carry_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="OUTPUT=PXE cannot hold a backup, which BACKUP=CDROM") as caught:
        check_media(make_run(tmp_path, "OUTPUT=PXE", output=False))
    assert "OUTPUT=ISO" in caught.value.hint


def test_a_backup_without_media_is_an_error_of_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="creates none") as caught:
        check_media(make_run(tmp_path, workflow="mkbackuponly"))
    assert "rear mkbackup" in caught.value.hint


def test_rescue_media_alone_need_nothing(tmp_path: Path) -> None:
    check_media(make_run(tmp_path, workflow="mkrescue"))


def test_the_rescue_system_can_read_discs(tmp_path: Path) -> None:
    contents = rear_rescue_contents(make_run(tmp_path))
    assert {"mount", "blkid", "tar", "zstd"} <= set(contents.programs)
    assert {"isofs", "sr_mod"} <= set(contents.modules)


def written(directory: Path, room: Room, data: bytes, block: int = MIB) -> Carried:
    """What an archive becomes; it is written in blocks of this size."""
    directory.mkdir()
    target = pieces.Pieces("2026-11-22T183000Z", "backup.tar.zst", room, directory)
    writer = Writer(target)
    for at in range(0, len(data), block):
        writer(memoryview(data)[at : at + block])
    writer.end()
    target.add("coverage.json", "{}\n")
    target.add("manifest.json", '{"x": 1}\n')
    return target.carried("/backup/web1/2026-11-22T183000Z")


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 9000), st.integers(900, 3000), st.integers(900, 3000), st.integers(1, 5000))
def test_pieces_fit_their_media_and_make_up_the_archive(
    tmp_path_factory: pytest.TempPathFactory, size: int, first: int, further: int, block: int
) -> None:
    directory = tmp_path_factory.mktemp("pieces")
    room = Room(directory, first + pieces.SMALL_FILES, further + pieces.SMALL_FILES)
    data = bytes(number % 251 for number in range(size))
    carried = written(directory / "work", room, data, block)
    joined = b""
    for number, files in enumerate(carried.media, start=1):
        part = pieces.part_name("backup.tar.zst", number, len(carried.media))
        file = files[f"/backup/web1/2026-11-22T183000Z/{part}"]
        piece = file.source.read_bytes()
        assert len(piece) <= (first if number == 1 else further)
        assert hashlib.sha256(piece).hexdigest() == file.sha256
        joined += piece
    assert joined == data
    assert len(carried.media) == 1 + max(0, -(-(size - first) // further))


def test_every_disc_has_the_manifest_and_the_first_the_coverage_report(tmp_path: Path) -> None:
    room = Room(tmp_path, pieces.SMALL_FILES + 10, pieces.SMALL_FILES + 10)
    names = [sorted(path.rpartition("/")[2] for path in files)
             for files in written(tmp_path / "work", room, b"x" * 25).media]  # fmt: skip
    assert names == [
        ["backup.tar.zst.01", "coverage.json", "manifest.json"],
        ["backup.tar.zst.02", "manifest.json"],
        ["backup.tar.zst.03", "manifest.json"],
    ]


def test_one_disc_without_a_limit_holds_the_archive_under_its_own_name(tmp_path: Path) -> None:
    (files,) = written(tmp_path / "work", Room(tmp_path), b"x" * 25).media
    assert "/backup/web1/2026-11-22T183000Z/backup.tar.zst" in files
    assert len({file.source for file in files.values()}) == 3


def test_a_backup_that_is_larger_than_the_only_medium_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RearError, match="larger than the medium"):
        written(tmp_path / "work", Room(tmp_path, pieces.SMALL_FILES + 10, 0), b"x" * 25)


@pytest.mark.parametrize("left", ["", "[]", '{"backups": "many"}', '{"backups": -1}', '{"backups": true}'])
def test_backups_are_counted_whatever_is_left_of_the_count(tmp_path: Path, left: str) -> None:
    run = make_run(tmp_path)
    run.recovery_dir.mkdir(parents=True)
    (run.recovery_dir / "discs.json").write_text(left)
    for number in (1, 2, 3):
        with run.undo, pieces.new(run, "backup.tar", "web1") as target:
            assert target.number == number
            # It goes into the backup itself.
            assert json.loads((run.recovery_dir / "discs.json").read_text()) == {"backups": number}


@pytest.mark.parametrize("room", [Room(Path(), 700 * MIB, 700 * MIB), Room(Path())])
def test_too_little_room_is_refused_before_anything_is_made(tmp_path: Path, room: Room) -> None:
    run = make_run(tmp_path)
    found = Room(tmp_path / "not/there/yet", room.first, room.further)
    pieces.check_space(run, found, 10 * MIB)
    with pytest.raises(Refused, match="need at least"):
        pieces.check_space(run, found, 1 << 60)
    assert not found.directory.exists()


def test_a_failed_backup_leaves_no_piece_and_none_of_a_killed_one(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    left = tmp_path / "output" / pieces.FOLDER
    left.mkdir(parents=True)
    (left / "1.piece").touch()
    with pytest.raises(RearError, match="No space left") as caught, run.undo, pieces.new(run, "backup.tar", "web1"):
        assert [path.stat().st_size for path in left.iterdir()] == [0]
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert "make room" in caught.value.hint
    assert list((tmp_path / "output").iterdir()) == []
    assert run.carried is None
