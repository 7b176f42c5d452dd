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

# Each of borg's many calls takes a third of a second of a processor.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.root,
    pytest.mark.timeout(300),
    pytest.mark.skipif(shutil.which("borg") is None, reason="borg is not installed: tools/install test does that"),
]

DISTRIBUTION = "rear-backup-borg"
PASSPHRASE = "a word of borg 1"
# While there is a file, a save fails when 128 KiB of data are in the repository: blocks of dash have 512 bytes.
BORG = """\
#!/bin/sh
if [ "$1" = create ] && [ -e {strike} ]; then ulimit -f 256; fi
exec {borg} "$@"
"""


@pytest.fixture
def supply(tmp_path: Path) -> Iterator[Supply]:
    """A repository on a small file system, which can be full, and a borg that can fail."""
    place, passphrase, programs, strike = (tmp_path / name for name in ("place", "passphrase", "programs", "strike"))
    place.mkdir()
    programs.mkdir()
    passphrase.write_text(f"{PASSPHRASE}\n")
    passphrase.chmod(0o600)
    sh = Shell()
    sh.run("mount", "--types", "tmpfs", "--options", "size=12M,mode=700", "repositories", place)
    try:
        environment = {**os.environ, "BORG_PASSPHRASE": PASSPHRASE, "BORG_BASE_DIR": str(tmp_path)}
        argv = ["borg", "init", "--encryption=repokey-blake2", f"{place}/borg"]
        subprocess.run(argv, env=environment, check=True, capture_output=True)
        (programs / "borg").write_text(BORG.format(borg=shutil.which("borg"), strike=strike))
        (programs / "borg").chmod(0o755)
        yield Supply(
            f"BACKUP_URL=file://{place}\nBORG_PASSPHRASE_FILE={passphrase}\n",
            programs=programs,
            environment={"BORG_BASE_DIR": str(tmp_path)},
            midway=lambda: striking(strike),
            full=lambda: filled(place),
        )
    finally:
        sh.run("umount", place)


@contextmanager
def striking(strike: Path) -> Iterator[None]:
    """A block in which every save fails."""
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
