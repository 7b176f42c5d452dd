# SPDX-License-Identifier: GPL-3.0-or-later
"""What rear asks of every plugin."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rear_core.shell import Shell
from rear_core.testing.conformance import *  # noqa: F403
from rear_core.testing.harness import Supply

# Each of restic's many calls takes half a second of a processor.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.root,
    pytest.mark.timeout(300),
    pytest.mark.skipif(shutil.which("restic") is None, reason="restic is not installed: tools/install test does that"),
]

DISTRIBUTION = "rear-backup-restic"
PASSWORD = "a word of restic 1"
# While there is a file, a save dies when the first data is in the repository.
RESTIC = """\
#!/bin/sh
if [ "$1" != backup ] || [ ! -e {strike} ]; then exec {restic} "$@"; fi
shift
{restic} backup --limit-upload=20 "$@" &
sleep 3
kill -9 $!
exit 1
"""


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new repository: to make one takes restic a second, as a guess of its password shall."""
    folder = tmp_path_factory.mktemp("empty") / "restic"
    environment = {**os.environ, "RESTIC_PASSWORD": PASSWORD}
    subprocess.run(["restic", "--repo", folder, "--no-cache", "--quiet", "init"], env=environment, check=True)
    return folder


@pytest.fixture
def supply(tmp_path: Path, empty: Path) -> Iterator[Supply]:
    """A repository on a small file system, which can be full, and a restic that can die."""
    place, password, programs, strike = (tmp_path / name for name in ("place", "password", "programs", "strike"))
    place.mkdir()
    programs.mkdir()
    password.write_text(f"{PASSWORD}\n")
    password.chmod(0o600)
    (programs / "restic").write_text(RESTIC.format(restic=shutil.which("restic"), strike=strike))
    (programs / "restic").chmod(0o755)
    sh = Shell()
    sh.run("mount", "--types", "tmpfs", "--options", "size=8M,mode=700", "repositories", place)
    try:
        shutil.copytree(empty, place / "restic")
        yield Supply(
            f"BACKUP_URL=file://{place}\nRESTIC_PASSWORD_FILE={password}\n"
            "RESTIC_ENVIRONMENT=( LAB_WORD=very-secret )\n",
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
