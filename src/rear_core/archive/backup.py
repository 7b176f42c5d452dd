# SPDX-License-Identifier: GPL-3.0-or-later
"""Saves the files of this machine: one archive, a coverage report and a manifest, in a folder or on other media."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import patterns
from ..contents import Contents
from ..errors import ConfigurationError, ProgramFailed, RearError
from ..mounts import hidden_by, other_paths
from ..records import LeftOut
from . import coverage, diagnostics, encryption, headers, manifest, notes, signature, sizes, stream
from .progress import Progress, size
from .repository import FolderRepository, Repository, identity, opened
from .volumes import Target, Writer
from .watch import Watch, watch

if TYPE_CHECKING:
    from ..run import Run
    from ..settings import Settings


COVERAGE = "coverage.json"
TRIES = 3


def save(run: Run, place: Path | Repository) -> None:
    """Save what `run.layout` describes as a new backup in a folder or another place."""
    repository = opened(run, place)
    store(run, repository, select(run, repository))


def store(run: Run, place: Path | Repository, selection: coverage.Selection) -> None:
    """Save a selection; whatever goes wrong, a folder keeps its earlier backups as they are.

    Files by which the archive became unreadable are left out when it is made once more; those that only were mistaken
    for others are when it happens again.
    """
    repository, missed = opened(run, place), dict[str, str]()
    # A medium that was written to may have to be exchanged first.
    for attempt in range(TRIES if repository.folder else 1):
        try:
            _store(run, repository, selection, missed)
            break
        except stream.Unreadable as error:
            failed = error
            if attempt or not isinstance(error, stream.Exchanged):
                missed.update(dict.fromkeys(error.files, error.reason))
            run.report.warn(f"{error.message}; the backup does not count")
    else:
        raise failed


def _store(run: Run, repository: Repository, selection: coverage.Selection, missed: Mapping[str, str]) -> None:
    secret = passphrase(run)
    secured, keys = encryption.new(secret) if secret else (None, None)
    suffix = stream.COMPRESSORS[run.settings["BACKUP_COMPRESSION"]].suffix + (".enc" if keys else "")
    name = f"backup.tar{suffix}"
    try:
        with watch(run, repository).watching() as watching, repository.new(name, selection.bytes) as target:
            made = archive(run, selection, target, name, secured, keys, watching, missed)
    except ProgramFailed as error:
        raise failure(error, repository) from error
    # Elsewhere it is not there before the media are.
    if isinstance(repository, FolderRepository):
        notes.add(run, made.created, checked=run.settings["BACKUP_READ_BACK"])
    volumes = f", {len(made.volumes)} volumes" if made.volumes else ""
    run.saved(made.created, str(repository), files=made.members, bytes=made.bytes, size=made.size)
    size_of = f"{size(made.bytes)}, as {made.created} in {repository} ({size(made.size)}{volumes})"
    run.report.say(f"Saved {made.members} files, {size_of}")


def estimate(run: Run, place: Path | Repository) -> int:
    """About how many bytes a backup would read, for a check of the room before it is begun."""
    return selected(run, opened(run, place)).bytes


def select(run: Run, repository: Repository) -> coverage.Selection:
    """What will be saved; told to the user in short, to the log in full."""
    selection = selected(run, repository)
    tell(run, selection)
    return selection


def selected(run: Run, repository: Repository) -> coverage.Selection:
    """What will be saved, by the layout and the settings."""
    return selected_beside(run, repository.folder, _home(repository))


def selected_beside(run: Run, folder: Path | None, home: Path | None = None) -> coverage.Selection:
    """Likewise, where backups are kept in this folder, and are really in `home`; None for other places."""
    from ..rescue.initramfs import cached_files
    from ..storage.at_stake import at_stake
    from ..storage.fate import Exclusions
    from ..storage.mount import wake
    from ..storage.survey import read_mounts

    assert run.layout is not None
    settings = run.settings
    # Described a while ago, it may be gone again.
    wake(run.sh, run.report.warn)
    private = {
        run.build_dir: "the work area of this run",
        **dict.fromkeys(cached_files(run.cache_dir), "rear can create it again"),
        run.var_dir / "output": "rescue media created here",
        signature.key_path(run): "it signs backups; anyone who reads this backup could then sign",
    }
    if run.report.log_path:
        private[run.report.log_path] = "the log of this run"
    wishes = coverage.Wishes(
        folder, settings["BACKUP_PROG_INCLUDE"], settings["BACKUP_PROG_EXCLUDE"], Exclusions.of(settings), private,
        home, portion=run.portion,
    )  # fmt: skip
    kept = dict.fromkeys(wishes.kept, "the backups themselves")
    seen_elsewhere = {
        Path(other): reason
        for path, reason in {**private, **kept}.items()
        for other in other_paths(os.fspath(path))
    }  # fmt: skip
    private = {Path(os.path.realpath(path)): reason for path, reason in {**private, **seen_elsewhere}.items()}
    wishes = replace(wishes, private=private)
    mounts = read_mounts(run.sh)
    found = coverage.select(run.layout, mounts, wishes, sizes.bytes_used, sizes.bytes_below, hidden_by)
    return replace(found, stakes=tuple(at_stake(run, run.layout).values()))


def _home(repository: Repository) -> Path | None:
    """Where the backups of this machine really are, if that is not in the folder of all: a link may lead there."""
    home = Path(os.path.realpath(repository.home)) if isinstance(repository, FolderRepository) else None
    return home if home and (home.is_mount() or repository.folder not in home.parents) else None


def check_included(run: Run) -> None:
    """Raise `ConfigurationError` for what is named to be saved and is not there, is there by a link, or is left out by
    another setting."""
    excluded = run.settings["BACKUP_PROG_EXCLUDE"]
    for folder in {folder for portion in run.portions.values() for folder in portion.folders}:
        if not os.path.isdir(folder):
            raise ConfigurationError(f"BACKUP_PARTS names {folder}, which is no folder here", "name a folder")
    for path in run.settings["BACKUP_PROG_INCLUDE"]:
        if not os.path.lexists(path):
            raise ConfigurationError(
                f"BACKUP_PROG_INCLUDE names {path}, which does not exist", "it accepts no patterns"
            )
        real = os.path.realpath(path)
        if real != path:
            # Of a link tar saves the link alone. What is saved by a path that leads over one cannot be restored where
            # the link is in the archive as well: then there is no folder to put it into.
            raise ConfigurationError(
                f"BACKUP_PROG_INCLUDE names {path}, which leads over a link to {real}", f"name {real} instead"
            )
        if pattern := patterns.leaving_out(path, excluded) or patterns.emptying(path, excluded):
            raise ConfigurationError(
                f"BACKUP_PROG_INCLUDE names {path}, which {pattern!r} of BACKUP_PROG_EXCLUDE leaves out",
                "change one of the two",
            )


def tell(run: Run, selection: coverage.Selection) -> None:
    """The coverage report: what the user may not expect on the terminal, all in the log."""
    tell_covered(run, selection)
    for part in selection.parts:
        amount = "" if part.bytes is None else f" {size(part.bytes)}"
        run.report.log(f"Left out: {part.pattern}{amount}: {part.reason}")
    saved = [entry.name for entry in selection.covered if entry.verdict == coverage.SAVED]
    amount = f": about {size(selection.bytes)}" if saved else ""
    run.report.say(f"Saving {' '.join(saved or run.settings['BACKUP_PROG_INCLUDE'])}{amount}")


def tell_covered(run: Run, selection: coverage.Selection) -> None:
    """What becomes of each file system; what was written into a file behind a loop device is in it afterwards."""
    if any(coverage.MAY_BE_TORN in entry.reason for entry in selection.covered):
        # It is in memory for half a minute, and only its journal has it, as a file without contents.
        os.sync()
    note_left_out(run, selection)
    for entry in selection.covered:
        reason = f": {entry.reason}" if entry.reason else ""
        line = f"{entry.verdict.capitalize()}: {entry.name} {entry.type} {size(entry.bytes)}{reason}"
        if entry.verdict == coverage.EXCLUDED and entry.reason == coverage.NOT_MOUNTED:
            run.report.warn(f"{entry.name} is not mounted: its files are not saved")
        elif coverage.BEHIND_IS_LOST in entry.reason:
            run.report.warn(f"{entry.name} is not saved: {entry.reason}")
        elif coverage.MAY_BE_TORN in entry.reason:
            run.report.warn(f"{entry.name} is saved as one file: {entry.reason}")
        elif entry.verdict == coverage.EXCLUDED and entry.bytes and run.build_dir not in Path(entry.name).parents:
            run.report.say(line)
        else:
            run.report.log(line)


def note_left_out(run: Run, selection: coverage.Selection) -> None:
    """Add to the outcome of a run what is mounted here and not in a backup, but for what is rear's own."""
    for entry in selection.covered:
        missed = entry.reason == coverage.NOT_MOUNTED or coverage.BEHIND_IS_LOST in entry.reason
        own = entry.reason == coverage.HOLDS_BACKUP or run.build_dir in Path(entry.name).parents
        others = run.portion and not run.portion.saves(entry.name)
        if entry.verdict == coverage.EXCLUDED and (entry.bytes or missed) and not own and not others:
            run.outcome.leave_out(LeftOut(entry.name, entry.reason, entry.bytes, missed))
    for part in selection.parts:
        if part.bytes and part.reason == coverage.BY_PATTERN:
            run.outcome.leave_out(LeftOut(part.pattern, part.reason, part.bytes))


