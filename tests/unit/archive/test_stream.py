# SPDX-License-Identifier: GPL-3.0-or-later
"""A stream of files that others change while it is made: what is missing is told, and only a disk ends it."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rear_core.archive import stream
from rear_core.errors import ProgramFailed
from rear_core.shell import Shell


@contextmanager
def leased(path: Path) -> Iterator[None]:
    """A block in which a file is held by a lease (fcntl(2)), so that it cannot be opened at once."""
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        yield
    finally:
        os.close(descriptor)
        signal.signal(signal.SIGIO, before)


def packed(root: Path, *starts: str) -> stream.Streamed:
    return stream.pack(Shell(), starts, [], "none", None, lambda _: None, root=root)


def test_a_file_that_somebody_holds_is_missing_and_all_else_is_saved(tmp_path: Path) -> None:
    for name in ("a: held", "b"):
        (tmp_path / name).write_bytes(b"data")
    with leased(tmp_path / "a: held"):
        saved = packed(tmp_path, ".")
    assert saved.lost == {"./a: held": "Cannot open: Resource temporarily unavailable"}
    assert (saved.members, saved.complaints) == (2, {})


def test_what_was_to_be_saved_must_be_there(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    with pytest.raises(ProgramFailed):
        packed(tmp_path, "./there", "./gone")
