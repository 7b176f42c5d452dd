# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders that rsync reaches: by ssh, with keys, or behind a daemon, with a password that no argument has."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ..errors import ProgramFailed, RearError, Refused
from ..trust import check_secret
from . import ssh
from .delivery import checksum
from .url import Url

if TYPE_CHECKING:
    from ..run import Run

# rsync(1): partial transfer due to error, as when a file is not there
PARTIAL = 23
# Seconds in which a daemon has to answer, and those more that it may need to sum up so many bytes without a word.
CONNECT_SECONDS, SILENCE_SECONDS, SUMMED = 30, 60, 10 << 20
# What rsync prints where a daemon is asked for less than it has, and what to do.
HINTS = (
    ("auth failed", "check the user in the URL, and the password in RSYNC_PASSWORD_FILE"),
    ("password file|read a password", "write the password alone into that file, in its first line"),
    ("Unknown module", "the first folder of the URL is a module of the daemon: `rsync rsync://SERVER/` lists them"),
    ("read only", "set `read only = no` for that module in rsyncd.conf"),
    ("No such file", "create that folder in the module"),
    ("[Nn]o space|quota", "make room on that server"),
    ("configured to refuse", "allow --checksum, --perms and --delete for that module in rsyncd.conf"),
    ("refused", "start the daemon of rsync there, or reach it by ssh: rsync+ssh://user@server/folder"),
    ("timed out|timeout", "check that server, the network and its firewall"),
)


@dataclass(frozen=True)
class Transport:
    """How rsync gets to a server: its options, its environment, and how a path there is written.

    `failed` makes of an error what is told.
    """

    words: Callable[[int], Sequence[str]]
    target: Callable[[str], str]
    environment: Mapping[str, str] = field(default_factory=dict)
    failed: Callable[[ProgramFailed], RearError] = lambda error: error


def by_ssh(url: Url, options: str) -> Transport:
    """A login on the server, which has rsync."""
    command = shlex.join(["ssh", *ssh.words(url, options)])
    return Transport(lambda _size: [f"--rsh={command}"], lambda path: f"{url.host}:{path}")


def by_daemon(run: Run, url: Url, options: str) -> Transport:
    """A daemon of rsync; the first folder of the URL is its module (rsyncd.conf(5))."""
    if options:
        raise Refused(f"{url} takes no options, and OUTPUT_OPTIONS has {options}", "empty OUTPUT_OPTIONS")
    user, port = f"{url.user}@" if url.user else "", f":{url.port}" if url.port else ""
    file = Path(run.settings["RSYNC_PASSWORD_FILE"])
    if file != Path():
        check_secret(file, "RSYNC_PASSWORD_FILE")
    password = [f"--password-file={file}"] if file != Path() else []

    def words(size: int) -> Sequence[str]:
        silence = SILENCE_SECONDS + size // SUMMED
        return [f"--contimeout={CONNECT_SECONDS}", f"--timeout={silence}", *password]

    def failed(error: ProgramFailed) -> RearError:
        # The last line is a summary ("rsync error: ..."); why comes before that.
        lines = [line for line in error.output.splitlines() if line.strip()]
        reason = next((line for line in lines if re.search("ERROR:|failed|password|refuse", line)), error.message)
        hint = next((hint for words, hint in HINTS if re.search(words, error.output)), "see the log")
        return RearError(f"{url} failed: {reason.strip().removeprefix('@ERROR: ')}", hint)

    # Without one a password would be asked for on the terminal.
    asked_for = {} if password else {"RSYNC_PASSWORD": ""}
    return Transport(words, lambda path: f"rsync://{user}{url.host}{port}{path}", asked_for, failed)


@dataclass(frozen=True)
class Rsync:
    """The folder must exist, and rsync on the server."""

    run: Run
    url: Url
    transport: Transport
    mode: int

    def put(self, source: Path, name: str, sha256: str) -> None:
        """rsync writes beside the place and renames; both sides then sum up what they have on their disks."""
        if checksum(source) != sha256:
            raise RearError(f"{source} has changed", "check the storage of this machine")
        size = source.stat().st_size
        with self._work() as work:
            link = work / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(source)
            copy = (
                "--copy-links", "--perms", f"--chmod=F{self.mode:o}", "--relative", "--no-implied-dirs",
                f"{work}/./{name}", self._target(""),
            )  # fmt: skip
            self._rsync("--ignore-times", *copy, size=size)
            if self._rsync("--checksum", "--dry-run", "--out-format=%i %n", *copy, size=size).startswith("<f"):
                raise RearError(f"{self.url}/{name} differs from {source}", "check the storage of that server")

    def read(self, name: str) -> bytes | None:
        """Fetch a file."""
        with self._work() as work:
            # What is fetched is a pattern to rsync over there.
            source = "/".join(map(_literal, self._path(name).split("/")))
            self._rsync(self.transport.target(source), f"{work}/file", ok=_is_absent)
            return (work / "file").read_bytes() if (work / "file").exists() else None

    def remove(self, folder: str, names: Sequence[str]) -> None:
        """Make the folder like an empty one, as far as these names go."""
        self._forget(folder, names)
        if folder:
            parent, _, leaf = folder.rpartition("/")
            self._forget(parent, [leaf])

    def _forget(self, folder: str, names: Sequence[str]) -> None:
        with self._work() as work:
            only = [f"--include=/{_literal(name)}" for name in names]
            # 23: a folder that is not empty stays.
            self._rsync(
                "--recursive", "--delete", *only, "--exclude=*", f"{work}/", self._target(f"{folder}/"),
                ok=lambda error: error.status == PARTIAL,
            )  # fmt: skip

    def _path(self, name: str) -> str:
        return f"{self.url.path.rstrip('/')}/{name}"

    def _target(self, name: str) -> str:
        return self.transport.target(self._path(name))

    def _rsync(self, *words: str, size: int = 0, ok: Callable[[ProgramFailed], bool] = lambda _: False) -> str:
        """What rsync prints, "" where it failed in a way that is `ok`; it deals with a file of `size` bytes."""
        way = self.transport
        argv = ["rsync", "--protect-args", *way.words(size), *words]
        try:
            return self.run.sh.run(*argv, env=way.environment, timeout=ssh.SECONDS).stdout
        except ProgramFailed as error:
            if ok(error):
                return ""
            raise way.failed(error) from error

    @contextmanager
    def _work(self) -> Iterator[Path]:
        with TemporaryDirectory(dir=self.run.build_dir) as folder:
            yield Path(folder)


def _is_absent(error: ProgramFailed) -> bool:
    """Whether rsync did not find a file."""
    return error.status == PARTIAL and "No such file" in error.output


def _literal(name: str) -> str:
    """A name as a pattern of rsync(1), where a backslash is one unless the pattern has wildcards."""
    return re.sub(r"([\\*?\[])", r"\\\1", name) if re.search(r"[*?\[]", name) else name