def archive(
    run: Run,
    selection: coverage.Selection,
    target: Target,
    name: str,
    secured: encryption.Encryption | None,
    keys: encryption.Keys | None,
    watching: Watch,
    missed: Mapping[str, str],
) -> manifest.Manifest:
    """Write archive, coverage report and, last, the manifest of a backup; `missed` are left out, with the reasons."""
    compression = run.settings["BACKUP_COMPRESSION"]
    progress = Progress(run.report, "Saving", selection.bytes, events=run.options.json_progress)
    position = Position()
    writer = Writer(target, watching.writing, watching.at_place)

    def started(pids: Sequence[int]) -> None:
        position.follow(pids)
        watching.follow(pids)

    def take(block: memoryview) -> None:
        writer(block)
        progress.at(position.read())

    patterns = [part.pattern for part in selection.parts] + [coverage.literal(path[1:]) for path in missed]
    with watching.programs():
        streamed = stream.pack(run.sh, selection.starts, patterns, compression, keys, take, started=started)
    streamed = replace(streamed, lost={**missed, **streamed.lost})
    writer.end()
    progress.end()
    if not streamed.members:
        raise RearError("nothing to save: the exclusions leave no file", "look at the coverage report")
    unseen = [start for start in streamed.unseen if start not in missed]
    if unseen:
        problem = f"{unseen[0][1:]} should be saved, but is not in the archive"
        raise RearError(problem, "see in the log what is left out")
    warnings = dict(streamed.complaints)
    if streamed.lost:
        warnings["missed"] = len(streamed.lost) + streamed.more.get("lost", 0)
    warn(run, streamed.complaints)
    for kind in streamed.complaints:
        _log_more(run, streamed, kind)
    tell_missed(run, streamed)
    if streamed.too_long:
        run.report.warn(
            f"{len(streamed.too_long) + streamed.more.get('too long', 0)} files cannot be restored, as their paths are"
            f" too long; move or exclude what is in {_beginning(streamed.too_long[0])}"
        )
        for path in streamed.too_long:
            run.report.log(f"too long to be restored: {path}")
        _log_more(run, streamed, "too long")
    several, report = len(writer.volumes) > 1, selection.dumps()
    kept = headers.save(run, target, keys)
    made = manifest.Manifest(
        created=target.name, hostname=run.system.hostname, archive=name, size=writer.size, sha256=writer.sha256,
        compression=compression, members=streamed.members, bytes=streamed.bytes, layout=layout_id(run),
        storage=storage(run), warnings=warnings, tools=tools(run, compression, bool(keys)),
        encryption=secured, volumes=tuple(writer.volumes) if several else (),
        chunk_size=target.chunk_size if not several else 0, chunks=writer.volumes[0].chunks if not several else "",
        coverage=hashlib.sha256(report.encode()).hexdigest(),
        saved=tuple(entry.name for entry in selection.covered if entry.verdict == coverage.SAVED),
        machine=identity(run), number=target.number, there=tuple(getattr(target, "there", ())),
        headers=kept,
    )  # fmt: skip
    target.add(COVERAGE, report)
    target.add(manifest.NAME, manifest.dumps(made, keys, lambda text: signature.sign(run, text)))
    return made


