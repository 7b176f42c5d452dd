# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a machine that can be replayed from what `rear report` wrote.

    .venv/bin/python -m rear_core.testing.bundle rear-report-web1-2026-11-22.tar.gz tests/machines/NAME

Such a file comes from somebody else: nothing in it is run, and it is refused unless it holds small plain files alone.
"""

from __future__ import annotations

import gzip
import io
import re
import sys
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from ..bundle.archive import TOP
from ..errors import RearError, Refused
from ..own_files import read

# Bytes of all files together, and their number: no report is as large.
LARGEST, MOST = 64 << 20, 5000
NAME = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,120}(?:/(?!\.)[A-Za-z0-9._-]{1,120}){0,3}")
# What makes a machine: the rest of a report is for reading.
OF_MACHINE = re.compile(r"machine/(commands/[^/]+\.txt|layout\.json|warnings\.txt|include\.txt)")


def unpacked(path: Path) -> dict[str, bytes]:
    """The files of a report by their names; `Refused` for anything that is none, or holds what a report does not."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(read(path, LARGEST))) as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise Refused(f"{path} has more than {LARGEST >> 20} MiB", "ask for another report")
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            return dict(_files(path, archive))
    except (tarfile.TarError, EOFError, zlib.error, OSError, ValueError) as error:
        raise Refused(f"{path} is no report of rear, or is damaged: {error}", "ask for it again") from error


def _files(path: Path, archive: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    """Regular files below the folder of a report, each once."""
    seen: set[str] = set()
    for member in archive:
        top, _, name = member.name.partition("/")
        plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.sparse
        if not plain or top != TOP or not NAME.fullmatch(name) or name in seen or len(seen) == MOST:
            raise Refused(f"{path} holds what no report of rear does: {member.name[:200]!r}", "do not use it")
        seen.add(name)
        file = archive.extractfile(member)
        content = file.read() if file else b""
        if len(content) != member.size:
            raise Refused(f"{path} is cut off", "ask for it again")
        yield name, content


def make_machine(path: Path, folder: Path) -> list[str]:
    """Write the machine of a report into a new folder, and return the names of its files.

    `Refused` where the report has no recording, or something is in the place of the folder.
    """
    files = {found[1]: data for name, data in unpacked(path).items() if (found := OF_MACHINE.fullmatch(name))}
    if not any(name.startswith("commands/") for name in files):
        raise Refused(f"{path} has no recording of the storage", "its problems.txt says why")
    try:
        folder.mkdir(parents=True)
        (folder / "commands").mkdir()
    except FileExistsError:
        raise Refused(f"{folder} is there already", "name a new folder") from None
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return sorted(files)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: .venv/bin/python -m rear_core.testing.bundle REPORT FOLDER")
    try:
        print(f"{len(make_machine(Path(sys.argv[1]), Path(sys.argv[2])))} files in {sys.argv[2]}")
    except (RearError, OSError) as error:
        sys.exit(f"ERROR: {error}")
