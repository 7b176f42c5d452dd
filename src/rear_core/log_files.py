# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the logs of runs are: in a folder for root alone, one for each run; the journal gets the result of each."""

from __future__ import annotations

import itertools
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
NAME = re.compile(r"\d{4}-\d\d-\d\dT\d{6}Z(?:\.\d+)?-(\w+)\.log")
# Where daemons of the system log and the journal listen; facility user, severities error and info (syslog(3)).
SYSTEM_LOG = Path("/dev/log")
ERROR, INFO = 8 + 3, 8 + 6


def new(command: str, keep: int, folder: Path = FOLDER) -> Path:
    """A name for the log of this run; of the same command so many are left with it, and the oldest go.

    Raises `OSError`, and `Refused` for a folder that is somebody else's.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise Refused(f"{folder} is a link or belongs to someone else", "remove it, or set LOGFILE to another place")
    folder.chmod(0o700)
    logs = sorted(path for path in folder.iterdir() if (named := NAME.fullmatch(path.name)) and named[1] == command)
    for old in logs[: max(0, len(logs) - keep + 1)]:
        old.unlink()
    stamp = time.strftime("%Y-%m-%dT%H%M%SZ", time.gmtime())
    names = (f"{stamp}{'' if number == 1 else f'.{number}'}-{command}.log" for number in itertools.count(1))
    return next(path for name in names if not os.path.lexists(path := folder / name))


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