def _log_more(run: Run, streamed: stream.Streamed, kind: str) -> None:
    if kind in streamed.more:
        run.report.log(f"{kind}: and {streamed.more[kind]} more, not listed")


def _beginning(name: str) -> str:
    """As much of a path that is too long as tells where it lies."""
    return name[1:].rpartition("/")[0][:60] + "..."


class Position:
    """How many bytes a program has written (or read, by `rchar`) so far, as the kernel counts them; that costs the
    program nothing."""

    def __init__(self, counter: str = "wchar") -> None:
        self._path = Path("/proc/self/io")
        self._pattern = re.compile(rf"^{counter}: (\d+)", re.MULTILINE)

    def follow(self, pids: Sequence[int]) -> None:
        """Look at the first of these processes."""
        self._path = Path(f"/proc/{pids[0]}/io")

    def read(self) -> int:
        """The bytes, 0 where the kernel does not tell or the process has ended.

        >>> Path("/proc/4711/io").read_text()
        rchar: 1048576
        wchar: 524288
        """
        with suppress(OSError):
            found = self._pattern.search(self._path.read_text())
            return int(found[1]) if found else 0
        return 0


def warn(run: Run, complaints: dict[str, int]) -> None:
    """Tell what tar complained of; sockets are nothing to worry about."""
    words = {
        "changed": "changed while they were saved", "vanished": "vanished before they were saved",
        "shrank": "shrank while they were saved and are padded with zeros", "other": "caused complaints of tar",
    }  # fmt: skip
    for kind, count in complaints.items():
        if kind in words:
            run.report.warn(f"{count} files {words[kind]}; the log names them")


