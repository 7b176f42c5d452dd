# SPDX-License-Identifier: GPL-3.0-or-later
"""Restores the files of a machine: first proves that the backup is whole and authentic, then unpacks it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .. import questions
from ..errors import SCARCE, ConfigurationError, Interrupted, ProgramFailed, RearError, Refused
from . import diagnostics, encryption, generations, headers, manifest, sample, signature, stream
from .backup import COVERAGE, passphrase
from .described import check_newest, recorded, signers
from .progress import Progress, size
from .repository import FolderRepository, Repository, identity, opened
from .volumes import checked
from .watch import Watch, watch

if TYPE_CHECKING:
    from ..run import Run

TRIES = 3


@dataclass(frozen=True)
class Backup:
    """A backup that was found good: its name, its manifest, and its keys when it is encrypted."""

    name: str
    manifest: manifest.Manifest
    keys: encryption.Keys | None = field(default=None, repr=False)


def check(run: Run, place: Path | Repository) -> None:
    """Choose a backup, read it, and set `run.backup`; `Refused` unless it is whole and authentic."""
    repository = opened(run, place)
    try:
        with watch(run, repository, error=Refused).watching():
            backup, proof = examine(run, repository)
    except OSError as error:
        raise Refused(
            f"cannot read the backups in {repository}: {error.strerror}", "check its server or disk"
        ) from error
    run.backup, found = backup, backup.manifest
    contents = f"{found.members} files, {size(found.bytes)}, of {found.hostname}"
    run.report.say(f"The backup is {proof}: {contents}")


def examine(run: Run, repository: Repository) -> tuple[Backup, str]:
    """The chosen backup, and what is proven of it."""
    names = repository.names()
    name = generations.choose(names, run.options.backup, str(repository))
    others = [other for other in names if other != name]
    choice = f" (--backup DATE chooses another: {' '.join(others)})" if others else ""
    run.report.say(f"Backup: {name}{choice}")
    check_newest(run, name, str(repository))
    sealed = read_manifest(repository, name)
    keys = unlock(run, sealed)
    # Other machines may have the same passphrase: it is proof only where no key of this one is known.
    signed = check_signature(run, sealed)
    authentic = signed or (bool(keys) and not signers(run))
    found = sealed.manifest
    check_owner(run, name, found)
    compare_layouts(run, found)
    check_saved(run, found)
    check_room(run, found.bytes)
    check_report(run, repository, name, found)
    headers.load(run, repository, name, found, keys)
    proven = read_archive(run, repository, name, found)
    return Backup(name, found, keys), f"{proven} and {'authentic' if authentic else 'unchanged'}"


def read_manifest(repository: Repository, name: str) -> manifest.Sealed:
    """The manifest of a backup; `Refused` when it is missing or damaged."""
    try:
        text = repository.manifest(name)
    except (FileNotFoundError, UnicodeDecodeError) as error:
        what = "has no manifest" if isinstance(error, FileNotFoundError) else "has a damaged manifest"
        raise Refused(f"the backup {name} in {repository} {what}", manifest.OTHER_BACKUP) from error
    return manifest.loads(text)


def unlock(run: Run, sealed: manifest.Sealed) -> encryption.Keys | None:
    """The keys of an encrypted backup, whose manifest is then proven to be authentic."""
    secured, secret = sealed.manifest.encryption, passphrase(run)
    if secured is None:
        if secret or run.settings["BACKUP_KEY_FILE"] or recorded(run, "encrypted"):
            agree(
                run,
                "the backup is not encrypted, but this machine encrypts its backups: someone may have replaced it",
                f"{manifest.OTHER_BACKUP}; to restore one from before the key was set, use a terminal",
                "Restore it anyway",
            )
        return None
    keys = encryption.unlock(secret, secured) if secret else _ask(run, secured)
    sealed.authenticate(keys)
    return keys


def check_signature(run: Run, sealed: manifest.Sealed) -> bool:
    """Whether this machine has signed a backup; when it should have, and has not, that is refused or asked about.

    Rescue media know its public keys; others, and those from before it had one, cannot tell.
    """
    known = signers(run)
    if not known:
        return False
    if sealed.signature and signature.verify(run, sealed.text, sealed.signature, known):
        return True
    what = "its signature is not of this machine" if sealed.signature else "it has no signature"
    agree(
        run,
        f"rear cannot tell who created the backup: {what}, so it may be from someone else",
        f"{manifest.OTHER_BACKUP}; to restore one from before this machine had its key, use a terminal",
        "Restore it anyway",
    )
    return False


def agree(run: Run, problem: str, advice: str, question: str) -> None:
    """Have somebody decide; raises `Refused` where the answer is no, and where nobody can be asked."""
    if not questions.is_interactive(run):
        raise Refused(problem, advice)
    run.report.say(problem)
    if not questions.confirm(run, question, default=False, quits="stopped before anything was written"):
        raise Refused(problem, advice)


def _ask(run: Run, secured: encryption.Encryption) -> encryption.Keys:
    """Ask for the passphrase until it is right, three times at most."""
    if not questions.is_interactive(run):
        raise Refused("the backup is encrypted and no key is configured", "set BACKUP_KEY_FILE, or use a terminal")
    for number in range(TRIES):
        secret = questions.ask_secret(run, "Passphrase of the backup: ")
        run.report.mask(secret)
        try:
            return encryption.unlock(secret, secured)
        except Refused as error:
            if number == TRIES - 1:
                raise
            run.report.say(error.message)
    raise AssertionError("unreachable")


def check_owner(run: Run, name: str, found: manifest.Manifest) -> None:
    """Refuse, or ask, when the backup is of another machine or of another time than its name says."""
    if found.created != name:
        raise Refused(f"the backup {name} was created as {found.created}: someone renamed it", manifest.OTHER_BACKUP)
    own = identity(run)
    if found.machine in ("", own) or not own:
        return
    problem = f"the backup is of another machine: {found.hostname}, identity {found.machine}, not {own}"
    if run.demo:
        run.report.warn(problem)
    else:
        agree(run, problem, "check BACKUP_URL and BACKUP_PREFIX", "Restore it here")


def compare_layouts(run: Run, found: manifest.Manifest) -> None:
    """Tell what of the storage was otherwise when the backup was made: it is made as it is described here."""
    from ..storage.compare import compare
    from ..storage.kinds import item_types
    from ..storage.layout import loads

    if run.layout is None or not found.storage:
        return
    try:
        then = loads(json.dumps(found.storage), item_types(run.plugins.call("rear_storage_kinds")), name="manifest")
    except ConfigurationError as error:
        run.report.warn(f"cannot read the disk layout in this backup: {error.message}")
        return
    if differences := compare(then, run.layout):
        run.report.warn("the disk layout changed after this backup; the layout on this rescue medium will be used")
        for line in differences:
            run.report.say(f"Since the backup: {line}")


def check_saved(run: Run, found: manifest.Manifest) -> None:
    """Refuse, or ask, when this backup has nothing of a file system whose disk the recovery would erase.

    It was not mounted when this backup was made, though it was when the machine was described.
    """
    from ..storage.at_stake import at_stake
    from ..storage.fate import SAVED
    from ..storage.mapping import recorded_marks

    if run.plan is None or run.held is None or not found.saved:
        return
    layout, given_up = run.plan.site.layout, run.settings["GIVE_UP"]
    taken = run.held.carrying(recorded_marks(layout))
    stakes = [stake for id, stake in at_stake(run, layout).items() if run.plan.mapping[id] in taken]
    missing = [
        content.title
        for stake in stakes
        for content in stake.contents
        if content.fate == SAVED and content.title not in found.saved and not content.is_named(given_up)
        if run.portion is None or run.portion.saves(content.title)
    ]
    if not missing:
        return
    listed = ", ".join(dict.fromkeys(missing))
    problem = f"the backup has no files of {listed}; the disks to overwrite may hold the only copy"
    agree(run, problem, f"{manifest.OTHER_BACKUP}, or name in GIVE_UP what may be lost", "Recover and lose them")


def check_report(run: Run, repository: Repository, name: str, found: manifest.Manifest) -> None:
    """Warn when the coverage report beside a backup is not its own: it may mislead whoever reads it."""
    if (
        isinstance(repository, FolderRepository)
        and found.coverage
        and repository.checksum(name, COVERAGE) != found.coverage
    ):
        run.report.warn(f"the report of what was saved, {COVERAGE}, is missing or was changed")


def check_room(run: Run, needed: int) -> None:
    """Refuse when so many bytes cannot fit: into the one folder of a demonstration, or all file systems together."""
    if run.plan and 0 < run.plan.room < needed:
        raise Refused(
            f"the backup has {size(needed)}, the file systems on the chosen disks {size(run.plan.room)} together",
            "choose larger disks with DISK_MAPPING, or an older backup with --backup DATE",
        )
    if not run.demo or "restore" not in run.phases:
        return
    place = next(path for path in (run.target, *run.target.parents) if path.exists())
    status = os.statvfs(place)
    free = status.f_bavail * status.f_frsize
    if free < needed:
        raise Refused(f"{place} has {size(free)} free, but the backup needs {size(needed)}", "choose a larger one")


def read_archive(run: Run, repository: Repository, name: str, found: manifest.Manifest) -> str:
    """Read the archive, or a sample of it, and say what that proves; `Refused` when it is not as the manifest says."""
    if found.compression not in stream.COMPRESSORS:
        raise Refused(f"rear does not know the compression {found.compression!r}", "read it with a newer rear")
    # Each part is compared once more while it is restored.
    chunked = {"restore", "fetch"} & {*run.phases} and found.chunk_size and not found.volumes
    large = chunked and found.parts[0].count > sample.parts(found.chunk_size)
    if large and run.settings["BACKUP_CHECK"] == "sample" and isinstance(repository, FolderRepository):
        return read_sample(run, repository, name, found)
    progress = Progress(run.report, "Checking", found.size, events=run.options.json_progress)
    done = 0
    # The last volume first: its medium was the last one written, and the first is in the drive when restore begins.
    for number, volume in reversed(list(enumerate(found.parts))):
        with refusing():
            for block in checked(repository.volume(name, found, number), title(repository, found, number), volume):
                done += len(block)
                progress.at(done)
    progress.end()
    return "complete"


def read_sample(run: Run, repository: FolderRepository, name: str, found: manifest.Manifest) -> str:
    """Read the first and the last chunk of an archive, and others that are drawn."""
    (volume,) = found.parts
    numbers = sample.drawn(volume.count, sample.parts(volume.chunk_size))
    progress = Progress(run.report, "Checking", len(numbers) * volume.chunk_size, events=run.options.json_progress)
    done = 0
    for number in numbers:
        chunk = volume.chunk(number)
        with refusing():
            blocks = repository.part(name, found, number * volume.chunk_size, chunk.size)
            for block in checked(blocks, title(repository, found, 0), chunk):
                done += len(block)
                progress.at(done)
    progress.end()
    run.report.detail(
        f"{len(numbers)} of {volume.count} parts were read: with 95 % confidence, less than"
        f" {100 * sample.damaged(len(numbers)):.1f} % is damaged. rear compares all parts during the restore."
    )
    return f"of the right size ({len(numbers)} of {volume.count} parts were read)"


@contextmanager
def refusing() -> Iterator[None]:
    """A block whose errors are reasons not to begin."""
    try:
        yield
    except (Refused, Interrupted):
        raise
    except RearError as error:
        raise Refused(error.message, manifest.OTHER_BACKUP) from error


def title(repository: Repository, found: manifest.Manifest, number: int) -> str:
    """What the user knows a volume by."""
    of = f"volume {number + 1} of " if found.volumes else ""
    return f"{of}the archive {found.created}/{found.archive} in {repository}"


def archive_blocks(
    repository: Repository, name: str, found: manifest.Manifest, progress: Callable[[int], None]
) -> Generator[memoryview, None, None]:
    """The whole archive, volume by volume; raises `RearError` when it is not what it was when it was checked."""
    done = 0
    for number, volume in enumerate(found.parts):
        for block in checked(repository.volume(name, found, number), title(repository, found, number), volume):
            yield block
            done += len(block)
            progress(done)


def awaited(blocks: Iterator[memoryview], watch: Watch) -> Iterator[memoryview]:
    """The blocks; while one is read not the programs hang that wait for it, but the place."""
    while True:
        with watch.at_place():
            block = next(blocks, None)
        if block is None:
            return
        yield block


def restore(run: Run, place: Path | Repository) -> None:
    """Unpack the backup that `check` found good below `run.target`, and compare what came with its manifest.

    With `run.options.paths` only these files come, and each part of the archive is compared all the same.
    """
    backup = run.backup
    if not isinstance(backup, Backup):
        raise RearError("no backup was checked, so rear restores none", "the plugin must check it in the phase verify")
    found = backup.manifest
    _make_target(run)
    progress = Progress(run.report, "Restoring", found.size, events=run.options.json_progress)
    repository = opened(run, place)
    watching = watch(run, repository, advice="check the disk behind it, then run it again")
    blocks = archive_blocks(repository, backup.name, found, progress.at)
    try:
        # Closed in any case: a file that is still open keeps its medium from being unmounted.
        with watching.watching(), watching.programs(), closing(blocks):
            streamed = stream.unpack(
                run.sh, awaited(blocks, watching), found.compression, backup.keys, run.target,
                paths=run.options.paths, started=watching.follow,
            )  # fmt: skip
    except ProgramFailed as error:
        raise failure(run, error) from error
    except Interrupted as error:
        if run.demo:
            raise Interrupted(error.message, f"{run.target} is not complete: remove it, then run it again") from error
        raise
    progress.end()
    if not run.options.paths and (streamed.members, streamed.bytes) != (found.members, found.bytes):
        raise RearError(
            f"the archive is damaged inside: it gave {streamed.members} files and {streamed.bytes} bytes, but was"
            f" created with {found.members} and {found.bytes}",
            f"{run.target} is not complete: choose another backup with --backup DATE",
        )
    for kind, count in streamed.complaints.items():
        run.report.warn(f"tar complained {count} times ({kind}) during the restore; see the log")
    lost = len(streamed.lost) + streamed.more.get("lost", 0)
    absent = sum(reason == diagnostics.NOT_THERE for reason in streamed.lost.values())
    amount = "" if run.options.paths else f", {size(streamed.bytes)}"
    run.report.say(f"Restored {max(streamed.members - lost + absent, 0)} files{amount}, to {run.target}")
    lack(run, streamed.lost, streamed.more.get("lost", 0), "were not restored")
    lack(run, streamed.bare, streamed.more.get("attributes", 0), "were restored without an attribute")


def _make_target(run: Run) -> None:
    try:
        run.target.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in SCARCE:
            raise
        raise RearError(f"cannot create {run.target}: {error.strerror}", "choose another folder") from error


def lack(run: Run, files: Mapping[str, str], more: int, what: str) -> None:
    """Name files that are not as they were, with the reason of each; `more` are not named."""
    for name, reason in files.items():
        run.report.log(f"{what}: {name}: {reason}")
    if files:
        name, reason = next(iter(files.items()))
        shown = name if len(name) < 100 else f"{name[:100]}..."
        if more:
            run.report.log(f"{what}: and {more} more")
        run.lack(f"{len(files) + more} files {what}, the first is {shown}: {reason}")


def failure(run: Run, error: ProgramFailed) -> RearError:
    """A failed stage with what it was that failed."""
    reason = (diagnostics.first_error(error.output) if error.status > 0 else "") or error.message
    hint = "see the log, correct the cause, then run it again"
    # The first write to a full disk takes a part of what it should, and only the next one says why.
    if diagnostics.says_full(error.output):
        reason = f"No space left on device: {reason.partition(': ')[0]}"
        hint = "choose larger disks with DISK_MAPPING, or an older backup with --backup DATE"
    elif diagnostics.says_damaged(error.output):
        reason = f"the archive is damaged inside: {reason}"
        hint = "choose another backup with --backup DATE"
    return RearError(f"cannot restore the files to {run.target}: {reason}", hint)
