# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that a vendor's client keeps on its own server: what must come back, whether it can, and whether it did.

A plugin for such a client has `record` run in analyse_dr. It saves inside `saving`, tells `prove` in verify what the
server has, and restores inside `restoring`, which compares what came back with what was recorded.
"""

from __future__ import annotations

import json
import os
import re
import stat
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from .. import durable, own_files, questions
from ..errors import ConfigurationError, ProgramFailed, RearError, Refused
from ..patterns import leaving_out
from .dates import FORMAT, digits
from .kept import Kept
from .progress import Progress, size
from .shares import Share, Usage, usage, weigh

if TYPE_CHECKING:
    from ..run import Run
    from .coverage import Selection

NAME = "files.json"
VERSION = 1
# No system starts without them: a backup that lacks them is not one of the root file system.
ESSENTIAL = ("etc/passwd", "usr/bin")
# File systems can have very many names at their top; so many are enough to compare.
NAMES = 1000
KEPT_LINES = 25
# What a date leaves off, by the number of its digits.
LAST_SECOND = {8: "235959", 10: "5959", 12: "59", 14: ""}


@dataclass(frozen=True)
class FileSystem:
    """A file system, or a folder that is saved besides, as it was when it was recorded.

    `bytes` and `files` are in use (0 files where nobody counts them), `names` are at its top, `mode` and owner are
    those of the top itself, which some clients do not save. All are empty for one that was only named in a setting.
    """

    path: str
    bytes: int = 0
    names: tuple[str, ...] = ()
    mode: int = 0
    uid: int = 0
    gid: int = 0
    files: int = 0


@dataclass(frozen=True)
class Found:
    """What verify has proven: these file systems can be restored as they were at a time, the newest for None."""

    name: str
    file_systems: tuple[FileSystem, ...]
    moment: datetime | None = None


@dataclass(frozen=True)
class Ended:
    """How a client ended: its status, the last lines of its output, and those that are `notable`."""

    status: int
    last: tuple[str, ...]
    notable: tuple[str, ...]


@dataclass(frozen=True)
class Client:
    """A vendor's program at work on very many files."""

    run: Run
    progress: Progress
    done: Callable[[], int]
    started: Callable[[Sequence[int]], None] = lambda _: None

    def __call__(
        self, *argv: str, ok: Sequence[int] = (0,), notable: str = "(?!)", env: Mapping[str, str] | None = None
    ) -> Ended:
        """Run it to its end, however long it takes; only output that matches `notable` goes to the log.

        Raises `RearError` with its last words when it ends with a status that is not in `ok`.
        """
        reader = _Reader(self.run, re.compile(notable))
        shown = 0.0

        def take(block: memoryview) -> None:
            nonlocal shown
            reader.read(bytes(block))
            if time.monotonic() - shown >= 0.25:
                shown = time.monotonic()
                self.progress.at(self.done())

        name = Path(argv[0]).name
        try:
            (outcome,) = self.run.sh.pipe(argv, take=take, started=self.started, ok={name: ok}, env=env)
        except ProgramFailed as error:
            for line in reader.last:
                self.run.report.log(f"  {line}")
            said = [*reader.notable[-1:], *error.output.splitlines()[-1:], *list(reader.last)[-1:]]
            reason = f": {said[0].strip()}" if said else ""
            raise RearError(f"{name} ended with {error.status}{reason}", "the log has what it printed last") from error
        self.progress.at(self.done())
        errors = [line for line in outcome.stderr.splitlines() if reader.pattern.search(line)]
        return Ended(outcome.status, tuple(reader.last), (*reader.notable, *errors))


class _Reader:
    """Splits output into lines and keeps the last ones, and those that matter."""

    def __init__(self, run: Run, pattern: re.Pattern[str]) -> None:
        self.pattern = pattern
        self.last: deque[str] = deque(maxlen=KEPT_LINES)
        self.notable: list[str] = []
        self._run = run
        self._rest = b""

    def read(self, block: bytes) -> None:
        *lines, self._rest = (self._rest + block).split(b"\n")
        for raw in lines:
            line = raw.decode(errors="replace").rstrip()
            if line:
                self.last.append(line)
            if self.pattern.search(line):
                self.notable.append(line)
                self._run.report.log(f"  {line}")


