# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a snapshot of the selected files, proves that it is there, and forgets old ones."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from rear_core import ProgramFailed, RearError, Refused, Run, questions
from rear_core.archive import external, owned, retention
from rear_core.archive.backup import selected_beside, tell
from rear_core.archive.progress import Progress, size
from rear_core.archive.repository import hostname
from rear_core.errors import Interrupted

from . import excludes, snapshot
from .repository import FOLDER, LONG, Repository, cache, failure

# Some files could not be read; the snapshot has the others.
INCOMPLETE = 3
# A disk that fails could make millions.
MOST_ERRORS = 1000


class Messages:
    """What `restic backup --json` tells while it runs: status on standard output, errors on the other one.

    >>> line
    '{"message_type":"status","percent_done":0.5,"total_bytes":2097152,"bytes_done":1048576}'
    """

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.summary: Mapping[str, Any] = {}
        self.errors: list[str] = []
        self.count = 0
        self._rest = b""

    def take(self, block: memoryview) -> None:
        """Read a block of standard output."""
        *lines, self._rest = (self._rest + bytes(block)).split(b"\n")
        for line in lines:
            told = _told(line.decode(errors="surrogateescape"))
            if told.get("message_type") == "status":
                self.progress.total = int(told.get("total_bytes", 0))
                self.progress.at(int(told.get("bytes_done", 0)))
            elif told.get("message_type") == "summary":
                self.summary = told

    def keep(self, line: str) -> bool:
        """Note a line of standard error; whether it belongs in the log."""
        told = _told(line)
        if told.get("message_type") != "error":
            return True
        self.count += 1
        if self.count <= MOST_ERRORS:
            self.errors.append(f"{told.get('item', '')}: {_reason(told.get('error'))}")
        return self.count <= MOST_ERRORS


def _told(line: str) -> Mapping[str, Any]:
    try:
        told = json.loads(line)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _reason(error: object) -> str:
    """Why a file failed: restic 0.14 has the number of the error, later ones a message."""
    found = error if isinstance(error, dict) else {}
    number = found.get("Err")
    return str(found.get("message") or (os.strerror(number) if isinstance(number, int) else "see the log"))


def save(run: Run, repository: Repository) -> None:
    """Make a snapshot of all that a recovery needs; `RearError` unless it is there and the repository is whole."""
    selection = selected_beside(run, repository.folder)
    tell(run, selection)
    left_out = excludes.of_selection(selection, run.cache_dir / FOLDER)
    made = repository.locking(
        lambda waiting: _back_up(run, repository, [*waiting, *map("--exclude={}".format, left_out)])
    )
    _prove(run, repository, str(made.get("snapshot_id", "")))
    _check(run, repository)
    files, read, new = (
        int(made.get(key, 0)) for key in ("total_files_processed", "total_bytes_processed", "data_added")
    )
    name = made["snapshot_id"][:8]
    run.saved(name, str(repository), files=files, bytes=read, size=new)
    run.report.say(f"Saved {files} files, {size(read)}, as snapshot {name} in {repository} ({size(new)} new)")
    _prune(run, repository)


def _back_up(run: Run, repository: Repository, more: Sequence[str]) -> Mapping[str, Any]:
    """Have restic save; what it says at its end. Files that it could not read are a warning."""
    messages = Messages(Progress(run.report, "Saving", 0, events=run.options.json_progress))
    argv = repository.argv(
        "backup", "--json", "--one-file-system", "--host", hostname(run), "--tag", ",".join(snapshot.tags(run)),
        *cache(run), *more, "--", *(system.path for system in external.recorded(run)),
    )  # fmt: skip
    try:
        run.sh.pipe(
            argv, take=messages.take, keep={"restic": messages.keep}, ok={"restic": (0, INCOMPLETE)},
            env=repository.environment,
        )  # fmt: skip
    except ProgramFailed as error:
        raise failure(repository, error) from error
    messages.progress.end()
    if messages.count:
        run.report.warn(
            f"{messages.count} files are not saved, because restic could not read them:"
            f" {external.few(messages.errors)}; the log has all"
        )
    return messages.summary


def _prove(run: Run, repository: Repository, made: str) -> None:
    """Raise `RearError` unless the new snapshot is listed with all paths: restic skips one that is not there."""
    found = next((each for each in repository.snapshots() if made and each.id.startswith(made)), None)
    if found is None:
        raise RearError(f"the new snapshot is not in {repository}", "do not trust its disk or server; see the log")
    wanted = [system.path for system in external.recorded(run)]
    if absent := [path for path in wanted if path not in found.paths]:
        raise RearError(
            f"the new snapshot {made[:8]} has nothing of {' '.join(absent)}", "see the log, and run it again"
        )


def _check(run: Run, repository: Repository) -> None:
    """Raise `RearError` when restic finds the repository damaged, before an old snapshot goes."""
    try:
        repository.ask("check", "--no-lock", "--with-cache", *cache(run), timeout=LONG)
    except Interrupted:
        raise
    except RearError as error:
        advice = "rear removed no old snapshot; repair the repository as restic's manual says"
        raise RearError(f"{repository} is damaged: {error.message}", advice) from error


def _prune(run: Run, repository: Repository) -> None:
    """Forget old snapshots of this machine alone; that this failed harms no backup."""
    chosen = ["--host", hostname(run), "--tag", ",".join(snapshot.tags(run)), "--group-by", "host"]
    argv = ["forget", *chosen, *retention.policy(run, "RESTIC_KEEP"), "--prune", *cache(run)]
    try:
        repository.locking(lambda waiting: repository.ask(*argv, *waiting, timeout=LONG))
    except Interrupted:
        raise
    except RearError as error:
        run.report.warn(f"old snapshots were not removed and take up room: {error.message}")


def forget(run: Run, repository: Repository, name: str) -> None:
    """Remove the snapshots of a date, and what only they need, once somebody has agreed; `Refused` for any other."""
    mine = owned.own(run, repository.snapshots())
    found = [each for each in mine if each.name == name]
    if not found:
        advice = "`rear backup list` shows their full names"
        raise Refused(f"there is no snapshot {name} of this machine in {repository}", advice)
    if not questions.is_interactive(run):
        raise Refused("rear removes a backup only if somebody agrees at a terminal", "run it there, without -n")
    if len(found) == len(mine):
        run.report.say(f"There is no other snapshot of this machine in {repository}")
    if not questions.confirm(run, f"Remove the snapshot {name}", default=False, quits="stopped; nothing was removed"):
        raise Refused("the snapshot stays", "nothing was removed")
    ids = [each.id for each in found]
    argv = ["forget", "--prune", *cache(run), *ids]
    repository.locking(lambda waiting: repository.ask(*argv, *waiting, timeout=LONG))
    run.report.say(f"Removed the snapshot {name} from {repository}")
