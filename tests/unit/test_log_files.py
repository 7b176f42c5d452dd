# SPDX-License-Identifier: GPL-3.0-or-later
"""Logs lie in a folder of root's own, some of each command; what others put anywhere is not followed or in the way."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from rear_core import log_files
from rear_core.errors import Refused


def test_of_each_command_the_newest_logs_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.mkdir(mode=0o755)
    others = ("2026-11-01T000000Z-mkrescue.log", "recovery-2026-11-01T000000Z.log", "2026-11-01.log", "x")
    for name in (*(f"2026-11-0{day}T000000Z-mkbackup.log" for day in range(1, 6)), *others):
        (folder / name).write_text(name)
    new = log_files.new("mkbackup", 2, folder)
    assert not new.exists() and new.name.endswith("Z-mkbackup.log")
    assert sorted(path.name for path in folder.iterdir()) == sorted(["2026-11-05T000000Z-mkbackup.log", *others])
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("keep", range(1, 11))
def test_no_log_goes_before_as_many_are_there_as_are_kept(tmp_path: Path, keep: int) -> None:
    for run in range(1, 13):
        log_files.new("mkbackup", keep, tmp_path).touch()
        assert len([*tmp_path.iterdir()]) == min(run, keep)


def test_the_log_of_the_run_before_stays_whatever_the_clock_said(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    for day in (1, 2):
        (folder / f"2099-01-0{day}T000000Z-mkbackup.log").touch()
    made = []
    for _ in range(3):
        made.append(log_files.new("mkbackup", 2, folder))
        made[-1].touch()
    assert len(set(made)) == 3
    assert sorted(folder.iterdir()) == sorted(made[1:])


@pytest.mark.parametrize("kind", ["link", "link to nowhere", "file"])
def test_what_is_no_folder_is_refused(tmp_path: Path, kind: str) -> None:
    (tmp_path / "theirs").mkdir()
    if kind == "file":
        (tmp_path / "log").touch()
    else:
        (tmp_path / "log").symlink_to(tmp_path / ("theirs" if kind == "link" else "nowhere"))
    with pytest.raises(Refused, match="is no folder, or belongs to someone else") as refused:
        log_files.new("mkbackup", 2, tmp_path / "log")
    assert "LOGFILE" in refused.value.hint


def test_an_old_log_that_cannot_be_removed_ends_no_run(tmp_path: Path) -> None:
    """As where the administrator lets logs be appended to alone; here it is a folder."""
    names = [f"2026-11-0{day}T000000Z-mkbackup.log" for day in (1, 2, 3)]
    (tmp_path / names[0]).mkdir()
    for name in names[1:]:
        (tmp_path / name).touch()
    log_files.new("mkbackup", 2, tmp_path).touch()
    assert (tmp_path / names[0]).exists() and (tmp_path / names[2]).exists() and not (tmp_path / names[1]).exists()


@pytest.mark.parametrize("there", ["nothing", "our link", "our file"])
def test_the_link_leads_to_the_newest_log(tmp_path: Path, there: str) -> None:
    log, place, victim = tmp_path / "new.log", tmp_path / "rear-box.log", tmp_path / "victim"
    victim.write_text("precious")
    if there == "our link":
        place.symlink_to(victim)
    elif there == "our file":
        place.write_text("a log of before")
    log_files.link(log, place)
    assert Path(os.readlink(place)) == log
    assert victim.read_text() == "precious"
    assert {path.name for path in tmp_path.iterdir()} == {"rear-box.log", "victim"}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("there", ["file", "link", "folder", "pipe"])
def test_what_somebody_else_has_put_there_stays_and_is_not_in_the_way(tmp_path: Path, there: str) -> None:
    place, victim = tmp_path / "rear-box.log", tmp_path / "victim"
    victim.write_text("precious")
    if there == "link":
        place.symlink_to(victim)
    elif there == "pipe":
        os.mkfifo(place)
    else:
        place.mkdir() if there == "folder" else place.write_text("theirs")
    os.lchown(place, 65534, 65534)
    before = place.lstat()
    log_files.link(tmp_path / "new.log", place)
    assert (place.lstat().st_ino, place.lstat().st_mtime) == (before.st_ino, before.st_mtime)
    assert victim.read_text() == "precious"


def test_the_system_log_gets_a_line_that_nobody_can_forge(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(os.fspath(tmp_path / "log"))
        log_files.tell_system("mkbackup failed: no disk\n<13>rear[1]: done", failed=True, place=tmp_path / "log")
        log_files.tell_system("mkbackup: done", failed=False, place=tmp_path / "log")
        first, second = (journal.recv(1000).decode() for _ in range(2))
    assert first == f"<11>rear[{os.getpid()}]: mkbackup failed: no disk\\n<13>rear[1]: done"
    assert second == f"<14>rear[{os.getpid()}]: mkbackup: done"


def test_without_a_system_log_nothing_happens(tmp_path: Path) -> None:
    log_files.tell_system("mkbackup: done", failed=False, place=tmp_path / "log")