def record(run: Run, selection: Selection | None = None) -> None:
    """Write recovery/files.json: the file systems that a backup must have, as they follow from the layout.

    A client that leaves out what rear's settings say gives the `selection` that it saves by.
    """
    from .backup import tell_covered

    selection = selection or _whole(run)
    tell_covered(run, selection)
    used = {entry.name: entry.bytes for entry in selection.covered}
    patterns = [part.pattern for part in selection.parts]
    paths = [start[1:] or "/" for start in selection.starts]
    found = [asdict(_described(path, used, patterns)) for path in paths]
    for folder in run.portion.others if run.portion else ():
        # A part of this file system comes back by another method: how full it was says nothing.
        around = [each for each in found if f"{folder}/".startswith(f"{each['path'].rstrip('/')}/")]
        max(around, key=lambda each: len(each["path"]), default={}).update(bytes=0, files=0)
    text = json.dumps({"version": VERSION, "file_systems": found}, indent=2)
    durable.write(run.recovery_dir / _name(run), f"{text}\n")


def _name(run: Run) -> str:
    """The file with the description; of several methods each has its own."""
    return NAME if run.portion is None or run.portion.is_first else f"files-{run.portion.method.lower()}.json"


def _whole(run: Run) -> Selection:
    """What a client saves by rules of its own: they decide what is left out of a file system."""
    from ..storage.fate import Exclusions
    from ..storage.mount import wake
    from ..storage.survey import read_mounts
    from . import coverage, sizes

    assert run.layout is not None
    wake(run.sh, run.report.warn)
    wishes = coverage.Wishes(
        None, run.settings["BACKUP_PROG_INCLUDE"], (), Exclusions.of(run.settings), portion=run.portion
    )
    return coverage.select(run.layout, read_mounts(run.sh), wishes, sizes.bytes_used, sizes.bytes_below)


def _described(path: str, used: Mapping[str, int], left_out: Sequence[str]) -> FileSystem:
    """A path with what is at its top, but for other mounts: `used` has the bytes of each."""
    top = os.stat(path)
    names = sorted(os.listdir(path)) if stat.S_ISDIR(top.st_mode) else []
    paths = {name: f"{path.rstrip('/')}/{name}" for name in names if name != "lost+found"}
    own = [name for name, place in paths.items() if place not in used and not leaving_out(place, left_out)]
    mode, count = stat.S_IMODE(top.st_mode), usage(Path(path)).files if path in used else 0
    return FileSystem(path, used.get(path, 0), tuple(own[:NAMES]), mode, top.st_uid, top.st_gid, count)


