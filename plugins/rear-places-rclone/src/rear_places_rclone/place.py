# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder of a remote, by rclone(1): what was put there is read back, all of it, and compared by content."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rear_core import ProgramFailed, RearError, Refused, Run, own_files
from rear_core.places.delivery import beside, checksum
from rear_core.places.url import Url

from .remotes import Remote

# Seconds in which a server has to answer, those more that it may need to store so many bytes, and those for all of a
# first look and of a transfer. What fails is tried again, which some servers expect.
CONNECT_SECONDS, SILENCE_SECONDS, STORED = 30, 60, 10 << 20
CONTACT_SECONDS, SECONDS = 90, 12 * 60 * 60
TRIES = 2
# Exit statuses of rclone: no such folder, no such file.
ABSENT = (3, 4)
# rclone makes no bucket that is missing. It does not look at what it has just put to S3, which some servers answer with
# an error: what is read back says more.
ENVIRONMENT = {
    "RCLONE_S3_NO_CHECK_BUCKET": "true", "RCLONE_S3_NO_HEAD": "true", "RCLONE_GCS_NO_CHECK_BUCKET": "true",
    "RCLONE_AZUREBLOB_NO_CHECK_CONTAINER": "true", "RCLONE_ASK_PASSWORD": "false",
}  # fmt: skip
# rclone takes an old file of the same size for the new one, where a server keeps no times or has the same.
ANYHOW = ("--ignore-times",)
# What rclone prints, and what to do; the first that fits.
HINTS = (
    ("x509|certificate", "install the certificate of the server's authority on this machine"),
    ("NoSuchBucket|bucket does not exist", "create that bucket"),
    (
        r"\b40[13]\b|AccessDenied|Forbidden|Unauthorized|SignatureDoesNotMatch|InvalidAccessKeyId",
        "check the login in that section of RCLONE_CONFIG, and what it may do there: list, read, write, remove",
    ),
    (
        r"\b507\b|\b413\b|[Ii]nsufficient|[Qq]uota|[Nn]o space|too large|TooLarge",
        "make room there, or raise its limits",
    ),
    (
        "not finished|timeout|timed out|deadline|refused|no such host|unreachable|EOF|reset",
        "check that server and the network",
    ),
)


