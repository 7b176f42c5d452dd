# SPDX-License-Identifier: GPL-3.0-or-later
"""The storage of this machine as a recording that can be replayed anywhere: a folder as in tests/machines."""

from __future__ import annotations

import re
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from .. import storage
from ..errors import RearError
from ..recordings import FakeShell, RecordingShell, file_name, read, written
from ..shell import Outcome, Shell
from ..storage.capture import capture
from ..storage.kinds import StorageKind
from ..storage.layout import Layout, dumps

# Commands as they would be typed, with what came of them.
Recording = Mapping[str, Outcome]


def record(sh: Shell, kinds: Sequence[StorageKind], include: Sequence[str]) -> tuple[Recording, Layout]:
    """What programs print when the storage is described, and the description that is made of it."""
    with TemporaryDirectory() as folder:
        layout = capture(RecordingShell(Path(folder), sh), kinds, include=include, warn=lambda _line: None)
        return dict(map(read, sorted(Path(folder).glob("*.txt")))), layout


def as_files(
    recording: Recording, layout: Layout, kinds: Sequence[StorageKind], include: Sequence[str]
) -> dict[str, str]:
    """The files of a machine: the recording, and what comes of replaying it; `RearError` where that is another layout
    than the one that was recorded."""
    warnings: list[str] = []
    try:
        replayed = capture(FakeShell(dict(recording)), kinds, include=include, warn=warnings.append)
    except (RearError, AssertionError) as error:
        raise RearError(f"the recording of the storage cannot be replayed: {error}") from error
    if _shape(replayed) != _shape(layout):
        raise RearError("the recording of the storage is replayed as another storage")
    files = {f"commands/{file_name(command)}": written(command, outcome) for command, outcome in recording.items()}
    files |= {"layout.json": dumps(replayed), "warnings.txt": "".join(f"{line}\n" for line in warnings)}
    return files | ({"include.txt": "".join(f"{name}\n" for name in include)} if include else {})


def _shape(layout: Layout) -> tuple[object, ...]:
    """What is the same whatever things are called: their kinds, and what they lie on."""
    kinds = {item.id: item.type for item in layout}
    items = Counter((item.type, tuple(sorted(kinds[need] for need in item.needs))) for item in layout)
    return items, len(layout.left_out)


def of_programs(recording: Recording, kinds: Iterable[StorageKind]) -> set[str]:
    """The words of commands that are those of the code as well, in small letters: options, columns, verbs; and those of
    paths that the code knows.

    Other paths are no such words, nor are names of volumes that a command asks for.
    """
    asked = {word for command in recording for word in shlex.split(command) if "/" not in word}
    found = {part for word in asked for part in re.findall("[a-z0-9]+", word.lower())}
    modules = {sys.modules[kind.capture.__module__].__file__ or "" for kind in kinds}
    files = {*Path(storage.__file__).parent.rglob("*.py"), *map(Path, filter(None, modules))}
    code = " ".join(path.read_text(errors="replace").lower() for path in files if path.is_file())
    known = " ".join(re.findall(r'"[^"\n]*/[^"\n]*"', code))
    return found & {*re.findall("[a-z0-9]+", code)} | {*re.findall("[a-z]{3,}", known)}


def cleaned(
    recording: Recording, text: Callable[[str], str], outcome: Callable[[Outcome], Outcome]
) -> dict[str, Outcome]:
    """The recording with other texts."""
    return {text(command): outcome(printed) for command, printed in recording.items()}


def documents(recording: Recording, parse: Callable[[str], object]) -> Iterable[object]:
    """The JSON documents among what was printed."""
    return (document for outcome in recording.values() if (document := parse(outcome.stdout)) is not None)
