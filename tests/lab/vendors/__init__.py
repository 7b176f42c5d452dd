# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-ins for backup products that nobody can download: a server that keeps files, and clients that check each word.

The clients know the documented command lines of IBM Storage Protect's dsmc and of Dell NetWorker's programs, and refuse
anything else as the products would. They are programs of their own, in Python with tar: `program` makes one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rear_core.shell import Shell

HERE = Path(__file__).parent
NETWORKER = ("mminfo", "nsrexecd", "recover", "save")


def program(name: str) -> bytes:
    """The text of `dsmc`, or of one of NetWorker's programs, complete in one file."""
    own = "dsmc.py" if name == "dsmc" else "networker.py"
    parts = [(HERE / file).read_text() for file in ("wire.py", own)]
    lines = [line for part in parts for line in part.splitlines() if "import annotations" not in line]
    kept = [line for line in lines if not line.startswith("from .wire")]
    return "\n".join(["#!/usr/bin/python3", "from __future__ import annotations", *kept, ""]).encode()


def install(folder: Path, *names: str) -> None:
    """Write programs to a folder."""
    for name in names:
        (folder / name).write_bytes(program(name))
        (folder / name).chmod(0o755)


@dataclass
class LabShell(Shell):
    """A real shell that looks for programs in a folder first."""

    folder: Path = Path()

    def which(self, program: str) -> Path | None:
        """Where a program is found."""
        own = self.folder / program
        return own if own.is_file() else super().which(program)
