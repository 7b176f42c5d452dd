# SPDX-License-Identifier: GPL-3.0-or-later
"""What rear asks of every plugin."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rear_core.shell import Shell
from rear_core.testing.conformance import *  # noqa: F403
from rear_core.testing.harness import Supply

pytestmark = [
    pytest.mark.slow,
    pytest.mark.root,
    pytest.mark.timeout(180),
    pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync is not installed: tools/install test does that"),
]

DISTRIBUTION = "rear-backup-rsync"
# While there is a file, a save dies in the middle: it goes slowly, and is killed when it has made files.
RSYNC = """\
#!/bin/sh
case " $* " in
*" --stats "*)
    if [ -e {strike} ]; then
        {rsync} --bwlimit=200 "$@" &
        sleep 1
        kill -9 $!
        exit 99
    fi
esac
exec {rsync} "$@"
"""


@pytest.fixture
def supply(tmp_path: Path) -> Iterator[Supply]:
    """A small file system, which can be full, and an rsync that can die."""
    place, programs, strike = (tmp_path / name for name in ("place", "programs", "strike"))
    place.mkdir()
    programs.mkdir()
    (programs / "rsync").write_text(RSYNC.format(rsync=shutil.which("rsync"), strike=strike))
    (programs / "rsync").chmod(0o755)
    sh = Shell()
    sh.run("mount", "--types", "tmpfs", "--options", "size=12M,mode=700", "backups", place)
    try:
        yield Supply(
            f"BACKUP_URL=file://{place}\n",
            programs=programs,
            midway=lambda: striking(strike),
            full=lambda: filled(place),
        )
    finally:
        sh.run("umount", place)


@contextmanager
def striking(strike: Path) -> Iterator[None]:
    """A block in which every save dies."""
    strike.touch()
    yield
    strike.unlink()


@contextmanager
def filled(place: Path) -> Iterator[None]:
    """A block in which nothing more fits into a file system."""
    filler = place / "filler"
    try:
        with filler.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
    except OSError:
        yield
    filler.unlink()
