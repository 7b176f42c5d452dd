# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Samba server that only guests can reach, with one share and one user."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import cache

USER, PASSWORD, SHARE = "nobody", "pass,word 1'\"", "store"
START_SECONDS = 30

# Whatever the name of the user, files are written as root: what counts is who logs in.
CONFIGURATION = """\
[global]
workgroup = LAB
netbios name = LAB
interfaces = 10.0.2.2
bind interfaces only = yes
smb ports = 445
disable netbios = yes
server role = standalone server
server min protocol = SMB3
smb encrypt = required
map to guest = never
load printers = no
private dir = {private}
lock directory = {private}
state directory = {private}
cache directory = {private}
pid directory = {private}
ncalrpc dir = {private}/ncalrpc
passdb backend = tdbsam:{private}/passdb.tdb
log file = {log}

[store]
path = {directory}
read only = no
force user = root
"""


@contextmanager
def server(directory: Path, private: Path, network: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Serve a directory as //10.0.2.2/store in the namespace of a guest's cables, inside a `with` block.

    The server needs a `private` folder for itself. Its log is kept with the cache, as transcripts/samba-PID.log.
    """
    log = cache.directory() / f"transcripts/samba-{os.getpid()}.log"
    private.mkdir(mode=0o700)
    configuration = private / "smb.conf"
    configuration.write_text(CONFIGURATION.format(directory=directory, private=private, log=log))
    subprocess.run(
        ["pdbedit", f"--configfile={configuration}", "--create", f"--user={USER}", "--password-from-stdin"],
        input=f"{PASSWORD}\n{PASSWORD}\n", text=True, check=True, capture_output=True,
    )  # fmt: skip
    # setpriv: should this process be killed, the server is killed too.
    command = ["nsenter", f"--net={network}", "setpriv", "--pdeathsig", "KILL"]
    command += ["smbd", "--foreground", "--no-process-group", f"--configfile={configuration}"]
    with log.open("ab") as output:
        # When it ends, it ends its whole process group.
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not listens(network):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"smbd did not start: {log.read_text()[-2000:]}")
            time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        process.wait()


def listens(network: Path) -> bool:
    """Whether somebody listens at the port of SMB."""
    shown = subprocess.run(
        ["nsenter", f"--net={network}", "ss", "--listening", "--tcp", "--numeric"], capture_output=True, text=True
    )
    return "10.0.2.2:445 " in shown.stdout
