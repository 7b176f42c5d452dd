# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies on a tape behind its label: a header, a part of the archive, and small files, each before a file mark.

The last of the small files is the manifest or, where the archive goes on on another tape, `continued`: a tape is
written in one pass, and what must be known of an archive is known when it ends.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from rear_core import Refused
from rear_core.archive.backup import COVERAGE
from rear_core.archive.generations import LARGEST
from rear_core.archive.manifest import NAME as MANIFEST
from rear_core.media.tape import EMPTY, Tape

FORMAT = "rear tape volume 2"
# Without the identity of the machine.
BEFORE = "rear tape volume 1"
CONTINUED = "continued"
NAMES = frozenset({COVERAGE, MANIFEST, CONTINUED})
LARGEST_BLOCK = 16 << 20


@dataclass(frozen=True)
class Header:
    """Whose backup of which time this is, the number of the volume, from 1, and the size of the archive's records.

    Machines may have one name; their identity tells them apart (`rear_core.system.identity`), "" where it is not known,
    and clones of one identity the mark of the key that signs (`rear_core.archive.signature`), "" without one.
    """

    machine: str
    backup: str
    volume: int
    block_size: int
    identity: str = ""
    signer: str = ""

    def __str__(self) -> str:
        return f"volume {self.volume} of the backup {self.backup} of {self.machine}"


def write_header(tape: Tape, header: Header) -> None:
    """Begin a volume; what followed on the tape is lost."""
    tape.finish(json.dumps({"format": FORMAT, **asdict(header)}).encode())
    tape.mark()


class Unreadable(Refused):
    """A tape that may well hold a backup: what is in the place of its header cannot be read, or is none."""


def read_header(tape: Tape) -> Header | None:
    """The header of the volume that begins here, behind which is the archive; None where nothing was ever written.

    Raises `Unreadable` for anything else: a dirty head reads no more of a backup than a blank tape has.
    """
    try:
        record = tape.read()
        # Nothing up to a mark, or to the end: st reports that so before it reports an error.
        header = _header(record) if record not in (b"", EMPTY) else None
        if header:
            tape.forward(1)
    except OSError as error:
        if tape.at_end():
            return None
        raise Unreadable(
            f"the header of its backup cannot be read ({error.strerror})", "clean the drive, or look at `dmesg`"
        ) from error
    return header


def _header(record: bytes) -> Header:
    try:
        found = json.loads(record)
        if found.pop("format") not in (FORMAT, BEFORE):
            raise Refused("another version of rear wrote the tape", "restore it with that version")
        header = Header(**found)
        numbers = isinstance(header.volume, int) and 0 < header.block_size <= LARGEST_BLOCK
        if numbers and all(
            isinstance(text, str) for text in (header.machine, header.backup, header.identity, header.signer)
        ):
            return header
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        pass
    raise Unreadable("what follows its label is not the header of a backup", "find out what wrote it")


def write_text(tape: Tape, name: str, text: str, block_size: int) -> None:
    """Write a small file, in as many records as it needs."""
    data = f"{name}\n{text}".encode()
    for at in range(0, len(data), block_size):
        tape.finish(data[at : at + block_size])
    tape.mark()


def read_texts(tape: Tape, block_size: int) -> dict[str, str]:
    """The small files that begin here, up to the one that is always the last; fewer where the tape ends before it."""
    found: dict[str, str] = {}
    try:
        while MANIFEST not in found and CONTINUED not in found:
            data = bytearray()
            for record in tape.records(block_size):
                data += record
                if len(data) > LARGEST:
                    return found
            name, _, text = data.decode(errors="replace").partition("\n")
            if name in found or name not in NAMES:
                break
            found[name] = text
    except OSError:
        pass
    return found
