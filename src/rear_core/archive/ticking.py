# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress of a client that tells none itself, and an end where nothing comes any more."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from threading import Event, Thread

from ..errors import RearError
from .external import Client
from .watch import ASIDE

# Seconds between two looks at how much came.
INTERVAL = 0.5
# Seconds for a client to end in order.
GRACE = 10


@contextmanager
def ticking(client: Client, minutes: float) -> Iterator[Client]:
    """The client while its progress is shown; `RearError` where nothing comes for so many minutes, 0 for ever.

    restic tries for a minute to read each file of a repository that is gone, borg waits for a server that is silent.
    """
    pids: list[int] = []
    ended, hung = Event(), Event()

    def follow(started: Sequence[int]) -> None:
        pids[:] = started

    def look() -> None:
        before, since = client.done(), time.monotonic()
        while not ended.wait(INTERVAL):
            done = client.done()
            client.progress.at(done)
            if done != before:
                before, since = done, time.monotonic()
            elif 0 < 60 * minutes < (waited := time.monotonic() - since):
                hung.set()
                number = signal.SIGTERM if waited < 60 * minutes + GRACE else signal.SIGKILL
                for pid in pids:
                    # With the ssh that it has started, for whose end borg waits.
                    with suppress(ProcessLookupError):
                        os.killpg(pid, number)

    looking = Thread(target=look, name=ASIDE, daemon=True)
    looking.start()
    try:
        yield replace(client, started=follow)
    except RearError as error:
        if hung.is_set():
            raise RearError(
                f"no file came for {minutes:g} minutes: the repository hangs or is gone",
                "check its server or disk, then run it again; the log has what the client said",
            ) from error
        raise
    finally:
        ended.set()
        looking.join()
