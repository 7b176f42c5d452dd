# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts rear from its single file: everything is unpacked once into a folder that only its user can change."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path


def main() -> None:
    """Unpack this file, unless that was done, and run the command from there."""
    if sys.version_info < (3, 9):  # noqa: UP036 - whoever runs this file may have any
        sys.exit("rear needs Python 3.9 or newer: run it as `python3.9 rear.pyz`, or with a later one")
    archive = Path(sys.argv[0]).resolve()
    place = _home() / hashlib.sha256(archive.read_bytes()).hexdigest()[:16]
    if not place.is_dir():
        _unpack(archive, place)
    sys.path.insert(0, os.fspath(place / "site"))
    sys.argv[0] = "rear"
    from rear_core.cli import main as rear

    rear()


def _home() -> Path:
    """Where versions are unpacked: for root alone, or for the user."""
    if os.geteuid() == 0:
        home = Path("/var/lib/rear/program")
    else:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "rear/program")
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        sys.exit(f"rear.pyz cannot unpack itself into {home}: {error.strerror}; set XDG_CACHE_HOME, or run it as root")
    found = home.lstat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        sys.exit(f"{home} is not controlled by its user alone: remove it, then run this again")
    return home


def _unpack(archive: Path, place: Path) -> None:
    """Put this version in its place as a whole, and remove the others."""
    others = [path for path in place.parent.iterdir() if path != place]
    work = Path(tempfile.mkdtemp(dir=place.parent))
    try:
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(work)
        work.rename(place)
    except FileExistsError:  # another one was faster
        shutil.rmtree(work)
        return
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    for other in others:
        shutil.rmtree(other, ignore_errors=True)


if __name__ == "__main__":
    main()
