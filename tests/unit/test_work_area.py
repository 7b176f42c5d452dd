# SPDX-License-Identifier: GPL-3.0-or-later
"""One run at a time, in a work area of its own that does not outlive it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from rear_core import work_area
from rear_core.errors import Refused
from rear_core.report import Report
from rear_core.shell import Shell

KILLED = """
import os, sys
from contextlib import ExitStack
from pathlib import Path
from rear_core import work_area
from rear_core.report import Report
from rear_core.shell import Shell
work_area.make(Path(sys.argv[1]), ExitStack(), keep=False, sh=Shell(), report=Report())
os.kill(os.getpid(), 9)
"""


def make(parent: Path, undo: ExitStack, keep: bool = False) -> Path:
    return work_area.make(parent, undo, keep=keep, sh=Shell(), report=Report())


def dead_pid() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_a_work_area_is_private_and_removed_at_the_end(tmp_path: Path) -> None:
    with ExitStack() as undo:
        path = make(tmp_path, undo)
        assert path == tmp_path / f"rear.{os.getpid()}"
        assert path.stat().st_mode & 0o777 == 0o700
        (path / "rootfs").mkdir()
    assert not path.exists()


def test_a_work_area_that_is_kept_is_not_taken_for_a_remnant(tmp_path: Path) -> None:
    with ExitStack() as undo:
        path = make(tmp_path, undo, keep=True)
    assert path.exists()
    kept = path.rename(tmp_path / f"rear.{dead_pid()}")
    with ExitStack() as undo:
        make(tmp_path, undo)
    assert kept.exists()


def test_the_remnant_of_a_killed_run_is_removed(tmp_path: Path) -> None:
    assert subprocess.run([sys.executable, "-c", KILLED, tmp_path]).returncode == -signal.SIGKILL
    (killed,) = tmp_path.glob("rear.*")
    with ExitStack() as next_run:
        make(tmp_path, next_run)
        assert not killed.exists()


def test_the_work_area_of_a_run_that_lives_elsewhere_stays(tmp_path: Path) -> None:
    """One in a container has a number that means nothing here."""
    contained = ExitStack()
    other = make(tmp_path, contained).rename(tmp_path / f"rear.{dead_pid()}")
    with ExitStack() as undo:
        make(tmp_path, undo)
    assert other.exists()
    contained.pop_all()


@pytest.mark.parametrize("kind", ["folder", "link", "link to marked folder"])
def test_what_is_not_a_remnant_of_ours_is_left_alone(tmp_path: Path, kind: str) -> None:
    strange = tmp_path / f"rear.{dead_pid()}"
    precious = tmp_path / "precious"
    precious.mkdir()
    if kind == "folder":
        strange.mkdir()
    else:
        strange.symlink_to(precious)
    if kind == "link to marked folder":
        (precious / work_area.MARK).touch()
    with ExitStack() as undo:
        make(tmp_path, undo)
    assert strange.exists()
    assert precious.exists()


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_something_in_the_place_of_the_work_area_is_not_used_and_stops_nobody(tmp_path: Path, kind: str) -> None:
    taken = tmp_path / f"rear.{os.getpid()}"
    if kind == "link":
        taken.symlink_to(tmp_path)
    else:
        taken.mkdir() if kind == "folder" else taken.touch()
    with ExitStack() as undo:
        path = make(tmp_path, undo)
        assert path.parent == tmp_path
        assert path.name.startswith(f"{taken.name}.")
        assert path.stat().st_mode & 0o777 == 0o700
    assert list(tmp_path.iterdir()) == [taken]


def test_the_remnant_of_a_killed_run_is_removed_also_under_its_other_name(tmp_path: Path) -> None:
    killed = tmp_path / f"rear.{dead_pid()}.a_b1c2d3"
    killed.mkdir()
    (killed / work_area.MARK).touch()
    unmarked = tmp_path / f"rear.{dead_pid()}.b_b1c2d3"
    unmarked.mkdir()
    with ExitStack() as undo:
        make(tmp_path, undo)
    assert not killed.exists()
    assert unmarked.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("whose", ["folder", "mark"])
def test_what_another_user_has_marked_is_no_remnant(tmp_path: Path, whose: str) -> None:
    strange = tmp_path / f"rear.{dead_pid()}"
    strange.mkdir()
    (strange / work_area.MARK).touch()
    os.chown(strange if whose == "folder" else strange / work_area.MARK, 12345, 12345)
    with ExitStack() as undo:
        make(tmp_path, undo)
    assert strange.exists()


def test_a_second_run_is_told_who_holds_the_lock(tmp_path: Path) -> None:
    with ExitStack() as first:
        work_area.lock(tmp_path, first, "mkrescue")
        with ExitStack() as second, pytest.raises(Refused, match=rf"process {os.getpid()}, rear mkrescue"):
            work_area.lock(tmp_path, second, "mkrescue")
    with ExitStack() as third:
        work_area.lock(tmp_path, third, "savelayout")


def test_without_a_work_area_nothing_has_begun(tmp_path: Path) -> None:
    """A rehearsal that cannot begin has not failed, and ends with 3."""
    with ExitStack() as undo, pytest.raises(Refused, match="cannot create the work area"):
        make(tmp_path / "none", undo)
    (tmp_path / "lock").mkdir()
    with ExitStack() as undo, pytest.raises(Refused, match="cannot open the lock"):
        work_area.lock(tmp_path, undo, "drill")
