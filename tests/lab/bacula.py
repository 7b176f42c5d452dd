# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Bacula: director with its catalog, storage and file daemon, on ports and in a folder of their own."""

from __future__ import annotations

import os
import re
import shutil
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

import rear_backup_bacula
from lab import engine
from rear_backup_bacula import catalog

TABLES = Path("/usr/share/bacula-director/make_sqlite3_tables")
PROGRAMS = ("bacula-dir", "bacula-sd", "bacula-fd", "bconsole")
NEEDS_BACULA = pytest.mark.skipif(
    not (TABLES.is_file() and all(map(shutil.which, PROGRAMS))),
    reason="Bacula's daemons are not installed: tools/install test does that",
)
# What opens the console, and what the director and the file daemon know of each other.
CONSOLE, CLIENT, STORAGE = "word of the console 1", "word of the client 2", "storage3"

DIRECTOR = """\
Director {{
  Name = lab-dir
  DirAddress = {address}
  DIRport = {dir}
  QueryFile = "{top}/query.sql"
  WorkingDirectory = "{top}/dir"
  PidDirectory = "{top}/dir"
  Maximum Concurrent Jobs = 4
  Password = "{console}"
  Messages = Standard
  FD Connect Timeout = 5 seconds
  SD Connect Timeout = 5 seconds
}}
JobDefs {{
  Name = common
  Type = Backup
  Level = Incremental
  Client = web1-fd
  Storage = file
  Messages = Standard
  Pool = file
  Accurate = yes
}}
Job {{ Name = "save web1"; JobDefs = common; FileSet = everything }}
Job {{ Name = other; JobDefs = common; FileSet = nothing }}
Job {{ Name = restore; JobDefs = common; Type = Restore; FileSet = everything; Where = "{top}/nowhere" }}
FileSet {{
  Name = everything
  Include {{
    Options {{ signature = SHA1; aclsupport = yes; xattrsupport = yes; sparse = yes; onefs = {onefs} }}
{files}
  }}
  Exclude {{
{left_out}
  }}
}}
FileSet {{ Name = nothing; Include {{ Options {{ signature = SHA1 }}; File = "{top}/query.sql" }} }}
Client {{
  Name = web1-fd
  Address = {client_address}
  FDPort = {fd}
  Catalog = catalog
  Password = "{client}"
  AutoPrune = no
}}
Client {{ Name = gone-fd; Address = {address}; FDPort = {nobody}; Catalog = catalog; Password = "{client}" }}
Storage {{ Name = file; Address = {address}; SDPort = {sd}; Password = "{storage}"; Device = file; Media Type = File }}
Pool {{
  Name = file
  Pool Type = Backup
  Label Format = "vol-"
  AutoPrune = no
  Maximum Volume Jobs = 1
  Maximum Volume Bytes = 2G
{pool}
}}
Catalog {{ Name = catalog; dbname = catalog; dbuser = ""; dbpassword = "" }}
Messages {{ Name = Standard; catalog = all; append = "{top}/dir/log" = all }}
"""
STORE = """\
Storage {{
  Name = lab-sd
  SDAddress = {address}
  SDPort = {sd}
  WorkingDirectory = "{top}/sd"
  PidDirectory = "{top}/sd"
}}
Director {{ Name = lab-dir; Password = "{storage}" }}
Device {{
  Name = file
  Media Type = File
  Archive Device = "{top}/volumes"
  Device Type = File
  LabelMedia = yes
  Random Access = yes
  AutomaticMount = yes
  RemovableMedia = no
  AlwaysOpen = no
  Maximum Concurrent Jobs = 4
}}
Messages {{ Name = Standard; director = lab-dir = all }}
"""
FILE_DAEMON = """\
Director {{ Name = lab-dir; Password = "{client}" }}
FileDaemon {{
  Name = web1-fd
  FDAddress = {client_address}
  FDport = {fd}
  WorkingDirectory = "{working}"
  Pid Directory = "{working}"
  Heartbeat Interval = 5
}}
Messages {{ Name = Standard; director = lab-dir = all, !skipped, !restored }}
"""
BCONSOLE = """\
Director {{
  Name = lab-dir
  DIRport = {dir}
  address = {address}
  Password = "{console}"
}}
"""


def ports(count: int) -> list[int]:
    """Ports that are free, each another one."""
    with ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def listens(pid: int, port: int) -> bool:
    """Whether a process takes connections to a port: another one may have it."""
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()]
    sockets = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "0A"}
    with suppress(OSError):
        return any(os.readlink(path) in sockets for path in Path(f"/proc/{pid}/fd").iterdir())
    return False


