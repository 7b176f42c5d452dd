# SPDX-License-Identifier: GPL-3.0-or-later
"""The stream of an archive: GNU tar, a compressor, openssl when there is a key, and Python at the file's end."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from ..errors import ProgramFailed, RearError
from ..shell import BLOCK, Argument, Outcome, Shell
from .encryption import Keys, cipher

# Extended attributes carry everything: ACLs and capabilities in the kernel's binary form, with numbers, and SELinux
# contexts. --acls would store the names of users instead, which the rescue system does not know.
ATTRIBUTES = ("--xattrs", "--xattrs-include=*", "--numeric-owner")

CREATE = (
    "tar", "--create", "--file=-", "--format=posix", "--pax-option=delete=atime,delete=ctime", *ATTRIBUTES,
    "--sparse", "--one-file-system", "--warning=no-xdev", "--totals", "--verbose",
    # Excluded is what matches from its beginning; * also matches a slash and a leading dot.
    "--anchored", "--wildcards", "--wildcards-match-slash",
)  # fmt: skip
EXTRACT = (
    "tar", "--extract", "--file=-", *ATTRIBUTES, "--preserve-permissions", "--same-owner",
    "--delay-directory-restore", "--warning=no-timestamp", "--totals", "--verbose",
)  # fmt: skip

# What tar says and goes on, as the manifest counts it. Sockets are made by their servers, not by a backup.
COMPLAINTS = {
    "changed": "file changed as we read it",
    "vanished": "File removed before we read it",
    "shrank": "File shrank by",
    "sockets": "socket ignored",
}


@dataclass(frozen=True)
class Compressor:
    """A compression by the suffix of its files and the commands for both ways; none have no command."""

    suffix: str
    pack: tuple[str, ...] = ()
    unpack: tuple[str, ...] = ()


COMPRESSORS = {
    "zstd": Compressor(".zst", ("zstd", "-T0", "--quiet", "--stdout"), ("zstd", "--decompress", "--quiet", "--stdout")),
    "gzip": Compressor(".gz", ("gzip", "--stdout"), ("gzip", "--decompress", "--stdout")),
    "xz": Compressor(".xz", ("xz", "--threads=0", "--stdout"), ("xz", "--threads=0", "--decompress", "--stdout")),
    "none": Compressor(""),
}


@dataclass(frozen=True)
class Streamed:
    """What went through tar: its members, the bytes of its stream, and how often it complained of what."""

    members: int
    bytes: int
    complaints: dict[str, int]


def pack(
    sh: Shell,
    starts: Sequence[str],
    excluded: Sequence[str],
    compression: str,
    keys: Keys | None,
    index: Path,
    take: Callable[[memoryview], None],
    *,
    root: Path = Path("/"),
    started: Callable[[Sequence[int]], None] = lambda _: None,
) -> Streamed:
    """Archive the file systems that begin at `starts`, relative to `root`, and hand the result to `take`.

    `excluded` are patterns of absolute paths. `index` becomes a list of all members, one to a line.
    """
    tar: list[Argument] = [
        *CREATE, f"--index-file={index}", f"--directory={root}",
        *(f"--exclude=.{pattern}" for pattern in excluded), "--", *starts,
    ]  # fmt: skip
    with ExitStack() as stack:
        stages: list[Sequence[Argument]] = [tar, COMPRESSORS[compression].pack]
        descriptors = []
        if keys:
            command, descriptor = stack.enter_context(cipher(keys))
            stages.append(command)
            descriptors.append(descriptor)
        outcomes = sh.pipe(*filter(None, stages), take=take, started=started, pass_fds=descriptors, ok={"tar": (0, 1)})
    _read_again(outcomes[0].stderr, root)
    return _streamed(outcomes[0], index)


def _read_again(text: str, root: Path) -> None:
    """Raise `RearError` for a file that shrank to tar only because its disk has an error in the middle of a block."""
    buffer = bytearray(BLOCK)
    for name in re.findall(r"tar: (\./.*): File shrank by", text):
        # tar writes the bytes of odd names as escapes.
        raw = name.encode(errors="surrogateescape").decode("unicode_escape").encode("latin-1")
        path = root / os.fsdecode(raw)
        try:
            with path.open("rb", buffering=0) as file:
                while file.readinto(buffer):
                    pass
        except FileNotFoundError:
            continue
        except OSError as error:
            raise RearError(f"cannot read {path}: {error.strerror}", "check its file system and disk") from error


def unpack(
    sh: Shell, source: Iterable[memoryview], compression: str, keys: Keys | None, index: Path, target: Path
) -> Streamed:
    """Bring back below `target` what an archive holds; tar itself sees to it that no member lands elsewhere."""
    tar: list[Argument] = [*EXTRACT, f"--index-file={index}", f"--directory={target}"]
    with ExitStack() as stack:
        stages: list[Sequence[Argument]] = [COMPRESSORS[compression].unpack, tar]
        descriptors = []
        if keys:
            command, descriptor = stack.enter_context(cipher(keys, decrypt=True))
            stages.insert(0, command)
            descriptors.append(descriptor)
        outcomes = sh.pipe(*filter(None, stages), feed=source, pass_fds=descriptors)
    return _streamed(outcomes[-1], index)


def _streamed(tar: Outcome, index: Path) -> Streamed:
    """Read what tar said.

    >>> tar.stderr
    tar: ./var/log/syslog: file changed as we read it
    Total bytes written: 1064960 (1.1MiB, 48MiB/s)
    """
    totals = re.findall(r"^Total bytes (?:written|read): (\d+)", tar.stderr, re.MULTILINE)
    if not totals:
        raise ProgramFailed(tar.argv, tar.status, tar.stderr, "did not say how much it wrote")
    with index.open("rb") as file:
        # tar writes odd bytes of a name as escapes: each line is a member.
        members = sum(block.count(b"\n") for block in iter(lambda: file.read(BLOCK), b""))
    return Streamed(members, int(totals[-1]), complaints(tar.stderr))


def complaints(text: str) -> dict[str, int]:
    """How often tar said what, by the names of `COMPLAINTS`; whatever else it said is `other`.

    >>> complaints("/usr/bin/tar: ./run/x: socket ignored")
    {"sockets": 1}
    """
    found: dict[str, int] = {}
    for line in text.splitlines():
        if re.match(r"(/\S*/)?tar: ", line):
            kind = next((kind for kind, said in COMPLAINTS.items() if said in line), "other")
            found[kind] = found.get(kind, 0) + 1
    return found


def first_error(text: str) -> str:
    """The line that says what went wrong: the last one of tar only says that something did, before it."""
    harmless = (*COMPLAINTS.values(), "Total bytes", "Exiting with failure status")
    lines = (re.sub(r"^(/\S*/)?tar: ", "", line) for line in text.splitlines())
    return next((line for line in lines if not any(word in line for word in harmless)), "")
