# SPDX-License-Identifier: GPL-3.0-or-later
"""An iSCSI target in user space: tgtd, which needs nothing of the host's kernel."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import qemu

START_SECONDS = 60
LUN = ("--tid", "1", "--lun", "1")


@dataclass(frozen=True)
class Daemon:
    """A tgtd that runs; `port` is that of its targets, `socket` that of its own tool."""

    port: int
    socket: str

    def control(self, mode: str, operation: str, *arguments: str) -> None:
        """Tell it to do something."""
        argv = ["tgtadm", "-C", self.socket, "--lld", "iscsi", "--mode", mode, "--op", operation, *arguments]
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        assert done.returncode == 0, f"{argv}: {done.stdout}"

    def offer(self, target: str, path: Path, *unit: str, initiators: str = "ALL") -> None:
        """Have it offer a file as unit 1 of a new target; `unit` are options of tgtadm."""
        self.control("target", "new", "--tid", "1", "-T", target)
        self.control("logicalunit", "new", *LUN, "-b", f"{path}", *unit)
        self.control("target", "bind", "--tid", "1", "-I", initiators)


@contextmanager
def running(address: str = "127.0.0.1", network: Path | None = None, port: int = 0) -> Iterator[Daemon]:
    """A daemon for as long as the block runs, at an address of this machine or of a network namespace; unless the port
    is given, it is one that nobody uses."""
    free = qemu.free_port()
    port = port or free
    # tgtd numbers its sockets from 0 to 32767.
    made = Daemon(port, str(free % 32768))
    with tempfile.TemporaryFile() as log:
        # setpriv: should this process be killed, the daemon is gone, too.
        argv = ["setpriv", "--pdeathsig", "KILL", "tgtd", "-f", "-C", made.socket]
        argv += ["--iscsi", f"portal={address}:{port}"]
        argv = ["nsenter", f"--net={network}", *argv] if network else argv
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log) as process:
            try:
                _wait(process, Path(f"/run/tgtd/socket.{made.socket}"))
                yield made
            finally:
                process.kill()


def _wait(process: subprocess.Popen[bytes], socket: Path) -> None:
    """Return when tgtd can be spoken to."""
    deadline = time.monotonic() + START_SECONDS
    while not socket.exists():
        assert process.poll() is None and time.monotonic() < deadline, "tgtd did not start"
        time.sleep(0.05)
