# SPDX-License-Identifier: GPL-3.0-or-later
"""Generations of backups: folders named by their time (UTC), there only when complete; old ones are removed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

from ..durable import flush
from ..errors import ConfigurationError, Refused
from ..removal import discard, remove_tree
from . import manifest

FORMAT = "%Y-%m-%dT%H%M%SZ"
PATTERN = re.compile(r"\d{4}-\d\d-\d\dT\d{6}Z")
PARTIAL = ".partial"


def names(home: Path) -> list[str]:
    """The generations in a folder, oldest first; what has a name of its own is none of ours."""
    try:
        return sorted(path.name for path in home.iterdir() if PATTERN.fullmatch(path.name) and path.is_dir())
    except FileNotFoundError:
        return []


@contextmanager
def new(home: Path, now: datetime | None = None) -> Iterator[tuple[Path, str]]:
    """A folder for a new generation, and the name that it gets in the end; after an error nothing of it is left."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    for stale in unfinished(home):
        discard(stale)
    name = (now or datetime.now(timezone.utc)).strftime(FORMAT)
    newest = max(names(home), default="")
    if name <= newest:
        # Also after the clock was set back the newest by name must be the one that was made last.
        name = (datetime.strptime(newest, FORMAT) + timedelta(seconds=1)).strftime(FORMAT)
    partial = home / (name + PARTIAL)
    partial.mkdir(mode=0o700)
    try:
        yield partial, name
        flush(partial)
        partial.rename(home / name)
        flush(home)
    except BaseException:
        discard(partial)
        raise


def write(path: Path, text: str) -> None:
    """Write a small file of a generation, and wait until it is on its disk or server."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def unfinished(home: Path) -> list[Path]:
    """What is left of generations that were not finished, or could not be removed as a whole."""
    return sorted(path for path in home.glob(f"*{PARTIAL}") if PATTERN.fullmatch(path.name[: -len(PARTIAL)]))


def prune(home: Path, keep: int, made: str) -> tuple[list[str], list[str]]:
    """Remove complete generations until `keep` are left, oldest first and never the one just made.

    Returns the names of those that are gone, and of each other one why it could not be removed.
    """
    complete = [name for name in names(home) if name != made and (home / name / manifest.NAME).exists()]
    gone, problems = [], []
    for name in complete[: max(len(complete) + 1 - keep, 0)]:
        try:
            # Out of sight first: half a generation must never be taken for one.
            remove_tree((home / name).rename(home / (name + PARTIAL)))
            gone.append(name)
        except OSError as error:
            problems.append(f"{error.filename or home / name}: {error.strerror}")
    return gone, problems


def choose(found: Sequence[str], date: str, where: str) -> str:
    """The newest backup of that date or before it; of all with "". A date may leave off what is not needed:
    2026-11-22, or 2026-11-22T1830."""
    if not found:
        raise Refused(f"there is no backup in {where}", "check BACKUP_URL and BACKUP_PREFIX, or run `rear mkbackup`")
    digits = re.sub(r"[-T:Z ]", "", date)
    if not re.fullmatch(r"\d{0,14}", digits):
        raise ConfigurationError(f"{date!r} is no date of a backup", "write it as 2026-11-22 or 2026-11-22T1830 (UTC)")
    until = digits.ljust(14, "9")
    fitting = [name for name in found if re.sub(r"\D", "", name) <= until]
    if not fitting:
        raise Refused(f"no backup in {where} is as old as {date}", f"choose one of {', '.join(found)}")
    return fitting[-1]
