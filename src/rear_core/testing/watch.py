# SPDX-License-Identifier: GPL-3.0-or-later
"""Sees what is changed: by this process anywhere, by whatever else within a folder.

An audit hook (PEP 578) is told of each file that Python opens, removes or renames. What programs do it does not see;
for them there are pictures of a folder, taken before and after.
"""

from __future__ import annotations

import hashlib
import io
import os
import signal
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from ..interruption import STOPPING

# Audit events and which of their arguments is a path that is changed (Python's table of audit events).
EVENTS = {
    "open": 0, "os.chmod": 0, "os.chown": 0, "os.link": 1, "os.mkdir": 0, "os.remove": 0, "os.removexattr": 0,
    "os.rename": 0, "os.rmdir": 0, "os.setxattr": 0, "os.symlink": 1, "os.truncate": 0, "os.utime": 0,
}  # fmt: skip
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

# An audit hook cannot be taken away: there is one, which does nothing while nobody watches.
_watching: list[dict[str, str]] = []


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching or event not in EVENTS or (event == "open" and not (arguments[2] or 0) & WRITES):
        return
    paths = [arguments[EVENTS[event]], *([arguments[1]] if event == "os.rename" else [])]
    for path in paths:
        # An open file may be named by its descriptor.
        named = f"/proc/self/fd/{path}" if isinstance(path, int) else ""
        name = os.path.realpath(named) if named else os.path.abspath(os.fsdecode(path))
        # A folder that is there already is not made again.
        if name not in _watching[-1] and not (event == "os.mkdir" and os.path.lexists(name)):
            _watching[-1][name] = event if _matters(name) else ""


def _matters(name: str) -> bool:
    """Whether something is there that a write would change."""
    try:
        mode = os.lstat(name).st_mode
    except OSError:
        return False
    return not (stat.S_ISCHR(mode) or stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode))


@contextmanager
def changes(allowed: Sequence[Path]) -> Iterator[list[str]]:
    """What this process changes in a block, in words, known when it is left; not what lies below `allowed` folders.

    What was made and is gone again is no change: so it is proven that a place can be written.
    """
    _listen()
    found: list[str] = []
    touched: dict[str, str] = {}
    _watching.append(touched)
    try:
        yield found
    finally:
        _watching.remove(touched)
        places = tuple(f"{place}/" for place in (*allowed, "/proc"))
        for name, event in sorted(touched.items()):
            if not f"{name}/".startswith(places) and "__pycache__" not in name:
                if event:
                    found.append(f"{name} was changed ({event})")
                elif _matters(name):
                    found.append(f"{name} was made and is still there")


@cache
def _listen() -> None:
    sys.addaudithook(_note)


@contextmanager
def surroundings() -> Iterator[list[str]]:
    """What a block leaves of this process otherwise than it was, in words, known when it is left: its working
    directory, its mask for new files, its environment, what stops it, and the processes that it has started. What it
    prints is among that, and it cannot end the process."""
    before, found, printed = _surroundings(), list[str](), io.StringIO()
    try:
        with redirect_stdout(printed), _staying():
            yield found
    finally:
        found += differences(before, _surroundings())
        if text := printed.getvalue().strip():
            found.append(f"it prints {text[:80]!r}, which `run.report.say` is for")
        # Whoever is tried next finds what he expects.
        os.chdir(before["the working directory"])


@contextmanager
def _staying() -> Iterator[None]:
    """A block in which `os._exit` is an error: by it the tests would end without a word, and with the status given."""
    own, end = os.getpid(), os._exit

    def refuse(status: int) -> NoReturn:
        # A child may, and the core, where a place hangs.
        if os.getpid() != own or sys._getframe(1).f_globals["__name__"].startswith("rear_core."):
            end(status)
        raise AssertionError(f"it calls os._exit({status}), by which rear would end with nothing undone")

    os._exit = refuse
    try:
        yield
    finally:
        os._exit = end


def _surroundings() -> dict[str, str]:
    mask = os.umask(0o077)
    os.umask(mask)
    found = {"the working directory": os.getcwd(), "the umask": f"{mask:03o}"}
    found |= {f"the variable {name}": value for name, value in os.environ.items()}
    found |= {f"what {number.name} does": str(signal.getsignal(number)) for number in STOPPING}
    # Of each thread its own (proc_pid_task(5)); threads and programs may end while they are looked at.
    for children in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):
            for pid in children.read_text().split():
                with suppress(OSError):
                    found[f"the process {pid}"] = Path(f"/proc/{pid}/comm").read_text().strip()
    return found


def picture(folder: Path, left_out: Sequence[Path] = ()) -> dict[str, str]:
    """What every file below a folder is, by its relative path: kind, mode, owner, times, contents, attributes."""
    found = {}
    for top, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if Path(top, name) not in left_out]
        for name in (*folders, *files):
            path = Path(top, name)
            if path not in left_out:
                found[os.fspath(path.relative_to(folder))] = _described(path)
    return found


def _described(path: Path) -> str:
    status = path.lstat()
    words = [stat.filemode(status.st_mode), f"{status.st_uid}:{status.st_gid}"]
    if not stat.S_ISDIR(status.st_mode):
        words += [f"{status.st_size} bytes", f"changed {status.st_mtime_ns // 10**9}", f"{status.st_nlink} names"]
    if stat.S_ISLNK(status.st_mode):
        words.append(f"to {os.readlink(path)}")
    if stat.S_ISREG(status.st_mode):
        words.append(hashlib.sha256(path.read_bytes()).hexdigest()[:16])
        words += [f"{name}={os.getxattr(path, name)!r}" for name in sorted(os.listxattr(path))]
    return " ".join(words)


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """What is not the same in two pictures, in words."""
    return [
        f"{name}: {before.get(name, 'not there')} -> {after.get(name, 'gone')}"
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]
