# SPDX-License-Identifier: GPL-3.0-or-later
"""What rear asks of every plugin."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from rear_core.shell import Shell
from rear_core.testing.conformance import *  # noqa: F403
from rear_core.testing.harness import Supply

DISTRIBUTION = "rear-backup-nfs"


@pytest.fixture
def supply(tmp_path: Path) -> Iterator[Supply]:
    """A folder; where it can be mounted, a small file system, which can be full."""
    place, sh = tmp_path / "place", Shell()
    place.mkdir()
    if os.geteuid():
        yield Supply(f"BACKUP_URL=file://{place}\n")
        return
    sh.run("mount", "--types", "tmpfs", "--options", "size=4M,mode=700", "backups", place)
    try:
        yield Supply(f"BACKUP_URL=file://{place}\n", full=lambda: filled(place))
    finally:
        sh.run("umount", place)


@contextmanager
def filled(place: Path) -> Iterator[None]:
    """A block in which nothing more fits into a file system."""
    filler = place / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    yield
    filler.unlink()
