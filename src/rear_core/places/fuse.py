# SPDX-License-Identifier: GPL-3.0-or-later
"""Places that a program shows as a folder for as long as it runs, as sshfs(1) and rclone(1) do (fuse(4))."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from ..errors import Refused
from ..mounts import mount_points
from .mounted import MOUNT_SECONDS, private_folder, unmount, wait_or_refuse
from .url import Url

if TYPE_CHECKING:
    from ..run import Run
    from ..shell import Running


@contextmanager
def shown(run: Run, url: Url, command: Sequence[str], patience: float = 0) -> Iterator[Path]:
    """What a command, which stays in the foreground, shows in the folder that becomes its last word.

    It never runs longer than rear. `Refused` where it is not installed, or ends before the folder can be read.
    """
    if not run.sh.which(command[0]):
        raise Refused(f"{url} cannot be mounted without {command[0]}", run.plugins.install_advice([command[0]]))
    if not os.path.exists("/dev/fuse"):
        run.sh.run("modprobe", "fuse")
    deadline = time.monotonic() + patience
    with private_folder(run) as directory, _guarded(run, url, directory), TemporaryFile() as said:
        while True:
            with run.sh.background(*command, directory, output=said) as running:
                if _is_up(running, directory):
                    try:
                        yield directory
                    finally:
                        if _is_shown(directory):
                            unmount(run, url, directory)
                    return
            said.seek(0)
            problem = " ".join(said.read().decode(errors="replace").split("\n")[-3:]).strip()
            wait_or_refuse(run, url, problem or f"{command[0]} does not answer", command, deadline)


@contextmanager
def _guarded(run: Run, url: Url, directory: Path) -> Iterator[None]:
    """A folder that nobody can write to below the mount: the program may end when its server is gone, and what is
    written by name from then on would be on this machine."""
    run.sh.run("mount", "--types", "tmpfs", "--options", "ro,nr_inodes=1", "tmpfs", directory)
    try:
        yield
    finally:
        unmount(run, url, directory)


def _is_up(running: Running, directory: Path) -> bool:
    """Whether it comes up, as it does within seconds or not at all."""
    deadline = time.monotonic() + MOUNT_SECONDS
    while running.process.poll() is None and time.monotonic() < deadline:
        # It is mounted before the server has said yes.
        with suppress(OSError):
            if _is_shown(directory):
                os.listdir(directory)
                return True
        time.sleep(0.05)
    return False


def _is_shown(directory: Path) -> bool:
    """Whether the program has it, also when its server does not answer."""
    return any(point.target == os.fspath(directory) and point.fstype.startswith("fuse") for point in mount_points())
