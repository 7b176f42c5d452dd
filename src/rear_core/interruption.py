# SPDX-License-Identifier: GPL-3.0-or-later
"""Signals that end a run, or what takes too long: each becomes an error in the main thread, wherever it arrives."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

from .errors import Interrupted, RearError

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Seconds after which a signal that nobody has heeded is sent again.
AGAIN = 0.5

_here = threading.local()


@contextmanager
def interruptible(undo: ExitStack) -> Iterator[None]:
    """Have the signals that stop a run raise `Interrupted` in this block, and end it with that, whatever comes of it.

    Python drops what a signal raises in `__del__`, and a step may take it for a failure of its own. So it is raised
    again, by a timer, until it is on its way out of this block. While something is undone because of it, and from the
    end of the block until `undo` is unwound, signals are passed over. Those that were ignored before, as by nohup,
    stay so.
    """
    told, raised, over = "", False, False

    def tell(number: int, frame: FrameType | None) -> None:
        nonlocal told, raised
        if over:
            return
        if not told:
            told = f"stopped by {signal.Signals(number).name}"
            signal.signal(signal.SIGALRM, tell)
            signal.setitimer(signal.ITIMER_REAL, AGAIN, AGAIN)
        if not getattr(_here, "held", False) and not _on_its_way(Interrupted):
            raised = True
            raise _interrupted(told)

    for number in STOPPING:
        if signal.getsignal(number) != signal.SIG_IGN:
            undo.callback(signal.signal, number, signal.signal(number, tell))
    try:
        yield
        if raised:
            # A step has passed over it, and what it did not do because of that is unknown. One that came while the end
            # of the last step was noted has come too late: all is done.
            raise _interrupted(told)
    except Interrupted:
        raise
    except Exception as error:
        if told:
            raise _interrupted(told) from error
        raise
    finally:
        over = True
        if told:
            signal.setitimer(signal.ITIMER_REAL, 0)


@contextmanager
def held() -> Iterator[None]:
    """Raise no `Interrupted` in this block, but soon after it: for what must be noted as soon as it is done."""
    before = getattr(_here, "held", False)
    _here.held = True
    try:
        yield
    finally:
        _here.held = before


class TookTooLong(RearError):
    """What was not done within its time."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """A block of the main thread that ends with `TookTooLong` after so many seconds, unless a signal ends it before.

    A program that runs then is stopped. What the kernel itself waits for, as a server of NFS, is not cut off. Somebody
    may take it for a failure of another kind: it is raised again, until it is on its way out.
    """
    raised = False

    def late(_number: int, _frame: FrameType | None) -> None:
        nonlocal raised
        if not getattr(_here, "held", False) and not _on_its_way(TookTooLong):
            raised = True
            raise TookTooLong(problem)

    problem = f"it was not done within {seconds:g} seconds"
    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
    try:
        yield
        if raised:
            raise TookTooLong(problem)
    finally:
        # Whoever stops the run has this timer for itself by then.
        if signal.getsignal(signal.SIGALRM) is late:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


def _interrupted(told: str) -> Interrupted:
    return Interrupted(told, "rear undid what was not complete; run it again")


def _on_its_way(kind: type[BaseException]) -> bool:
    """Whether this is run by somebody who handles an error of that kind, or what came of it."""
    error = sys.exc_info()[1]
    while error is not None and not isinstance(error, kind):
        error = error.__context__
    return error is not None
