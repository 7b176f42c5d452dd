# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders behind an ssh server as folders of this machine, by sshfs(1): the server needs no more than sftp."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..contents import Contents
from . import fuse, ssh
from .url import Url

if TYPE_CHECKING:
    from ..run import Run

# What belongs to the user of the server is root's here; sshfs itself adds nodev and nosuid.
OPTIONS = ("idmap=user", "default_permissions")
CLIENT = Contents(
    programs=["sshfs", "ssh", "setpriv", "mount", "umount"], optional_programs=["fusermount3"], modules=["fuse"],
    files=["/root/.ssh/known_hosts", "/root/.ssh/config", "/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_config"],
)  # fmt: skip


@contextmanager
def sshfs(run: Run, url: Url, options: str, patience: float) -> Iterator[Path]:
    """A folder of a server, which must exist.

    Nobody is asked for a password: ssh needs a key, and a server that root's known_hosts knows.
    """
    # The first value counts, and so what the administrator says goes before ours.
    words = [*options.split(","), *ssh.OPTIONS, *OPTIONS, *([f"port={url.port}"] if url.port else [])]
    source = f"{url.user}@{url.host}:{url.path}" if url.user else f"{url.host}:{url.path}"
    command = ["sshfs", "-f", *(word for option in words if option for word in ("-o", option)), source]
    with fuse.shown(run, url, command, patience) as directory:
        yield directory
