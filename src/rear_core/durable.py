# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are there as a whole or not at all, also after the power was cut."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

from .errors import RearError


def write(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Write a text beside its place, for its owner alone unless `mode` says otherwise, and rename it; folders that are
    missing are made.

    Raises `RearError` when that cannot be; what was there before stays.
    """
    beside = path.with_name(f".{path.name}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A run that was killed may have left it.
        beside.unlink(missing_ok=True)
        with ExitStack() as undo:
            undo.callback(beside.unlink, missing_ok=True)
            with os.fdopen(os.open(beside, flags, 0o600), "w", encoding="utf-8") as file:
                file.write(text)
                os.fchmod(file.fileno(), mode)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        flush(path.parent)
    except OSError as error:
        raise RearError(f"cannot write {path}: {error.strerror}", "check its disk and the free space there") from error


def write_until_failure(path: Path, text: str, undo: ExitStack) -> None:
    """Write a text; what was there before comes back if an exception unwinds `undo`."""
    before = path.read_text(encoding="utf-8") if path.is_file() else None

    def put_back(kind: type[BaseException] | None, *_: object) -> None:
        if kind and before is None:
            path.unlink(missing_ok=True)
        elif kind and before is not None:
            write(path, before)

    undo.push(put_back)
    write(path, text)


def flush(path: Path) -> None:
    """Wait until a file or folder is on its disk or server."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
