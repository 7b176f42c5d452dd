# SPDX-License-Identifier: GPL-3.0-or-later
"""A file is read back while it is written: what its disk holds is known, and not what was sent to it."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rear_core.archive import read_back
from rear_core.archive.read_back import ReadBack
from rear_core.archive.volumes import CHUNK, Checksum, Volume

DATA = os.urandom(1000) * 3000
STEP = 10_000


@pytest.fixture(autouse=True)
def near(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_back, "BEHIND", 300_000)
    monkeypatch.setattr(read_back, "STRIDE", 100_000)
    monkeypatch.setattr(read_back, "WAITING", 50_000)


def written(path: Path, harm: Callable[[int], None] = lambda _: None) -> Volume:
    """What is read back of the data, which are written in steps; `harm` is told how far that is."""
    with path.open("wb", buffering=0) as file, ReadBack(path).running() as back:
        for begin in range(0, len(DATA), STEP):
            file.write(DATA[begin : begin + STEP])
            back.written(begin + STEP)
            harm(begin + STEP)
        return back.end(len(DATA))


def volume() -> Volume:
    made = Checksum(CHUNK)
    made.update(memoryview(DATA))
    return made.volume()


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    assert written(tmp_path / "file") == volume()


def test_damage_of_what_was_just_written_is_found(tmp_path: Path) -> None:
    def harm(size: int) -> None:
        if size == 1_000_000:
            with (tmp_path / "file").open("r+b") as file:
                file.seek(900_000)
                file.write(b"damage")

    assert written(tmp_path / "file", harm) != volume()


def test_what_is_missing_is_an_error(tmp_path: Path) -> None:
    def harm(size: int) -> None:
        if size == len(DATA):
            os.truncate(tmp_path / "file", 2_900_000)

    with pytest.raises(OSError, match="it has only 2900000 bytes"):
        written(tmp_path / "file", harm)


def test_little_waits_in_memory_for_a_slow_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what is read back at the end is little as well."""
    write_out, on_disk, size = os.fdatasync, 0, 0

    def slowly(descriptor: int) -> None:
        nonlocal on_disk
        done = size
        time.sleep(0.002)
        write_out(descriptor)
        on_disk = max(on_disk, done)

    def look(written: int) -> None:
        nonlocal size
        size = written
        waiting.append(written - on_disk)

    waiting: list[int] = []
    monkeypatch.setattr(os, "fdatasync", slowly)
    assert written(tmp_path / "file", look) == volume()
    assert max(waiting) <= 50_000 + 2 * STEP


def test_a_disk_that_fails_ends_it_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    sizes: list[int] = []
    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(OSError, match="Input/output error"):
        written(tmp_path / "file", sizes.append)
    assert len(sizes) < len(DATA) // STEP // 2


def test_it_ends_with_a_backup_that_failed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA)
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError), ReadBack(tmp_path / "file").running() as back:
        back.written(500_000)
        1 / 0  # noqa: B018
    assert threading.active_count() == before
