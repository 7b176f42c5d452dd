# SPDX-License-Identifier: GPL-3.0-or-later
"""Restores the files of a machine: first proves that the backup is whole and authentic, then unpacks it."""
from __future__ import annotations

import getpass
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ProgramFailed, RearError, Refused
from . import encryption, generations, manifest, stream
from .backup import passphrase, prefix
from .progress import Progress, size

if TYPE_CHECKING:
    from ..run import Run

TRIES = 3


@dataclass(frozen=True)
class Backup:
    """A generation that was found good: its name, its manifest, and its keys when it is encrypted."""

    name: str
    manifest: manifest.Manifest
    keys: encryption.Keys | None = field(default=None, repr=False)


def check(run: Run, directory: Path) -> None:
    """Choose a generation, read all of it, and set `run.backup`; `Refused` unless it is whole and authentic."""
    home = directory / prefix(run)
    try:
        name = generations.choose(home, run.options.backup)
        others = [other for other in generations.names(home) if other != name]
        choice = f" (--backup DATE chooses another: {' '.join(others)})" if others else ""
        run.report.say(f"Backup: {name}{choice}")
        sealed = read_manifest(home / name)
        keys = unlock(run, sealed)
        found = sealed.manifest
        check_room(run, found)
        read_archive(run, home / name, found)
    except OSError as error:
        raise Refused(f"cannot read the backups in {home}: {error.strerror}", "check its server or disk") from error
    run.backup = Backup(name, found, keys)
    proof = "authentic" if keys else "unchanged"
    contents = f"{found.members} files, {size(found.bytes)}, of {found.hostname}"
    run.report.say(f"The backup is complete and {proof}: {contents}")


def read_manifest(generation: Path) -> manifest.Sealed:
    """The manifest of a generation; `Refused` when it is missing or damaged."""
    path = generation / manifest.NAME
    try:
        text = path.read_text()
    except (FileNotFoundError, UnicodeDecodeError) as error:
        what = "has no manifest" if isinstance(error, FileNotFoundError) else "has a damaged manifest"
        raise Refused(f"the backup {generation} {what}", manifest.OTHER_BACKUP) from error
    return manifest.loads(text)


def unlock(run: Run, sealed: manifest.Sealed) -> encryption.Keys | None:
    """The keys of an encrypted backup, whose manifest is then proven to be authentic."""
    secured, secret = sealed.manifest.encryption, passphrase(run)
    if secured is None:
        if secret:
            raise Refused(
                "the backup is not encrypted although a key is configured: it may have been exchanged",
                "if it was made before the key was set, unset BACKUP_KEY and BACKUP_KEY_FILE to restore it",
            )
        return None
    keys = encryption.unlock(secret, secured) if secret else _ask(run, secured)
    sealed.authenticate(keys)
    return keys


def _ask(run: Run, secured: encryption.Encryption) -> encryption.Keys:
    """Ask for the passphrase until it is right, three times at most."""
    if run.options.unattended or not sys.stdin.isatty():
        raise Refused("the backup is encrypted and no key is configured", "set BACKUP_KEY_FILE, or use a terminal")
    for number in range(TRIES):
        secret = getpass.getpass("Passphrase of the backup: ")
        run.report.mask(secret)
        try:
            return encryption.unlock(secret, secured)
        except Refused as error:
            if number == TRIES - 1:
                raise
            run.report.say(error.message)
    raise AssertionError("unreachable")


def check_room(run: Run, found: manifest.Manifest) -> None:
    """Refuse to fill the one folder of a demonstration; otherwise files go to several file systems, or to new ones."""
    if not run.demo:
        return
    place = next(path for path in (run.target, *run.target.parents) if path.exists())
    status = os.statvfs(place)
    free = status.f_bavail * status.f_frsize
    if free < found.bytes:
        raise Refused(f"{place} has {size(free)} free, {size(found.bytes)} will be restored", "choose a larger one")


def read_archive(run: Run, generation: Path, found: manifest.Manifest) -> None:
    """Read the whole archive; `Refused` unless it is the one that the manifest speaks of."""
    path = generation / found.archive
    try:
        there = path.stat().st_size
    except FileNotFoundError:
        raise Refused(f"the backup {generation} has no archive {found.archive}", manifest.OTHER_BACKUP) from None
    if there < found.size:
        raise Refused(
            f"the archive {path} is truncated: {there} of {found.size} bytes are there", manifest.OTHER_BACKUP
        )
    if found.compression not in stream.COMPRESSORS:
        raise Refused(f"the compression {found.compression!r} is not known", "read it with a newer rear")
    progress = Progress(run.report, "Checking", found.size, events=run.options.json_progress)
    try:
        for _ in stream.blocks(path, found.size, found.sha256, progress.at):
            pass
    except RearError as error:
        raise Refused(error.message, manifest.OTHER_BACKUP) from error
    progress.end()


def restore(run: Run, directory: Path) -> None:
    """Unpack the backup that `check` found good below `run.target`, and compare what came with its manifest."""
    backup = run.backup
    if backup is None:
        raise RearError("no backup was checked, so none is restored", "the plugin must check it in the phase verify")
    found = backup.manifest
    run.target.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / prefix(run) / backup.name / found.archive
    progress = Progress(run.report, "Restoring", found.size, events=run.options.json_progress)
    source = stream.blocks(path, found.size, found.sha256, progress.at)
    try:
        streamed = stream.unpack(
            run.sh, source, found.compression, backup.keys, run.build_dir / "members", run.target
        )
    except ProgramFailed as error:
        raise failure(run, error) from error
    progress.end()
    if (streamed.members, streamed.bytes) != (found.members, found.bytes):
        raise RearError(
            f"{streamed.members} files and {streamed.bytes} bytes came out of the backup, which has {found.members} and"
            f" {found.bytes}",
            f"{run.target} is not complete: see the log",
        )
    for kind, count in streamed.complaints.items():
        run.report.warn(f"tar complained {count} times ({kind}) while it restored; the log says of what")
    run.report.say(f"Restored {streamed.members} files, {size(streamed.bytes)}, to {run.target}")


def failure(run: Run, error: ProgramFailed) -> RearError:
    """A failed stage with what it was that failed."""
    reason = (stream.first_error(error.output) if error.status > 0 else "") or error.message
    return RearError(f"the files could not be restored to {run.target}: {reason}", "see the log, and run it again")
