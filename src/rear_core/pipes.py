# SPDX-License-Identifier: GPL-3.0-or-later
"""Pipes of the kernel: wide ones, and one whose contents go to two readers."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from threading import Thread
from typing import IO

BLOCK = 1 << 20
# fcntl.F_SETPIPE_SZ is known to Python from 3.10 on, os.splice as well; os.tee to none.
SET_PIPE_SIZE = 1031


def widen(pipe: IO[bytes]) -> None:
    """Let a pipe hold a whole block, so that its ends wait less for each other; limits may refuse."""
    with suppress(OSError):
        fcntl.fcntl(pipe, SET_PIPE_SIZE, BLOCK)


@contextmanager
def doubled(source: IO[bytes], copy: int) -> Iterator[IO[bytes]]:
    """A pipe with what the pipe `source` holds, which goes to the pipe `copy` as well.

    The kernel does it (tee(2), splice(2)): no byte passes through a program, as with `tee`, of which each copies them
    twice. When nobody reads the new pipe any more, `source` is closed.
    """
    calls = _system_calls()
    reading, writing = os.pipe()
    ends = os.dup(source.fileno()), writing, os.dup(copy)
    thread = Thread(target=_double, args=[*calls, *ends], daemon=True)
    thread.start()
    try:
        with open(reading, "rb", buffering=0) as file:
            widen(file)
            yield file
    finally:
        # Whoever writes has ended by now, unless nothing ends it: then it is left, with the thread.
        thread.join(5)


def _double(tee: Callable[..., int], splice: Callable[..., int], source: int, sink: int, copy: int) -> None:
    with ExitStack() as opened:
        for end in (source, sink, copy):
            opened.callback(os.close, end)
        # Its programs have their own status to say why they end early.
        opened.enter_context(suppress(BrokenPipeError))
        while size := tee(source, copy, BLOCK, 0):
            while size:
                size -= splice(source, None, sink, None, size, 0)


def _system_calls() -> tuple[Callable[..., int], Callable[..., int]]:
    """tee(2) and splice(2); they raise `OSError`, and go on when a signal has interrupted them."""
    import ctypes  # recoveries do without

    libc = ctypes.CDLL(None, use_errno=True)
    size, number, place = ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p
    libc.tee.argtypes = [number, number, size, ctypes.c_uint]
    libc.splice.argtypes = [number, place, number, place, size, ctypes.c_uint]

    def checked(call: Callable[..., int], *arguments: int | None) -> int:
        while (moved := call(*arguments)) < 0:
            if (why := ctypes.get_errno()) != errno.EINTR:
                raise OSError(why, os.strerror(why))
        return moved

    for call in (libc.tee, libc.splice):
        call.restype = ctypes.c_ssize_t
    return partial(checked, libc.tee), partial(checked, libc.splice)