def tell_missed(run: Run, streamed: stream.Streamed) -> None:
    """Name what could not be saved, as somebody exchanged it, mounted something over it, held or locked it."""
    missed, more = streamed.lost, streamed.more.get("lost", 0)
    for path, reason in missed.items():
        run.report.log(f"not saved: {path[1:]}: {reason}")
    _log_more(run, streamed, "lost")
    if missed:
        path, reason = next(iter(missed.items()))
        few = f"{path[1:100]}{'...' if len(path) > 100 else ''}: {reason}"
        run.outcome.leave_out(LeftOut(f"{len(missed) + more} files", f"the first is {few}", missed=True))
        run.report.warn(
            f"{len(missed) + more} files are not saved, because users replaced, held or locked them; the first is {few}"
        )


def failure(error: ProgramFailed, repository: Repository) -> RearError:
    """A failed stage with what it was that failed."""
    reason = diagnostics.first_error(error.output) if error.status > 0 else ""
    what = f"{error.argv[0]} failed: {reason}" if reason else error.message
    # Other media than folders may have been written over.
    hint = "earlier backups are unchanged; see the log" if repository.folder else "see the log, and run it again"
    return RearError(f"cannot create the backup: {what}", hint)


def layout_id(run: Run) -> str:
    """The SHA-256 of the layout that the backup belongs to."""
    from ..storage.layout import dumps

    return hashlib.sha256(dumps(run.layout).encode()).hexdigest() if run.layout else ""


def storage(run: Run) -> dict[str, Any]:
    """The layout, as its file has it; {} when none is known."""
    from ..storage.layout import dumps

    return dict(json.loads(dumps(run.layout))) if run.layout else {}


def tools(run: Run, compression: str, encrypted: bool) -> dict[str, str]:
    """The versions of what made the archive."""
    from .. import __version__

    programs = ["tar", *stream.COMPRESSORS[compression].pack[:1]]
    found = {"rear": __version__}
    for program in programs:
        found[program] = run.sh.query(program, "--version").strip().partition("\n")[0]
    if encrypted:
        found["openssl"] = run.sh.query("openssl", "version").strip()
    return found


def passphrase(run: Run) -> str:
    """The configured passphrase, "" for none; the file that has it is not on the rescue media, so it is asked for."""
    secret = str(run.settings["BACKUP_KEY"])
    path = run.settings["BACKUP_KEY_FILE"]
    stayed_behind = "verify" in run.phases and not os.path.lexists(path)
    if path and not secret and not stayed_behind:
        secret = encryption.read_passphrase(Path(path))
        run.report.mask(secret)
    return secret


def check_tools(run: Run) -> None:
    """Raise `RearError` unless this machine can make an archive, for the phase prep."""
    version = run.sh.query("tar", "--version")
    if "GNU tar" not in version:
        raise ConfigurationError(f"this tar is not GNU tar: {version.partition(chr(10))[0]}", "install GNU tar")
    secret = passphrase(run)
    if problem := encryption.typing_problem(secret):
        where = run.settings["BACKUP_KEY_FILE"] if not run.settings["BACKUP_KEY"] else "BACKUP_KEY"
        raise ConfigurationError(
            f"the passphrase in {where} {problem}: a recovery, which asks for it, would never get it",
            "write one line of printable text in UTF-8, as by `printf '%s\\n' 'several words'`",
        )
    needed = rescue_contents(run.settings).programs
    missing = [program for program in needed if run.sh.which(program) is None]
    if missing:
        raise RearError(f"programs are missing: {' '.join(missing)}", run.plugins.install_advice(missing))
    headers.check(run, bool(secret))
    if secret:
        encryption.new(secret)


def rescue_contents(settings: Settings) -> Contents:
    """What the rescue system needs to restore an archive, also one that was made with other settings."""
    compressor = stream.COMPRESSORS[settings["BACKUP_COMPRESSION"]].pack[:1]
    return Contents(programs=["tar", *compressor, "openssl"], optional_programs=["zstd", "gzip", "xz"])
