# SPDX-License-Identifier: GPL-3.0-or-later
"""rsync here: its command lines, its version, and what it says while it copies."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rear_core import RearError, Run

# It compares times to the nanosecond: what changes twice in a second would else be taken for what was saved.
OLDEST = (3, 1, 3)
COPYING = ("--archive", "--hard-links", "--numeric-ids", "--sparse", "--modify-window=-1")
# What RSYNC_ATTRIBUTES can name, each the option of rsync.
ATTRIBUTES = ("acls", "xattrs")
# The option that the administrator sets for file systems with times to the second.
COARSE = "--modify-window=0"
# rsync(1): some files were not transferred; some vanished while they were.
PARTIAL, VANISHED = 23, 24
LISTING = ("--list-only", "--recursive", "--links", "--no-human-readable", "--8-bit-output")
# Of what it copies: what was done, the checksum of all data, and the name; then numbers without commas.
TELLING = ("--out-format=%i %C %n", "--stats", "--no-human-readable")
COPIED = re.compile(rb"[<>]f\S* ([0-9a-f]+) (.*)", re.DOTALL)
COUNTED = re.compile(rb"Number of files: \d+(?: \((.*)\))?")
TRANSFERRED = re.compile(rb"Total transferred file size: (\d+)")
ESCAPED = re.compile(rb"\\#([0-7]{3})")
# A disk that fails could make millions of messages.
MOST = 1000
SENDER = re.compile(
    r"\[sender\]|send_files failed to open|opendir |readlink_stat\(|read errors mapping|cannot convert filename"
)
GONE = re.compile(r"(?:file|directory) has vanished: ")
FULL = re.compile(r"\((?:28|122)\)")
# What says nothing by itself, and what is nothing to worry about.
AROUND = re.compile(r"rsync error: |rsync: connection unexpectedly closed|IO error encountered")
HARMLESS = re.compile(r"will try again|arg does not exist")


@dataclass
class Complaints:
    """What rsync complains of: files of the sender that it could not read or that vanished, and all else."""

    unread: list[str] = field(default_factory=list)
    vanished: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    count: int = 0
    is_full: bool = False

    def keep(self, line: str) -> bool:
        """Note a line of standard error; whether it belongs in the log."""
        text = line.rstrip("\n")
        if not text.strip() or AROUND.match(text) or HARMLESS.search(text):
            return True
        self.count += 1
        self.is_full = self.is_full or bool(FULL.search(text))
        text = shown(text)
        where = self.vanished if GONE.match(text) else self.unread if SENDER.search(line) else self.others
        if len(where) < MOST:
            where.append(GONE.sub("", text))
            return True
        return False


@dataclass
class Copied:
    """What rsync tells on standard output: each file that it transferred, and how many of each kind it went through.

    `take_file` gets the name and the checksum of each.
    """

    take_file: Callable[[bytes, bytes], object]
    files: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    transferred: int = 0
    _rest: bytes = b""

    def take(self, block: memoryview) -> None:
        """Read a block."""
        *lines, self._rest = (self._rest + bytes(block)).split(b"\n")
        for line in lines:
            self._read(line)

    def _read(self, line: bytes) -> None:
        """A line.

        >>> line
        b'>f+++++++++ be573118fb47cf582ef3a1a12238c2e5 /etc/passwd'
        >>> line
        b'Number of files: 16 (reg: 5, dir: 8, link: 1, dev: 1, special: 1)'
        """
        if found := COPIED.fullmatch(line):
            self.files += 1
            self.take_file(unescaped(found[2]), found[1])
        elif found := COUNTED.fullmatch(line):
            self.kinds = {kind.decode(): int(count) for kind, count in re.findall(rb"(\w+): (\d+)", found[1] or b"")}
        elif found := TRANSFERRED.match(line):
            self.transferred = int(found[1])


def unescaped(name: bytes) -> bytes:
    """A name as it is; rsync prints letters that no terminal should get by their numbers.

    >>> unescaped(rb"line\\#012break")
    b'line\\nbreak'
    """
    return ESCAPED.sub(lambda found: bytes([int(found[1], 8) & 255]), name)


def version(run: Run) -> str:
    """The version of rsync here; raises `RearError` for one that cannot do what is needed."""
    said = run.sh.query("rsync", "--version")
    if lacking := problem(said):
        raise RearError(lacking, f"install rsync {'.'.join(map(str, OLDEST))} or later, as your distribution has it")
    return _number(said)


def problem(said: str) -> str:
    """Why an rsync cannot be used, by what it says of its version; "" where it can."""
    number = tuple(map(int, re.findall(r"\d+", _number(said))[:3]))
    if number < OLDEST:
        return f"rear does not know {said.partition(chr(10))[0] or 'this rsync'}"
    missing = [what for what in ("ACLs", "xattrs", "hardlinks") if not re.search(rf"(?<!no ){what}", said)]
    return f"this rsync was built without {' and '.join(missing)}" if missing else ""


def _number(said: str) -> str:
    """A version.

    >>> said
    'rsync  version 3.2.7  protocol version 31 ...'
    """
    found = re.search(r"rsync +version v?(\S+)", said)
    return found[1] if found else ""


def shown(line: str) -> str:
    """A message of rsync without what it begins with."""
    return re.sub(r"^rsync: (?:\[\w+\] )?", "", line)


def copying(attributes: Sequence[str]) -> list[str]:
    """The options by which files are copied with all that belongs to them, as far as these attributes go."""
    return [*COPYING, *(f"--{name}" for name in ATTRIBUTES if name in attributes)]


def patience(run: Run) -> Sequence[str]:
    """The option by which rsync ends where nothing comes any more."""
    minutes = run.settings["BACKUP_STALL_MINUTES"]
    return [f"--timeout={int(60 * minutes)}"] if minutes else []
