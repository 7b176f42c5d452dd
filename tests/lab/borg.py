# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine whose only files are a folder, and a repository, for the tests with the real borg."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import TracebackType

import pytest

import rear_backup_borg
from lab import engine, servers
from rear_backup_borg import archives
from rear_core.shell import SEARCH_PATH

BORG = shutil.which("borg")
NEEDS_BORG = pytest.mark.skipif(BORG is None, reason="borg is not installed: tools/install test does that")
PASSPHRASE = "a word of borg 1"
SECURITY = Path("/root/.config/borg/security")
CONFIG = """\
BACKUP=BORG
BORG_PASSPHRASE_FILE={top}/passphrase
BORG_LOCK_WAIT=1
"""
# borg sends so slowly that it can be interrupted.
SLOW = "BORG_OPTIONS=( --upload-ratelimit=100 )\n"


class Lab(engine.Lab):
    """The repository is in a folder unless something else is set; with `empty` there is none as yet."""

    plugin = rear_backup_borg
    config = CONFIG
    program = "borg"

    def __init__(self, top: Path, *, empty: bool = False) -> None:
        super().__init__(top)
        (top / "passphrase").write_text(f"{PASSPHRASE}\n")
        (top / "passphrase").chmod(0o600)
        if BORG and os.path.dirname(BORG) not in SEARCH_PATH.split(":"):
            # Another borg than the distribution's is tried by the path of these tests.
            (top / "bin/borg").symlink_to(BORG)
        self.folder = top / "place/borg"
        if not empty:
            self.borg("init", "--encryption=repokey-blake2", str(self.folder))

    @property
    def environment(self) -> Mapping[str, str]:
        return {"BORG_BASE_DIR": str(self.top)}

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """What borg remembers of a repository that is gone is of no use."""
        for config in self.top.glob("*/*/config"):
            id = config.read_text().partition("\nid = ")[2].partition("\n")[0]
            if len(id) == 64:
                shutil.rmtree(SECURITY / id, ignore_errors=True)

    def borg(self, *words: str) -> str:
        """What borg itself says."""
        environment = {
            **os.environ, "BORG_PASSPHRASE": PASSPHRASE, "BORG_BASE_DIR": str(self.top),
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
        }  # fmt: skip
        argv = [str(BORG), *words]
        return subprocess.run(argv, env=environment, check=True, capture_output=True, text=True, timeout=60).stdout

    def archives(self) -> list[archives.Archive]:
        return list(archives.read(self.borg("list", "--json", "--format", "{comment}", str(self.folder))).archives)

    def foreign(self, title: str, path: Path | None = None) -> None:
        """An archive as rear makes it on another machine."""
        paths = f'["{path}"]' if path else "[]"
        comment = f'{{{{"rear": 1, "machine": "1234", "paths": {paths}}}}}'
        self.borg("create", "--comment", comment, f"{self.folder}::{title}", str(path or self.etc))

    def titles(self) -> list[str]:
        """What borg calls all archives, with what interrupted saves left."""
        return self.borg("list", "--consider-checkpoints", "--short", str(self.folder)).split()

    def borgs(self, words: str) -> list[str]:
        """The processes of borg with these words on their command line, and a file of this lab."""
        found = subprocess.run(["pgrep", "--full", f"borg {words}.*{self.top}"], capture_output=True, text=True)
        return found.stdout.split()

    @staticmethod
    def strike(pids: Iterable[str], number: signal.Signals) -> None:
        """Send a signal to processes that may be gone."""
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(int(pid), number)

    @contextmanager
    def sshd(self, options: str = "") -> Iterator[str]:
        """The settings for the repository on an ssh server, which lets nobody run anything but borg, with `options`."""
        work = self.top / "sshd"
        work.mkdir()
        with servers.sshd(work) as server:
            self.port = server.port
            key, forced = work / "user.pub", f"exec borg serve {options} --restrict-to-path {self.folder}"
            key.write_text(f'command="{forced}",restrict {key.read_text()}')
            words = " ".join(f"-o {option}" for option in server.options.split(","))
            yield (
                f"BORG_REPOSITORY=ssh://root@127.0.0.1:{server.port}{self.folder}\n"
                f"BORG_RSH='ssh -o BatchMode=yes {words}'\n"
            )

    @contextmanager
    def dying_server(self, number: signal.Signals = signal.SIGKILL) -> Iterator[None]:
        """A block in which the borg on the server gets a signal as soon as files come."""
        ended = threading.Event()

        def look() -> None:
            while not ended.is_set():
                serving = self.borgs("serve")
                if serving and any(self.demo.rglob("large")):
                    self.strike(serving, number)
                    return
                time.sleep(0.02)

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self.strike(self.borgs("serve"), signal.SIGKILL)

    def largest(self) -> Path:
        """The file of the repository with the data."""
        files = [path for path in (self.folder / "data").rglob("*") if path.is_file()]
        return max(files, key=lambda path: path.stat().st_size)

    def damage(self, *places: float) -> None:
        """Change some bytes in the data, at parts of its length."""
        with self.largest().open("r+b") as file:
            length = os.fstat(file.fileno()).st_size
            for place in places:
                file.seek(int(length * place))
                file.write(b"damaged")


settings_problem = partial(engine.settings_problem, rear_backup_borg)
