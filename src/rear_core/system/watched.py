# SPDX-License-Identifier: GPL-3.0-or-later
"""Files whose change makes rescue media outdated: how they were when media were made last."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

from .. import durable, own_files
from ..errors import ConfigurationError
from ..trees import below

VERSION = 1
NAME = "watched.json"
BLOCK = 1 << 20
# Who else may read a file: one for root alone may hold a password.
OTHERS = stat.S_IRGRP | stat.S_IROTH


def look(patterns: Iterable[str], is_secret: Callable[[str], bool] = lambda _path: False) -> dict[str, str]:
    """The state of each plain file that a pattern names, or that is in a folder it names, by its path.

    That is the SHA-256 of its contents; of a file for root alone it is size and time, as this goes onto media, and a
    short password could be guessed by its checksum. Secret files, and what cannot be read, are left out.
    """
    found = {}
    for path in sorted({file for pattern in patterns for file in _files(pattern)}):
        if not is_secret(path):
            try:
                found[path] = _state(path)
            except OSError:
                continue
    return found


def _files(pattern: str) -> Iterator[str]:
    for path in glob.glob(pattern):
        if not os.path.isdir(path):
            yield path
        with suppress(OSError):
            yield from (entry.path for entry in below(path)) if os.path.isdir(path) else ()


def _state(path: str) -> str:
    # Anybody may have put a FIFO there.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise IsADirectoryError(path)
        if not status.st_mode & OTHERS:
            return f"{status.st_size} bytes of {status.st_mtime_ns}"
        digest = hashlib.sha256()
        while block := file.read(BLOCK):
            digest.update(block)
        return digest.hexdigest()


def save(folder: Path, states: Mapping[str, str], undo: ExitStack) -> None:
    """Write them to a file of the description, where they stay unless the run fails."""
    text = json.dumps({"version": VERSION, "files": dict(states)}, indent=2)
    durable.write_until_failure(folder / NAME, f"{text}\n", undo)


def load(folder: Path) -> dict[str, str] | None:
    """Those of the description, None where it has none; `ConfigurationError` when they cannot be read."""
    path = folder / NAME
    try:
        document = json.loads(own_files.read_text(path))
        if document["version"] != VERSION:
            raise ValueError(f"its version is {document['version']}, but this rear reads {VERSION}")
        return {str(name): str(state) for name, state in document["files"].items()}
    except FileNotFoundError:
        return None
    except own_files.NoFile:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"cannot read {path}: {error}", "make the rescue media again") from error


def compare(was: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What is not as it was, a line for each file.

    >>> compare({"/etc/a": "1", "/etc/b": "1"}, {"/etc/b": "2", "/etc/c": "1"})
    ['file /etc/a is gone', 'file /etc/b changed', 'file /etc/c is new']
    """
    words = {(True, False): "is gone", (False, True): "is new", (True, True): "changed"}
    return [
        f"file {path} {words[path in was, path in now]}"
        for path in sorted({*was, *now})
        if was.get(path) != now.get(path)
    ]
