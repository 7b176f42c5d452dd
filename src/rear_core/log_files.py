# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the logs of runs are: in a folder for root alone, one for each run; the journal gets the result of each."""

from __future__ import annotations

import os
import re
import secrets
import socket
import stat
import time
from contextlib import suppress
from pathlib import Path

from .errors import Refused
from .report import visible

FOLDER = Path("/var/log/rear")
NAME = re.compile(r"(?P<time>\d{4}-\d\d-\d\dT\d{6}Z)(?:\.(?P<number>\d{1,9}))?-(?P<command>\w+)\.log")
# Where daemons of the system log and the journal listen; facility user, severities error and info (syslog(3)).
SYSTEM_LOG = Path("/dev/log")
ERROR, INFO = 8 + 3, 8 + 6


def new(command: str, keep: int, folder: Path = FOLDER) -> Path:
    """A name for the log of this run; of the same command so many are left with it, and the oldest go.

    Raises `OSError`, and `Refused` for a folder that is somebody else's.
    """
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise Refused(
            f"{folder} is no folder, or belongs to someone else", "remove it, or set LOGFILE to another place"
        )
    folder.chmod(0o700)
    names = filter(None, (NAME.fullmatch(path.name) for path in folder.iterdir()))
    logs = sorted((name for name in names if name["command"] == command), key=_place)
    for old in logs[: max(len(logs) - keep + 1, 0)]:
        # One that may only be appended to (chattr +a), or is no file, is in nobody's way.
        with suppress(OSError):
            (folder / old[0]).unlink()
    stamp = time.strftime("%Y-%m-%dT%H%M%SZ", time.gmtime())
    number, newest = _place(logs[-1]) if logs else (0, "")
    number += stamp <= newest
    return folder / f"{stamp}{f'.{number}' if number else ''}-{command}.log"


def _place(name: re.Match[str]) -> tuple[int, str]:
    """The place of a log among the others: a number goes before the time, which clocks that are set back repeat."""
    return int(name["number"] or 0), name["time"]


def link(log: Path, place: Path) -> None:
    """Let a link at a place lead to the log, unless something is there that somebody else has put there.

    The place is in a folder where everybody may write: what is there is replaced, and never written to.
    """
    with suppress(OSError):
        if os.path.lexists(place) and place.lstat().st_uid != os.geteuid():
            return
        beside = place.with_name(f".{place.name}.{secrets.token_hex(8)}")
        beside.symlink_to(log)
        beside.replace(place)


def tell_system(text: str, *, failed: bool, place: Path = SYSTEM_LOG) -> None:
    """A line for the system's log, as RFC 3164 has it; nothing happens where nobody listens."""
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
        line.setblocking(False)
        line.connect(os.fspath(place))
        line.send(f"<{ERROR if failed else INFO}>rear[{os.getpid()}]: {visible(text)}".encode())
