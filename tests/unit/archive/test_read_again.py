# SPDX-License-Identifier: GPL-3.0-or-later
"""What became shorter while it was saved is read once more, whatever somebody has put in its place by then."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from rear_core.archive import read_again
from rear_core.errors import RearError


def endless(path: Path) -> None:
    os.truncate(path, 1 << 42)


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def zeros(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def elsewhere(path: Path) -> None:
    path.parent.rename(path.parent.with_name("moved"))
    path.parent.symlink_to("moved")
    fifo(path)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def server(path: Path) -> None:
    path.unlink()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.fspath(path))


@pytest.mark.parametrize("change", [Path.unlink, endless, fifo, zeros, elsewhere, folder, server])
def test_what_is_in_its_place_ends_no_backup(tmp_path: Path, change: Callable[[Path], None]) -> None:
    path = tmp_path / "folder" / "file"
    path.parent.mkdir()
    path.write_bytes(b"data")
    change(path)
    read_again.check(["./folder/file"], tmp_path)


def test_a_disk_that_fails_ends_it_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(descriptor: int, buffers: list[bytearray], place: int) -> int:
        raise OSError(errno.EIO, "Input/output error")

    (tmp_path / "a: b").write_bytes(b"data")
    monkeypatch.setattr(os, "preadv", failing)
    with pytest.raises(RearError, match=f"cannot read {tmp_path}/a: b: Input/output error"):
        read_again.check(["./a: b"], tmp_path)


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"data")
    before = os.listdir("/proc/self/fd")
    read_again.check(["./file", "./file/below", "./none"], tmp_path)
    assert os.listdir("/proc/self/fd") == before
