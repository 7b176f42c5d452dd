# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine whose only files are a folder, and places for backups, for the tests with the real rsync."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType

import pytest

import rear_backup_rsync
from lab import engine, servers
from rear_backup_rsync import manifest

NEEDS_RSYNC = pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync is not installed")
# Who it is on a server where rsync is not root.
USER = 23456
CONFIG = """\
BACKUP_PREFIX=web1
BACKUP=RSYNC
"""
# rsync sends so slowly that it can be interrupted.
SLOW = "RSYNC_OPTIONS=( --bwlimit=2000 )\n"


class Lab(engine.Lab):
    """The place is a folder unless something else is set."""

    plugin = rear_backup_rsync
    config = CONFIG
    program = "rsync"

    def __init__(self, top: Path) -> None:
        super().__init__(top)
        (self.data / "one/same").write_text("never changes")
        self.home = top / "place/rsync/web1"

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """A server for everybody is not below the folder of the test, which is root's."""
        if self.home.is_relative_to(tempfile.gettempdir()) and self.top not in self.home.parents:
            shutil.rmtree(self.home.parent.parent)

    def names(self) -> list[str]:
        """What is in the folder of this machine's backups."""
        return sorted(path.name for path in self.home.iterdir()) if self.home.is_dir() else []

    def generations(self) -> list[manifest.Generation]:
        return list(manifest.found(self.home).whole)

    def tree(self, name: str = "") -> Path:
        """The saved folder in a backup, the last one unless a name is given."""
        return Path(f"{self.home}/{name or self.generations()[-1].name}/tree{self.data}")

    def change(self, name: str, **facts: object) -> None:
        """Another manifest than was written."""
        path = self.home / name / manifest.NAME
        path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))

    @contextmanager
    def sshd(self, *, root: bool = False) -> Iterator[servers.Sshd]:
        """An ssh server with the place; but for root all that is started there is started by another user."""
        work = self.top / "sshd"
        work.mkdir()
        place = Path(tempfile.mkdtemp(prefix="rear-rsync-"))
        place.chmod(0o755)
        (place / "backups").mkdir(mode=0o700)
        if not root:
            os.chown(place / "backups", USER, USER)
        self.home = place / "backups/web1"
        with servers.sshd(work) as server:
            if not root:
                key = work / "user.pub"
                forced = f'exec setpriv --reuid {USER} --regid {USER} --clear-groups sh -c \\"$SSH_ORIGINAL_COMMAND\\"'
                key.write_text(f'command="{forced}" {key.read_text()}')
            words = " ".join(f"-o {option}" for option in server.options.split(","))
            self.configure(
                f"RSYNC_REPOSITORY=ssh://root@127.0.0.1:{server.port}{place}/backups\n"
                f"RSYNC_RSH='ssh -o BatchMode=yes -o KexAlgorithms=curve25519-sha256 {words}'\n"
            )
            yield server


def facts(top: Path) -> Mapping[str, object]:
    """All that belongs to each file below a folder, by its name as the file system has it."""
    found: dict[str, object] = {}
    for folder, folders, files in os.walk(os.fsencode(top)):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            status = os.lstat(path)
            attributes = {key: os.getxattr(path, key, follow_symlinks=False) for key in _attributes(path)}
            content = os.readlink(path) if os.path.islink(path) else b""
            if os.path.isfile(path) and not os.path.islink(path):
                content = Path(os.fsdecode(path)).read_bytes()
            found[os.fsdecode(os.path.relpath(path, os.fsencode(top)))] = (
                status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, status.st_rdev,
                status.st_nlink if name in files else 0, attributes, content,
            )  # fmt: skip
    return found


def _attributes(path: bytes) -> list[str]:
    return sorted(os.listxattr(path, follow_symlinks=False))


settings_problem = partial(engine.settings_problem, rear_backup_rsync)