def recorded(run: Run, only: Sequence[str] = ()) -> list[FileSystem]:
    """The recorded file systems; with `only` those of these paths, in their order, also ones nobody recorded."""
    path = run.recovery_dir / _name(run)
    try:
        document = json.loads(own_files.read_text(path))
        if document["version"] != VERSION:
            raise ValueError(f"its version is {document['version']}, but this rear reads {VERSION}")
        found = [FileSystem(**{**entry, "names": tuple(entry["names"])}) for entry in document["file_systems"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refused(
            f"cannot read {path}: {error}", "create the rescue media again, with this BACKUP method"
        ) from error
    known = {file_system.path: file_system for file_system in found}
    return [known.get(path, FileSystem(path)) for path in only] or found


def moment(run: Run, configured: str = "") -> datetime | None:
    """The time as of which files are wanted, in local time, None for the newest.

    That is the option --backup, in UTC, or else a setting, in local time. A date may leave off what is not needed: it
    then means the last second of what it names.
    """
    text = run.options.backup or configured
    if not text:
        return None
    try:
        given = digits(text)
        found = datetime.strptime(given + LAST_SECOND[len(given)], "%Y%m%d%H%M%S")
    except (KeyError, ValueError) as error:
        raise ConfigurationError(f"{text!r} is not a date", "write it as 2026-11-22 or 2026-11-22 18:30") from error
    return (found.replace(tzinfo=timezone.utc) if run.options.backup else found).astimezone()


def chosen(
    run: Run, wanted: Sequence[FileSystem], when: datetime | None
) -> tuple[Sequence[FileSystem], datetime | None]:
    """What to restore, and as of when: whoever recovers this machine at a terminal is asked for what neither an option
    nor a setting says. The Enter key is for the newest of everything."""
    if "recreate" not in run.phases or not questions.is_interactive(run):
        return wanted, when
    if when is None:
        when = _typed_moment(run)
    return _typed_systems(run, wanted) if len(wanted) > 1 else wanted, when


def _typed_moment(run: Run) -> datetime | None:
    question = "Restore files as of a time, such as 2026-11-22 18:30 here, or press Enter for the newest: "
    while typed := questions.ask(run, question, quits="stopped before anything was written"):
        try:
            return moment(run, typed)
        except ConfigurationError as error:
            run.report.say(f"{error.message}: {error.hint}")
    return None


def _typed_systems(run: Run, wanted: Sequence[FileSystem]) -> Sequence[FileSystem]:
    known = {system.path: system for system in wanted}
    question = f"Restore only some of {' '.join(known)}, by name, or press Enter for all: "
    while typed := questions.ask(run, question, quits="stopped before anything was written").split():
        if unknown := [word for word in typed if word not in known]:
            run.report.say(f"{unknown[0]} is none of them")
            continue
        return [known[path] for path in dict.fromkeys(typed)]
    return wanted


def lacking(wanted: Sequence[FileSystem], held: Mapping[str, str]) -> list[str]:
    """The paths that the server has no backup of."""
    return [file_system.path for file_system in wanted if file_system.path not in held]


def remind(run: Run, wanted: Sequence[FileSystem], held: Mapping[str, str]) -> None:
    """When only rescue media are made: warn of file systems that a recovery could not bring back as yet."""
    for path in lacking(wanted, held):
        run.report.warn(f"the server has no backup of {path} yet: without it, this machine cannot be recovered")


def show(run: Run, saved: Iterable[tuple[datetime, str]]) -> None:
    """Add to `run.kept` what the server has: paths, each with the time at which it was saved."""
    of: dict[str, list[str]] = {}
    for when, path in sorted(saved):
        of.setdefault(when.astimezone(timezone.utc).strftime(FORMAT), []).append(path)
    run.kept += [Kept(name, state=f"has {few(paths)}") for name, paths in of.items()]


def prove(run: Run, wanted: Sequence[FileSystem], held: Mapping[str, str], when: datetime | None = None) -> None:
    """Set `run.backup`; `Refused` unless the server has all that is wanted.

    `held` says of which paths there is a backup, at that time or before, and for the user what it knows of its date.
    """
    absent = lacking(wanted, held)
    if absent:
        at = f" of {when:%Y-%m-%d %H:%M:%S} or before" if when else ""
        raise Refused(
            f"the server has no backup{at} of {' '.join(absent)}",
            "check the name of the client and the time, or save them first; rear changed nothing",
        )
    if "recreate" in run.phases and "/" not in held and (run.portion is None or run.portion.is_first):
        raise Refused("the root file system is not among those to restore", "name it in the setting as well")
    for file_system in wanted:
        run.report.say(f"The server has {file_system.path}: {held[file_system.path]}")
    for path in sorted({other.path for other in recorded(run)} - {file_system.path for file_system in wanted}):
        run.report.warn(f"{path} is not restored and will be empty")
    name = f"{when:%Y-%m-%d %H:%M:%S}" if when else max(held[file_system.path] for file_system in wanted)
    run.backup = Found(name, tuple(wanted), when)


@contextmanager
def saving(run: Run) -> Iterator[Client]:
    """The client while it saves; how much that will be is its own business."""
    from .backup import Position

    position = Position("rchar")
    progress = Progress(run.report, "Saving", 0, events=run.options.json_progress)
    yield Client(run, progress, position.read, position.follow)
    progress.end()


@contextmanager
def restoring(run: Run, total: int = 0) -> Iterator[tuple[Client, Found]]:
    """The client while it restores what was proven; at the end all is compared with what was recorded.

    A client that says itself which files it could not restore gives the `total` of bytes of its backup, which may well
    be other than what was recorded.
    """
    found = run.backup
    if not isinstance(found, Found):
        raise RearError("no backup was checked, so rear restores none", "the plugin must prove it in the phase verify")
    places = [_below(run, file_system.path) for file_system in found.file_systems]
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
    start, before = _used(places), {place.stat().st_dev: usage(place) for place in places}
    recorded = sum(file_system.bytes for file_system in found.file_systems)
    progress = Progress(run.report, "Restoring", total or recorded, events=run.options.json_progress)
    yield Client(run, progress, lambda: max(_used(places) - start, 0)), found
    progress.end()
    os.sync()
    shares = _shares(run, found, before)
    compare(run, found, shares, weighed=not total)


@contextmanager
def fetching(run: Run) -> Iterator[tuple[Client, Found]]:
    """The client while it restores `run.options.paths`; each that did not come fails the run at its end."""
    found = run.backup
    if not isinstance(found, Found):
        raise RearError("no backup was checked, so rear restores none", "the plugin must prove it in the phase verify")
    run.target.mkdir(mode=0o700, parents=True, exist_ok=True)
    position = _used([run.target])
    progress = Progress(run.report, "Restoring", 0, events=run.options.json_progress)
    yield Client(run, progress, lambda: max(_used([run.target]) - position, 0)), found
    progress.end()
    missing = [path for path in run.options.paths if not os.path.lexists(_below(run, path))]
    if missing:
        run.lack(f"{len(missing)} files were not restored, the first is {missing[0]}")
    run.report.say(f"Restored {len(run.options.paths) - len(missing)} files or folders to {run.target}")


def _below(run: Run, path: str) -> Path:
    return run.target / path.lstrip("/")


def _used(places: Sequence[Path]) -> int:
    """The bytes in use on the file systems of these places."""
    return sum(usage(place).bytes for place in {place.stat().st_dev: place for place in places}.values())


def _shares(run: Run, found: Found, before: Mapping[int, Usage]) -> list[Share]:
    """What came of each file system, by how full its device was before.

    A new file system is not empty for the kernel: that is neither part of what was wanted, nor of what came.
    """
    groups: dict[int, list[FileSystem]] = {}
    for file_system in found.file_systems:
        groups.setdefault(_below(run, file_system.path).stat().st_dev, []).append(file_system)
    shares = []
    for device, group in groups.items():
        start, now = before.get(device, Usage()), usage(_below(run, group[0].path))
        held = Usage(sum(system.bytes for system in group), sum(system.files for system in group) if now.files else 0)
        wanted = Usage(held.bytes - start.bytes, held.files - start.files)
        came = Usage(max(now.bytes - start.bytes, 0), max(now.files - start.files, 0))
        shares.append(Share(tuple(system.path for system in group), wanted, came))
    return shares


def compare(run: Run, found: Found, shares: Sequence[Share], *, weighed: bool = True) -> None:
    """Compare what is below the target with what was recorded; `RearError` when a file system did not come back.

    Names, bytes and files may have changed between the recording and the backup: a few are warnings. Where much less
    came of a file system, the run fails at its end, if shares are `weighed`.
    """
    empty, lost = absent(run, found.file_systems)
    for file_system in found.file_systems:
        if file_system.mode:
            place = _below(run, file_system.path)
            os.chown(place, file_system.uid, file_system.gid)
            place.chmod(file_system.mode)
    if empty:
        raise RearError(
            f"nothing was restored of {' '.join(empty)}, although the restore ended without an error",
            f"check {run.target} and the log of the client",
        )
    for line in lost:
        run.report.log(f"not in the backup: {line}")
    if lost:
        run.report.warn(f"{len(lost)} of the recorded names were not restored ({few(lost)}); see the log")
        run.recovery.differences.append(f"not in the backup: {few(lost)}")
    if run.demo:
        # Others write to the file system of that folder, too.
        run.report.say(f"Restored {len(found.file_systems)} file systems to {run.target}")
        return
    for share in shares if weighed else ():
        weigh(run, share)
    came = sum(share.came.bytes for share in shares)
    run.report.say(f"Restored {size(came)} to {len(found.file_systems)} file systems")


def absent(run: Run, wanted: Sequence[FileSystem]) -> tuple[list[str], list[str]]:
    """The paths of which nothing is below the target, with what no system starts without; and single recorded names."""
    empty, lost = [], []
    for file_system in wanted:
        place = _below(run, file_system.path)
        gone = [name for name in file_system.names if not os.path.lexists(place / name)]
        if gone and len(gone) == len(file_system.names):
            empty.append(file_system.path)
        lost += [f"{file_system.path.rstrip('/')}/{name}" for name in gone]
    if any(file_system.path == "/" for file_system in wanted):
        empty += [f"/{name}" for name in ESSENTIAL if not os.path.lexists(run.target / name)]
    return empty, lost


def few(names: Sequence[str]) -> str:
    """The first of many names, to be told."""
    return f"{', '.join(names[:3])}{' ...' if len(names) > 3 else ''}"
