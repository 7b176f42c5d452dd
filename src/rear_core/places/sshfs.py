# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders behind an ssh server as folders of this machine, by sshfs(1): the server needs no more than sftp."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from ..contents import Contents
from ..errors import Refused
from ..mounts import mount_points
from . import mounted, ssh
from .url import Url

if TYPE_CHECKING:
    from ..run import Run
    from ..shell import Running

# What belongs to the user of the server is root's here; sshfs itself adds nodev and nosuid.
OPTIONS = ("idmap=user", "default_permissions")
CLIENT = Contents(
    programs=["sshfs", "ssh", "setpriv", "mount", "umount"], optional_programs=["fusermount3"], modules=["fuse"],
    files=["/root/.ssh/known_hosts", "/root/.ssh/config", "/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_config"],
)  # fmt: skip


@contextmanager
def sshfs(run: Run, url: Url, options: str, patience: float) -> Iterator[Path]:
    """A folder of a server, which must exist; sshfs runs for as long as it is open, and never longer than rear.

    Nobody is asked for a password: ssh needs a key, and a server that root's known_hosts knows.
    """
    if missing := [program for program in ("sshfs", "ssh") if not run.sh.which(program)]:
        raise Refused(f"{url} cannot be mounted without {missing[0]}", run.plugins.install_advice(missing))
    if not os.path.exists("/dev/fuse"):
        run.sh.run("modprobe", "fuse")
    # The first value counts, and so what the administrator says goes before ours.
    words = [*options.split(","), *ssh.OPTIONS, *OPTIONS, *([f"port={url.port}"] if url.port else [])]
    source = f"{url.user}@{url.host}:{url.path}" if url.user else f"{url.host}:{url.path}"
    command = ["sshfs", "-f", *(word for option in words if option for word in ("-o", option)), source]
    deadline = time.monotonic() + patience
    with mounted.private_folder(run) as directory, _guarded(run, url, directory), TemporaryFile() as said:
        while True:
            with run.sh.background(*command, directory, output=said) as running:
                if _is_up(running, directory):
                    try:
                        yield directory
                    finally:
                        if _is_mounted(directory):
                            mounted.unmount(run, url, directory)
                    return
            said.seek(0)
            problem = said.read().decode(errors="replace").strip().splitlines()[-2:]
            mounted.wait_or_refuse(run, url, " ".join(problem), command, deadline)


@contextmanager
def _guarded(run: Run, url: Url, directory: Path) -> Iterator[None]:
    """A folder that nobody can write to below the mount: sshfs ends when its server is gone, and what is written by
    name from then on would be on this machine."""
    run.sh.run("mount", "--types", "tmpfs", "--options", "ro,nr_inodes=1", "tmpfs", directory)
    try:
        yield
    finally:
        mounted.unmount(run, url, directory)


def _is_up(running: Running, directory: Path) -> bool:
    """Whether it comes up, as it does within seconds or not at all."""
    deadline = time.monotonic() + mounted.MOUNT_SECONDS
    while running.process.poll() is None and time.monotonic() < deadline:
        # It is mounted before the server has said yes.
        with suppress(OSError):
            if _is_mounted(directory):
                os.listdir(directory)
                return True
        time.sleep(0.05)
    return False


def _is_mounted(directory: Path) -> bool:
    """Whether sshfs has it, also when its server does not answer."""
    return any(point.target == os.fspath(directory) and point.fstype == "fuse.sshfs" for point in mount_points())