class Rclone:
    """Where the server can rename, a file is written beside its place; a store of objects replaces one at once."""

    def __init__(self, run: Run, url: Url, remote: Remote) -> None:
        self.run, self.url, self.remote = run, url, remote

    def put(self, source: Path, name: str, sha256: str) -> None:
        """Send the file, read it back, and let it take its place."""
        if checksum(source) != sha256:
            raise RearError(f"{source} has changed", "check the storage of this machine")
        self._check_there()
        sent = str(beside(Path(name))) if self._features["Move"] else name
        size = source.stat().st_size
        with TemporaryDirectory(dir=self.run.build_dir) as work:
            # rclone has a meaning for some characters in the names of this machine.
            link = Path(work, "file")
            link.symlink_to(source)
            self._do("copyto", "--copy-links", *ANYHOW, str(link), self._at(sent), size=size)
        digest = hashlib.sha256()
        self._read(sent, digest.update)
        if digest.hexdigest() != sha256:
            if sent != name:
                self._do("deletefile", self._at(sent))
            raise RearError(f"{self.url}/{name} differs from {source}", "check the storage of that server")
        if sent != name:
            self._rename(sent, name, size)

    def read(self, name: str) -> bytes | None:
        """Fetch a file."""
        found = self._look(name)
        if found is None:
            return None
        content = bytearray()
        if found["Size"] > own_files.LARGEST:
            raise RearError(f"{self.url}/{name} has {found['Size']} bytes, too many to be of rear", "remove it there")
        self._read(name, content.extend)
        if len(content) != found["Size"] >= 0:
            raise RearError(f"{self.url}/{name} was not read to its end", "check that server and the network")
        return bytes(content)

    def remove(self, folder: str, names: Sequence[str]) -> None:
        """Remove the files; a folder that is not empty stays."""
        for name in names:
            path = f"{folder}/{name}" if folder else name
            if self._look(path):
                self._do("deletefile", self._at(path))
        if folder and self._features["CanHaveEmptyDirectories"] and self._is_empty(folder):
            self._do("rmdir", self._at(folder))

    @cached_property
    def _features(self) -> Mapping[str, bool]:
        """What the server can do, as far as rclone knows."""
        found: Mapping[str, bool] = json.loads(self._do("backend", "features", f"{self.remote.name}:"))["Features"]
        return found

    def _check_there(self) -> None:
        """Raise `Refused` unless the place is there: rclone would make what was only mistyped."""
        if self._is_there:
            return
        what = "folder" if self._features["CanHaveEmptyDirectories"] else "bucket"
        raise Refused(
            f"there is no {what} {self.url}",
            f"create it: rclone --config={self._config} mkdir {self.remote.name}:{self.remote.path}",
        )

    @cached_property
    def _is_there(self) -> bool:
        found = self._stat("", CONTACT_SECONDS)
        return found is not None and bool(found["IsDir"])

    def _is_empty(self, folder: str) -> bool:
        try:
            return not json.loads(self._run("lsjson", self._at(folder)))
        except ProgramFailed as error:
            if error.status in ABSENT:
                return False
            raise self._failed(error) from error

    def _look(self, name: str) -> Mapping[str, Any] | None:
        """What rclone knows of a file; None where there is none. In a store of objects any name may be a folder."""
        found = self._stat(name)
        return None if found is None or found["IsDir"] else found

    def _stat(self, name: str, seconds: float = SECONDS) -> Mapping[str, Any] | None:
        try:
            found: Mapping[str, Any] = json.loads(self._run("lsjson", "--stat", self._at(name), seconds=seconds))
            return found
        except ProgramFailed as error:
            if error.status in ABSENT:
                return None
            raise self._failed(error) from error

    def _read(self, name: str, take: Any) -> None:
        try:
            argv = self._argv("cat", self._at(name))
            self.run.sh.pipe(argv, take=take, env=ENVIRONMENT, timeout=SECONDS)
        except ProgramFailed as error:
            raise self._failed(error) from error

    def _rename(self, sent: str, name: str, size: int) -> None:
        try:
            self._do("moveto", *ANYHOW, self._at(sent), self._at(name), size=size)
        except RearError as error:
            # rclone removes an old file before it renames.
            raise RearError(error.message, f"the new file is complete, but is called {sent}; {error.hint}") from error

    def _do(self, *words: str, size: int = 0) -> str:
        """What rclone prints; raises what `_failed` makes of its error."""
        try:
            return self._run(*words, size=size)
        except ProgramFailed as error:
            raise self._failed(error) from error

    def _run(self, *words: str, size: int = 0, seconds: float = SECONDS) -> str:
        return self.run.sh.run(*self._argv(*words, size=size), env=ENVIRONMENT, timeout=seconds).stdout

    def _argv(self, *words: str, size: int = 0) -> list[str]:
        limits = {"contimeout": f"{CONNECT_SECONDS}s", "timeout": f"{SILENCE_SECONDS + size // STORED}s"}
        limits |= {"retries": "1", "low-level-retries": f"{TRIES}"}
        return ["rclone", f"--config={self._config}", *(f"--{key}={value}" for key, value in limits.items()), *words]

    @property
    def _config(self) -> str:
        return str(self.run.settings["RCLONE_CONFIG"])

    def _at(self, name: str) -> str:
        """A file as rclone names it."""
        return f"{self.remote.name}:" + "/".join(filter(None, (self.remote.path, name)))

    def _failed(self, error: ProgramFailed) -> RearError:
        """What an error of rclone means: its last words without the time, in one line.

        >>> error.output
        '2026/11/30 11:16:20 Failed to copyto: NoSuchBucket: The specified bucket does not exist
                status code: 404, request id: DEFeLbPoTmWZFIkvIXjwIap4DYVDxeOKj0TGWz1VgS2SClnXO5b7, host id: '
        """
        said = re.split(r"^\d{4}/\d\d/\d\d [\d:]{8} ", error.output, flags=re.MULTILINE)[-1]
        reason = re.sub(r"\s*status code: (\d+), request id.*", r" (\1)", said, flags=re.DOTALL)
        reason = re.sub(r"^Failed to \w+( with \d+ errors: last error was)?: ", "", " ".join(reason.split()))
        if "not finished" in error.message:
            reason = error.message
        hint = next((hint for words, hint in HINTS if re.search(words, f"{said} {error.message}")), "")
        return RearError(
            f"{self.url} failed: {reason or error.message}",
            hint or f"try it by hand: rclone --config={self._config} lsf {self.remote.name}:{self.remote.path}",
        )
