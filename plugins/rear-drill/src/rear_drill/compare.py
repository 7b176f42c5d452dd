# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares restored files with the archive they came from; runs in the rescue system, by itself.

Prints JSON: how many members the manifest counts, and what differs, one line each.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from rear_core.archive import encryption, generations, manifest, stream
from rear_core.archive.members import RECORDS
from rear_core.shell import Shell

# By whole records: it does not read what follows the end of the archive, and the program before it would be killed.
COMPARE = ("tar", "--compare", "--file=-", *RECORDS, "--numeric-owner")
MOST = 1000


def main() -> None:
    """Compare GENERATION with what lies below TARGET; the passphrase is the standard input."""
    generation, target = map(Path, sys.argv[1:])
    members, lines = compare(generation, target, sys.stdin.read().rstrip("\n"))
    print(json.dumps({"members": members, "different": lines[:MOST]}))


def compare(generation: Path, target: Path, passphrase: str = "") -> tuple[int, list[str]]:
    """How many members there are, and in what files differ from them: type, contents, owner, mode, time, link."""
    found = manifest.loads(generations.read_small(generation / manifest.NAME)).manifest
    stages = [stream.COMPRESSORS[found.compression].unpack, [*COMPARE, f"--directory={target}"]]
    said = bytearray()
    if found.encryption:
        keys = encryption.unlock(passphrase, found.encryption)
        with encryption.cipher(keys, decrypt=True) as (command, descriptor):
            complaints = _run([command, *stages], generation / found.archive, said, [descriptor])
    else:
        complaints = _run(stages, generation / found.archive, said, [])
    text = said.decode(errors="surrogateescape") + complaints
    return found.members, list(differences(text.splitlines(), target))


def _run(stages: Iterable[Iterable[str | os.PathLike[str]]], archive: Path, said: bytearray, fds: list[int]) -> str:
    with archive.open("rb") as file:
        outcomes = Shell().pipe(
            *[list(stage) for stage in stages if stage],
            stdin=file, take=said.extend, pass_fds=fds, ok={"tar": (0, 1)},
        )  # fmt: skip
    return outcomes[-1].stderr


def differences(lines: Iterable[str], target: Path) -> Iterator[str]:
    """The lines of `tar --compare` that tell a difference, by absolute path; times of folders change by themselves.

    >>> list(differences(["./etc/fstab: Contents differ"], Path("/mnt")))
    ['/etc/fstab: Contents differ']
    """
    for line in lines:
        # tar writes odd characters of names, and colons, as escapes.
        found = re.match(r"(?:\S*tar: )?\.(/(?:[^\\:]|\\.)*): (?:Warning: )?(\S.*)$", line)
        if found and not (found[2] == "Mod time differs" and (target / _name(found[1])).is_dir()):
            yield f"{found[1]}: {found[2]}"


def _name(escaped: str) -> str:
    raw = escaped.lstrip("/").replace("\\:", ":").encode(errors="surrogateescape").decode("unicode_escape")
    return os.fsdecode(raw.encode("latin-1"))


if __name__ == "__main__":
    main()