class Server:
    """The director and the storage daemon, and what the client is told of them."""

    def __init__(
        self, top: Path, files: tuple[str, ...], *, left_out: tuple[str, ...] = (), address: str = "127.0.0.1",
        client_address: str = "127.0.0.1", working: str = "", pool: str = "", onefs: str = "yes",
    ) -> None:  # fmt: skip
        self.top = top
        for name in ("dir", "sd", "fd", "volumes"):
            (top / name).mkdir(parents=True)
        (top / "query.sql").touch()
        self.words: dict[str, object] = {
            "top": top, "address": address, "client_address": client_address, "console": CONSOLE, "client": CLIENT,
            "storage": STORAGE, "working": working or top / "fd", "pool": pool, "onefs": onefs,
            "files": "\n".join(f'    File = "{path}"' for path in files),
            "left_out": "\n".join(f'    File = "{path}"' for path in left_out),
            **dict(zip(("dir", "sd", "fd", "nobody"), ports(4))),
        }  # fmt: skip
        self.console, self.daemon = top / "bconsole.conf", top / "bacula-fd.conf"
        self.write()
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        database = re.search(r"<<END-OF-DATA\n(.*?)^END-OF-DATA", TABLES.read_text(), re.M | re.S)
        assert database
        with sqlite3.connect(top / "dir/catalog.db") as connection:
            connection.executescript(database[1])

    def write(self, **words: object) -> None:
        """Write all configuration, with some words others than they were."""
        self.words.update(words)
        for name, text in (
            ("bacula-dir.conf", DIRECTOR), ("bacula-sd.conf", STORE), ("bacula-fd.conf", FILE_DAEMON),
            ("bconsole.conf", BCONSOLE),
        ):  # fmt: skip
            path = self.top / name
            path.touch(mode=0o600)
            path.write_text(text.format(**self.words))

    def start(self, name: str, network: Path | None = None) -> None:
        """Start `dir`, `sd` or `fd`, and wait until it listens."""
        prefix = ["nsenter", f"--net={network}"] if network else []
        argv = [*prefix, "setpriv", "--pdeathsig", "KILL", f"/usr/sbin/bacula-{name}", "-f", "-P", "-c"]
        log = (self.top / f"{name}.out").open("ab")
        with log:
            self.running[name] = subprocess.Popen(
                [*argv, str(self.top / f"bacula-{name}.conf")], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        for _ in range(200):
            assert self.running[name].poll() is None, (self.top / f"{name}.out").read_text()
            if listens(self.running[name].pid, int(str(self.words[name]))):
                return
            time.sleep(0.05)
        raise AssertionError(f"bacula-{name} never listens: {(self.top / f'{name}.out').read_text()}")

    def stop(self, name: str) -> None:
        """Kill one of them."""
        process = self.running.pop(name)
        process.kill()
        process.wait()

    def bconsole(self, *commands: str) -> str:
        """What the console says."""
        return subprocess.run(
            ["bconsole", "-n", "-c", self.console], input="\n".join(commands) + "\n", capture_output=True, text=True,
            timeout=60, check=False,
        ).stdout  # fmt: skip

    @contextmanager
    def dying(self) -> Iterator[None]:
        """A block in which the storage daemon is killed when a save has written something, and starts again."""
        before, ended, struck = self._written(), threading.Event(), threading.Event()

        def look() -> None:
            while not ended.wait(0.01):
                if self._written() > before + 50_000:
                    self.stop("sd")
                    self.start("sd")
                    struck.set()
                    # A daemon dies with the thread that started it.
                    ended.wait()
                    self.stop("sd")

        self.bconsole("setbandwidth limit=100kb/s client=web1-fd")
        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            assert struck.is_set(), "it was never killed"
            self.start("sd")
            self.bconsole("setbandwidth limit=0 client=web1-fd")

    def _written(self) -> int:
        return sum(path.stat().st_size for path in (self.top / "volumes").iterdir())

    @contextmanager
    def full(self) -> Iterator[None]:
        """A block in which no volume takes anything, and none may be added."""
        before = self.words["pool"]
        self.pool(f"Maximum Volumes = {max(len(list((self.top / 'volumes').iterdir())), 1)}")
        try:
            yield
        finally:
            self.pool(str(before) or "Maximum Volumes = 0")

    def pool(self, line: str) -> None:
        """Change the pool of volumes."""
        self.write(pool=line)
        self.bconsole("reload", "update pool=file")

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self.running):
            self.stop(name)


class Lab(engine.Lab):
    """A machine whose folder a director saves and restores; all three daemons run."""

    plugin = rear_backup_bacula
    program = "bconsole"
    config = """\
BACKUP=BACULA
BACULA_CONSOLE={top}/bacula/bconsole.conf
BACULA_FD={top}/bacula/bacula-fd.conf
BACULA_JOBS=( 'save web1' )
"""

    def __init__(self, top: Path) -> None:
        super().__init__(top)
        self.configure("")
        self.server = Server(top / "bacula", (f"{self.data}",), left_out=(f"{self.data}/left out",))
        for name in ("sd", "fd", "dir"):
            self.server.start(name)

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.__exit__()

    def jobs(self) -> list[catalog.Job]:
        """All jobs in the catalog."""
        return catalog.jobs_in(self.server.bconsole("llist jobs"))
