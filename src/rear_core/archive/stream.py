# SPDX-License-Identifier: GPL-3.0-or-later
"""The stream of an archive: GNU tar, a compressor, openssl when there is a key, and Python at the file's end."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import ProgramFailed, RearError
from ..shell import Argument, Outcome, Shell
from . import diagnostics, read_again
from .encryption import Keys, cipher
from .members import ATTRIBUTES, LONG, RECORDS, Listing, Members, with_index
from .served import Served

CREATE = (
    "tar", "--create", "--file=-", RECORDS[0], "--format=posix", "--pax-option=delete=atime,delete=ctime", *ATTRIBUTES,
    "--sparse", "--one-file-system", "--warning=no-xdev", "--totals", "--verbose", *LONG,
    # Excluded is what matches from its beginning; * also matches a slash and a leading dot.
    "--anchored", "--wildcards", "--wildcards-match-slash",
)  # fmt: skip
EXTRACT = (
    "tar", "--extract", "--file=-", *RECORDS, *ATTRIBUTES, "--preserve-permissions", "--same-owner",
    "--delay-directory-restore", "--warning=no-timestamp", "--totals", "--verbose",
)  # fmt: skip


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
    """What went through tar: its members, the bytes of its stream, and how often it complained of what.

    `too_long` are members whose paths cannot be restored, `lost` those that were not, with the reason of each; after
    `pack` what could not be saved as it was changed meanwhile. `unseen` was to be saved, and is not among the members.
    `bare` are files that were restored without an attribute.
    Of `too_long`, `lost` and `bare` only the first are named: `more` has how many there are besides, as "too long",
    "lost" and "attributes".
    """

    members: int
    bytes: int
    complaints: dict[str, int]
    too_long: tuple[str, ...] = ()
    lost: Mapping[str, str] = field(default_factory=dict)
    unseen: tuple[str, ...] = ()
    bare: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, int] = field(default_factory=dict)


class Unreadable(RearError):
    """An archive that tar cannot read again, as `files`, relative to its root, were changed while they were saved."""

    reason = "a change made the archive unreadable"

    def __init__(self, files: Sequence[str]) -> None:
        few = (
            f": {files[0][1:101]}" + (f" or one of {len(files) - 1} others" if len(files) > 1 else "") if files else ""
        )
        super().__init__(
            f"the archive cannot be read back, because a file changed while rear saved it{few}",
            "run it again, or exclude the file; the log names all that changed",
        )
        self.files = tuple(files)


class Exchanged(Unreadable):
    """An archive in which `files` are links to others, which had their inodes before; saved anew they may be right."""

    reason = "it got the inode of a file that was saved before"

    def __init__(self, files: Sequence[str]) -> None:
        more = f" or {len(files) - 1} others" if len(files) > 1 else ""
        RearError.__init__(
            self,
            f"the archive has other contents for {files[0][1:101]}{more}, because files were removed and others made"
            " while rear saved them",
            "run it again at a quieter time, or exclude these files",
        )
        self.files = tuple(files)


def pack(
    sh: Shell,
    starts: Sequence[str],
    excluded: Sequence[str],
    compression: str,
    keys: Keys | None,
    take: Callable[[memoryview], None],
    *,
    root: Path = Path("/"),
    started: Callable[[Sequence[int]], None] = lambda _: None,
) -> Streamed:
    """Archive the file systems that begin at `starts`, relative to `root`, and hand the result to `take`.

    `excluded` are patterns of absolute paths.
    """
    tar: list[Argument] = [
        *CREATE, f"--directory={root}", *map(exclusion, excluded), "--", *starts
    ]  # fmt: skip
    env = _locale(excluded)
    members, listing, mounts = Members(starts, long=True, root=root), Listing(sh, env), Served()
    heard = diagnostics.Heard(lambda name, words: diagnostics.is_exchanged(name, words, starts))
    with ExitStack() as stack:
        stack.enter_context(mounts.noted())
        index = stack.enter_context(members.counted())
        copy = stack.enter_context(listing.reading())
        stages: list[Sequence[Argument]] = [with_index(tar, index), COMPRESSORS[compression].pack]
        descriptors = [index]
        if keys:
            command, descriptor = stack.enter_context(cipher(keys))
            stages.append(command)
            descriptors.append(descriptor)
        outcomes = sh.pipe(
            *filter(None, stages), take=take, copy=copy, started=started, pass_fds=descriptors,
            ok={"tar": (0, 1, 2)}, env=env, keep={"tar": heard},
        )  # fmt: skip
    tar_ended = outcomes[0]
    read_again.check(diagnostics.told(tar_ended.stderr, "shrank"), root)
    places = [os.fspath(root / start) for start in starts]

    def foreign(path: str) -> bool:
        return mounts.holds(os.fspath(root / path), places)

    lost = diagnostics.not_saved(tar_ended.stderr, starts, foreign) if tar_ended.status == 2 else {}
    streamed = _in_part(tar_ended, members, lost, heard)
    if not listing.finds(members):
        raise Unreadable(_suspects(tar_ended.stderr, listing))
    if members.exchanged:
        raise Exchanged([*map(diagnostics.path_of, members.exchanged)])
    return streamed


def _suspects(said: str, listing: Listing) -> list[str]:
    """The files by which an archive became unreadable: those that shrank or changed, or where the list ended."""
    last = [diagnostics.path_of(listing.members.last)] if listing.members.last else []
    return diagnostics.told(said, "shrank") or diagnostics.told(said, "changed") or last


def exclusion(pattern: str) -> str:
    """The option of tar for a pattern of absolute paths; its members begin with a dot.

    It would look up a pattern without wildcards by each folder of each path, from the root on. Where a user has made
    folders in each other a thousand deep that takes a minute for a few hundred files; a wildcard is just matched.
    """
    return f"--exclude=[.]{pattern}"


def _locale(patterns: Sequence[str]) -> dict[str, str]:
    """Where tar matches bytes, and not characters, a dozen patterns do not take half as long as all else it does.

    That is the same unless a pattern is to match one character, of which UTF-8 may have several bytes.
    """
    return {} if any(sign in pattern for sign in "?[" for pattern in patterns) else {"LC_ALL": "C"}


def unpack(
    sh: Shell,
    source: Iterable[memoryview],
    compression: str,
    keys: Keys | None,
    target: Path,
    *,
    paths: Sequence[str] = (),
    started: Callable[[Sequence[int]], None] = lambda _: None,
) -> Streamed:
    """Bring back below `target` what an archive holds, or only these absolute `paths` and what is below them.

    tar itself sees to it that no member lands elsewhere.
    """
    members, heard = Members(), diagnostics.Heard(diagnostics.is_not_possible)
    with ExitStack() as stack:
        index = stack.enter_context(members.counted())
        tar = with_index([*EXTRACT, f"--directory={target}", *_chosen(paths)], index)
        stages: list[Sequence[Argument]] = [COMPRESSORS[compression].unpack, tar]
        descriptors = [index]
        if keys:
            command, descriptor = stack.enter_context(cipher(keys, decrypt=True))
            stages.insert(0, command)
            descriptors.append(descriptor)
        # Where tar takes the archive to end too early it is not blamed on those who still had more.
        ended_by_tar = {os.fspath(stage[0]): (0, -signal.SIGPIPE) for stage in stages[:-1] if stage}
        outcomes = sh.pipe(
            *filter(None, stages), feed=source, started=started, pass_fds=descriptors,
            ok={**ended_by_tar, "tar": (0, 2)}, keep={"tar": heard},
        )  # fmt: skip
    tar_ended = outcomes[-1]
    lost = diagnostics.not_restored(tar_ended.stderr) if tar_ended.status else {}
    return replace(_in_part(tar_ended, members, lost, heard), bare=diagnostics.without_attributes(tar_ended.stderr))


def _chosen(paths: Sequence[str]) -> list[str]:
    """The words of tar for absolute paths, whose members begin with a dot."""
    return ["--no-wildcards", "--", *(f".{path}" for path in paths)] if paths else []


def _in_part(tar: Outcome, members: Members, lost: Mapping[str, str] | None, heard: diagnostics.Heard) -> Streamed:
    """What went through a tar that failed at `lost` alone; None means that nobody knows what is missing."""
    if lost is None:
        raise ProgramFailed(tar.argv, tar.status, tar.stderr)
    streamed = _streamed(tar, members, lost)
    said = {kind: count + heard.more.get(kind, 0) for kind, count in streamed.complaints.items()}
    more = {**heard.more, "too long": members.too_many}
    return replace(streamed, lost=lost, complaints=said, more={kind: n for kind, n in more.items() if n})


def _streamed(tar: Outcome, members: Members, lost: Collection[str] = ()) -> Streamed:
    """Read what tar said.

    >>> tar.stderr
    tar: ./var/log/syslog: file changed as we read it
    Total bytes written: 1064960 (1.1MiB, 48MiB/s)
    """
    totals = re.findall(r"^Total bytes (?:written|read): (\d+)", tar.stderr, re.MULTILINE)
    if not totals:
        raise ProgramFailed(tar.argv, tar.status, tar.stderr, "did not report how much it wrote")
    said = diagnostics.complaints(tar.stderr, lost)
    return Streamed(members.count, int(totals[-1]), said, tuple(members.too_long), unseen=members.unseen)
