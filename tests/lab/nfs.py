# SPDX-License-Identifier: GPL-3.0-or-later
"""A real NFS server (nfs-ganesha) that only guests can reach: version 4 alone, without rpcbind."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import cache, qemu

EXPORT = "/export"
START_SECONDS = 30
READY = "NFS SERVER INITIALIZED"

# Newer servers want a privilege that containers may lack; older ones do not know the word, and go on.
CONFIGURATION = """
NFS_CORE_PARAM {{
    Bind_addr = {address};
    NFS_Port = {port};
    NFS_Protocols = 4;
    Enable_NLM = false;
    Enable_RQUOTA = false;
    Enable_UDP = false;
    Allow_Set_Io_Flusher_Fail = true;
}}
NFSV4 {{
    Graceless = true;
    Only_Numeric_Owners = true;
    RecoveryRoot = "{private}";
}}
EXPORT {{
    Export_Id = 1;
    Path = "{directory}";
    Pseudo = "{export}";
    Protocols = 4;
    Transports = TCP;
    Access_Type = RW;
    Squash = No_Root_Squash;
    SecType = sys;
    PrivilegedPort = false;
    FSAL {{ Name = VFS; }}
}}
"""


# The server finds what it is to serve among the mounts, in a file that every started system has. In a tree that was
# entered by chroot, / is none of them.
AMONG_MOUNTS = """
set -e
[ -e /etc/mtab ] || ln -s ../proc/self/mounts /etc/mtab
mount --rbind "$1" "$1"
shift
exec "$@"
"""


@dataclass(frozen=True)
class Server:
    """A server that runs, or did until somebody killed its process; guests mount `10.0.2.2:/export` at this port."""

    port: int
    process: subprocess.Popen[bytes]


@contextmanager
def server(directory: Path, port: int = 0, network: Path | None = None) -> Iterator[Server]:
    """Serve a directory as /export to whoever may connect to the loopback interface, inside a `with` block.

    With `network`, the namespace of a guest's cables, it listens there as 10.0.2.2 instead. Without a port a free one
    is taken. The log is kept with the cache, as transcripts/nfs-PID.log of this process.
    """
    port = port or qemu.free_port()
    address = "10.0.2.2" if network else "127.0.0.1"
    log = cache.directory() / f"transcripts/nfs-{os.getpid()}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("")
    Path("/run/ganesha").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="rear-nfs.") as private:
        path = Path(private, "ganesha.conf")
        places = {"port": port, "address": address, "private": private, "directory": directory, "export": EXPORT}
        path.write_text(CONFIGURATION.format(**places))
        # setpriv: should this process be killed, the server is killed too.
        argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", AMONG_MOUNTS, "sh", f"{directory}"]
        argv += ["setpriv", "--pdeathsig", "KILL", "ganesha.nfsd", "-F"]
        argv += ["-f", f"{path}", "-L", f"{log}", "-p", f"{private}/pid"]
        argv = ["nsenter", f"--net={network}", *argv] if network else argv
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL) as process:
            try:
                _wait(process, log)
                yield Server(port, process)
            finally:
                process.kill()


def _wait(process: subprocess.Popen[bytes], log: Path) -> None:
    """Return when the server answers; raise with its log when it does not."""
    deadline = time.monotonic() + START_SECONDS
    while READY not in log.read_text(errors="replace"):
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"the NFS server did not start:\n{log.read_text(errors='replace')[-4000:]}")
        time.sleep(0.05)
