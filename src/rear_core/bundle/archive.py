# SPDX-License-Identifier: GPL-3.0-or-later
"""The file of a bundle: a .tar.gz for its owner alone, whole or not there, and never in the place of another file."""

from __future__ import annotations

import io
import os
import tarfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from ..errors import RearError, Refused

# The folder in it.
TOP = "rear-report"


def write(path: Path, files: Mapping[str, bytes]) -> None:
    """Write files by name; `Refused` where something is at this path, `RearError` where it cannot be written."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with ExitStack() as undo:
            # The name is taken first: nobody can put anything there meanwhile.
            os.close(os.open(path, flags, 0o600))
            undo.callback(path.unlink, missing_ok=True)
            descriptor = os.open(beside, flags, 0o600)
            undo.callback(beside.unlink, missing_ok=True)
            with os.fdopen(descriptor, "wb") as file:
                file.write(packed(files))
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
            undo.pop_all()
    except FileExistsError as error:
        raise Refused(f"{path} is there already", "name another file: rear overwrites none") from error
    except OSError as error:
        raise RearError(
            f"cannot write {path}: {error.strerror}", "name a file in a folder that can be written"
        ) from error


def packed(files: Mapping[str, bytes]) -> bytes:
    """The bytes of such an archive."""
    buffer, now = io.BytesIO(), int(time.time())
    with tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        for name, data in sorted(files.items()):
            member = tarfile.TarInfo(f"{TOP}/{name}")
            member.size, member.mode, member.mtime = len(data), 0o600, now
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()
