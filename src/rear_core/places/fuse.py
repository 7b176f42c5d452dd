# SPDX-License-Identifier: GPL-3.0-or-later
"""Places that a program shows as a folder for as long as it runs, as sshfs(1) and rclone(1) do (fuse(4))."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from ..errors import ProgramFailed, Refused
from ..mounts import mount_points
from .mounted import MOUNT_SECONDS, private_folder, unmount, wait_or_refuse

if TYPE_CHECKING:
    from ..run import Run
    from ..shell import Running

# Until a program has noticed that nothing is mounted any more.
END_SECONDS = 10


@contextmanager
def shown(
    run: Run,
    place: object,
    command: Sequence[str],
    patience: float = 0,
    env: Mapping[str, str] | None = None,
    *,
    writable: bool = True,
) -> Iterator[Path]:
    """What a command, which stays in the foreground, shows in the folder that becomes its last word.

    It never runs longer than rear. The user knows it as a `place`; `env` has what nobody may see among its arguments.
    `Refused` where it is not installed, or ends before the folder can be read.
    """
    if not run.sh.which(command[0]):
        raise Refused(f"{place} cannot be mounted without {command[0]}", run.plugins.install_advice([command[0]]))
    if not os.path.exists("/dev/fuse"):
        run.sh.run("modprobe", "fuse")
    deadline = time.monotonic() + patience
    with private_folder(run) as directory, ExitStack() as undo:
        said = undo.enter_context(TemporaryFile())
        if writable:
            undo.enter_context(_guarded(run, place, directory))
        while True:
            with run.sh.background(*command, directory, output=said, env=env) as running:
                if _is_up(running, directory):
                    try:
                        yield directory
                    finally:
                        if _is_shown(directory):
                            unmount(run, place, directory)
                        # It may want to clean up as well, and must not do so later on.
                        with suppress(ProgramFailed):
                            running.wait(END_SECONDS)
                    return
            said.seek(0)
            problem = " ".join(said.read().decode(errors="replace").split("\n")[-3:]).strip()
            wait_or_refuse(run, place, problem or f"{command[0]} does not answer", command, deadline)


@contextmanager
def _guarded(run: Run, place: object, directory: Path) -> Iterator[None]:
    """A folder that nobody can write to below the mount: the program may end when its server is gone, and what is
    written by name from then on would be on this machine."""
    run.sh.run("mount", "--types", "tmpfs", "--options", "ro,nr_inodes=1", "tmpfs", directory)
    try:
        yield
    finally:
        unmount(run, place, directory)


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
