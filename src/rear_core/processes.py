# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that run: what they are given and print, their end in time, and how they are stopped."""

from __future__ import annotations

import os
import select
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

CHUNK = 1 << 16
SELINUX, ATTRIBUTES = Path("/sys/fs/selinux/enforce"), Path("/proc/thread-self/attr")
# Where the kernel has no descriptor for a process, its end is looked for so often, in seconds.
INTERVAL = 0.05
# Pipes that a daemon holds, which a program has left behind: it must not be killed for what it prints.
_left_open: list[IO[bytes]] = []


def keep_domain() -> None:
    """Have SELinux run the programs that this process starts in the domain of this process (setexeccon(3)).

    Those of LVM, kmod and others have domains of their own, which may not read the work area.
    """
    if SELINUX.exists():
        with suppress(OSError):
            own = (ATTRIBUTES / "current").read_bytes()
            (ATTRIBUTES / "exec").write_bytes(own.rstrip(b"\0\n"))


def exchange(process: subprocess.Popen[bytes], given: bytes, timeout: float) -> tuple[int, bytes, bytes]:
    """Give a program its input, and collect what it prints until it ends; raises `TimeoutExpired`.

    That goes through pipes and no files: what SELinux runs in a domain of its own, as a program below another one, does
    not get files that another domain has opened. A daemon that a program leaves behind may hold its pipes for ever:
    what they have when the program ends is all.
    """
    printed = {pipe: bytearray() for pipe in (process.stdout, process.stderr) if pipe}
    with _closed_at_failure(process), _end_of(process) as end:
        _converse(process, given, printed, timeout, end)
        for pipe, text in printed.items():
            while more := _collect(pipe.fileno(), text):
                pass
            if more is None:
                _left_open.append(pipe)
            else:
                pipe.close()
        if process.stdin:
            process.stdin.close()
    out, err = (bytes(printed[pipe]) if pipe else b"" for pipe in (process.stdout, process.stderr))
    return process.wait(), out, err


def _converse(
    process: subprocess.Popen[bytes], given: bytes, printed: dict[IO[bytes], bytearray], timeout: float, end: int | None
) -> None:
    """Until a program ends."""
    deadline = time.monotonic() + timeout
    with selectors.DefaultSelector() as selector:
        for pipe, text in printed.items():
            os.set_blocking(pipe.fileno(), False)
            selector.register(pipe, selectors.EVENT_READ, text)
        if process.stdin:
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin, selectors.EVENT_WRITE)
        if end is not None:
            selector.register(end, selectors.EVENT_READ)
        while process.poll() is None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise subprocess.TimeoutExpired(process.args, timeout)
            for key, _ in selector.select(left if end is not None else INTERVAL):
                if key.data is not None and _collect(key.fd, key.data) == 0:
                    selector.unregister(key.fd)
                elif process.stdin and key.fileobj is process.stdin:
                    given = _feed(key.fd, given)
                    if not given:
                        selector.unregister(key.fd)
                        process.stdin.close()


@contextmanager
def _closed_at_failure(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                pipe.close()
        raise


def _collect(descriptor: int, text: bytearray) -> int | None:
    """How many bytes came from a pipe; 0 at its end, None where there are none now."""
    try:
        block = os.read(descriptor, CHUNK)
    except BlockingIOError:
        return None
    text += block
    return len(block)


def _feed(descriptor: int, given: bytes) -> bytes:
    """Write what fits into a pipe and return the rest; a program that reads no more has its status to say why."""
    try:
        return given[os.write(descriptor, given) :]
    except BlockingIOError:
        return given
    except BrokenPipeError:
        return b""


def wait(process: subprocess.Popen[bytes], timeout: float | None) -> int:
    """The exit status of a program; raise `TimeoutExpired` when it needs longer.

    Popen.wait with a time limit looks only every 50 ms, which adds up over many short programs.
    """
    with _end_of(process) as end:
        if end is None:
            return process.wait(timeout)
        if not select.select([end], [], [], timeout)[0]:
            assert timeout is not None
            raise subprocess.TimeoutExpired(process.args, timeout)
    return process.wait()


@contextmanager
def _end_of(process: subprocess.Popen[bytes]) -> Iterator[int | None]:
    """A descriptor that can be read when a program has ended, None where there is no such thing."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # Linux before 5.3, or a Python built for one
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a program and its children: politely, then for good."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except (ProcessLookupError, PermissionError):
            process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
            return
