# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies on a disc of others is never waited for, and leads nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rear_backup_cdrom.drives import Disc, Source, read_discs
from rear_core.archive import manifest
from rear_core.archive.repository import read

SOURCE = Source("/dev/sr0", "rom")
PLAIN = manifest.Manifest("2026-11-22T183000Z", "web1", "backup.tar", 4, "ab", "none", 1, 4)


def make_disc(folder: Path) -> Path:
    home = folder / "backup/web1" / PLAIN.created
    home.mkdir(parents=True)
    (home / manifest.NAME).write_text(manifest.dumps(PLAIN))
    (home / PLAIN.archive).write_text("tar.")
    return home


def found(folder: Path) -> list[Disc]:
    return list(read_discs(SOURCE, folder))


def test_a_disc_is_read(tmp_path: Path) -> None:
    home = make_disc(tmp_path)
    assert [(disc.owner, disc.path) for disc in found(tmp_path)] == [("web1", home / PLAIN.archive)]
    assert b"".join(map(bytes, read(home / PLAIN.archive))) == b"tar."


@pytest.mark.parametrize("kind", ["pipe", "endless", "folder"])
def test_what_is_no_manifest_and_no_archive_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    home = make_disc(tmp_path)
    for name in (PLAIN.archive, manifest.NAME):
        path = home / name
        path.unlink()
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        else:
            path.symlink_to("/dev/zero")
        with pytest.raises(OSError):
            list(read(path))
    with pytest.raises(OSError):
        found(tmp_path)


def test_a_link_does_not_lead_off_the_disc(tmp_path: Path) -> None:
    make_disc(tmp_path / "elsewhere")
    (tmp_path / "disc").mkdir()
    (tmp_path / "disc/backup").symlink_to(tmp_path / "elsewhere/backup")
    assert found(tmp_path / "disc") == []
