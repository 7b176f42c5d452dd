# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups of small trees, without a disk; and programs of this machine for another one."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from rear_core.archive import backup, coverage, generations
from rear_core.run import Run

SECRET = "correct horse battery"
MakeRun = Callable[..., Run]


def chosen(path: Path) -> coverage.Selection:
    """The selection of one folder."""
    return coverage.Selection((f".{path}",), (), (coverage.Covered("/", "", "", coverage.SAVED, bytes=3_000_000),))


def save(run: Run, directory: Path, tree: Path) -> Path:
    """Save a tree; the generation."""
    backup.store(run, directory, chosen(tree))
    return directory / "web1" / generations.names(directory / "web1")[-1]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def packed(*packages: str) -> bytes:
    """What packages of this machine's distribution installed here, for a machine of the same release: a tar archive.

    Without documentation and configuration.
    """
    listed = subprocess.run(["dpkg", "--listfiles", *packages], check=True, capture_output=True, text=True).stdout
    files = {path for path in listed.split() if Path(path).is_file() and not path.startswith(("/usr/share/", "/etc/"))}
    argv = ["tar", "--create", "--gzip", "--absolute-names", "--files-from=-"]
    return subprocess.run(argv, input="\n".join(sorted(files)).encode(), check=True, capture_output=True).stdout
