# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes an archive of the selected files, proves that it is there, and removes old ones."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from rear_core import ProgramFailed, RearError, Refused, Run, questions
from rear_core.archive import external, owned, retention
from rear_core.archive.backup import selected_beside, tell
from rear_core.archive.progress import Progress, size
from rear_core.errors import Interrupted, understood

from . import archives, contents, excludes, segments
from .failures import told
from .repository import FOLDER, LONG, Repository

# Some files were not saved, or changed meanwhile; the archive has the others.
WARNING = 1
CHANGED = "file changed while we backed it up"
# Who tells of locks that processes have left behind, and that it has removed.
LOCKING = "borg.locking"
# A disk that fails could make millions.
MOST_WARNINGS = 1000


class Messages:
    """What `borg create --log-json --progress` tells while it runs.

    >>> line
    '{"type": "archive_progress", "original_size": 1048576, "nfiles": 3, "path": "etc/fstab", ...}'
    >>> line
    '{"type": "log_message", "levelname": "WARNING", "message": "/x: open: [Errno 13] Permission denied: \\'x\\'", ...}'
    """

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.changed: list[str] = []
        self.missed: list[str] = []
        self._printed = b""

    def take(self, block: memoryview) -> None:
        """Keep standard output, which is a short summary."""
        self._printed += bytes(block)

    @property
    def summary(self) -> Mapping[str, Any]:
        """Facts of the new archive."""
        with understood("borg create"):
            return dict(json.loads(self._printed)["archive"])

    def keep(self, line: str) -> bool:
        """Note a line of standard error; whether it belongs in the log."""
        message = told(line)
        if message.get("type") == "archive_progress":
            self.progress.at(int(message.get("original_size") or 0))
        if str(message.get("type")).startswith(("archive_progress", "progress_")):
            return False
        if message.get("levelname") != "WARNING" or message.get("name") == LOCKING:
            return True
        path, _, reason = str(message.get("message")).partition(": ")
        where = self.changed if reason.startswith(CHANGED) else self.missed
        if len(where) < MOST_WARNINGS:
            where.append(path if where is self.changed else f"{path}: {reason}")
            return True
        return False


def save(run: Run, repository: Repository) -> None:
    """Make an archive of all that a recovery needs; `RearError` unless it is there with all its data."""
    selection = selected_beside(run, repository.folder)
    tell(run, selection)
    # What is missing already would be missing in the new archive, too.
    check_whole(run, repository)
    listed = repository.listed()
    title = archives.new_title(run, listed.titles, datetime.now(timezone.utc))
    left_out = [f"--exclude={pattern}" for pattern in excludes.of_selection(selection, run.cache_dir / FOLDER)]
    made = repository.locking(lambda wait: _create(run, repository, title, [*wait, *left_out], selection.bytes))
    found, listed = _prove(run, repository, title, str(made.get("id")))
    new = int(made.get("stats", {}).get("deduplicated_size", 0))
    run.saved(title, str(repository), files=found.files, bytes=found.bytes, size=new)
    run.report.say(f"Saved {found.files} files, {size(found.bytes)}, as {title} in {repository} ({size(new)} new)")
    _prune(run, repository, listed)


def _create(run: Run, repository: Repository, title: str, more: Sequence[str], expected: int) -> Mapping[str, Any]:
    """Have borg save; what it says at its end. Files that it could not read are a warning, and those that changed."""
    messages = Messages(Progress(run.report, "Saving", expected, events=run.options.json_progress))
    paths = [system.path for system in external.recorded(run)]
    argv = repository.argv(
        "create", "--json", "--progress", "--one-file-system", "--sparse", "--comment", archives.comment(run, paths),
        "--compression", run.settings["BORG_COMPRESSION"], *more, "--", repository.at(title), *paths,
    )  # fmt: skip
    try:
        run.sh.pipe(
            argv, take=messages.take, keep={"borg": messages.keep}, ok={"borg": (0, WARNING)},
            env=repository.environment,
        )  # fmt: skip
    except ProgramFailed as error:
        raise repository.failed(error) from error
    messages.progress.end()
    warn(run, messages.missed, "are not saved as they are, because borg could not read them")
    warn(run, messages.changed, "changed while borg saved them")
    return messages.summary


def warn(run: Run, names: Sequence[str], what: str) -> None:
    """Tell of files that are not in the archive as they should be."""
    if names:
        count = f"{len(names)}{' or more' if len(names) == MOST_WARNINGS else ''}"
        run.report.warn(f"{count} files {what}: {external.few(names)}; the log has all")


def _prove(run: Run, repository: Repository, title: str, id: str) -> tuple[contents.Contents, archives.Listed]:
    """Read the list of the new archive, and of all archives; `RearError` unless all paths are in it, and all data in
    the repository."""
    listed = repository.listed()
    if not any((each.title, each.id) == (title, id) for each in listed.archives):
        raise RearError(f"the new archive is not in {repository}", "do not trust its disk or server; see the log")
    check_whole(run, repository)
    paths = [system.path for system in external.recorded(run)]
    found = contents.read(repository, title, paths)
    if absent := [path for path in paths if contents.inside(path) not in found.found]:
        raise RearError(f"the new archive {title} has nothing of {' '.join(absent)}", "see the log, and run it again")
    return found, listed


def check_whole(run: Run, repository: Repository) -> None:
    """Raise `RearError` when data of the repository is missing, before an old archive goes."""
    if missing := missing_data(run, repository):
        raise RearError(
            f"{repository} is damaged: {missing}",
            "rear removed no old archive; repair the repository as borg's manual says (`borg check --repair`)",
        )


def missing_data(run: Run, repository: Repository) -> str:
    """What data of a repository in a folder is not there, "" for none, and where nobody can tell."""
    if repository.folder is None:
        return ""
    try:
        return segments.problem(repository.folder)
    except OSError as error:
        return f"cannot read {error.filename or 'its files'}: {error.strerror}"
    except ValueError as error:
        run.report.detail(f"rear cannot look for missing files of {repository}: {error}")
        return ""


def _prune(run: Run, repository: Repository, listed: archives.Listed) -> None:
    """Remove old archives of this machine alone; that this failed harms no backup."""
    pattern = archives.pattern(run)
    try:
        mine = {each.title for each in owned.own(run, listed.archives)}
        plain = pattern.replace("{{", "{").replace("}}", "}")
        others = sorted(
            title for title in listed.titles
            if title not in mine and fnmatch.fnmatchcase(title, plain) and archives.TITLE.fullmatch(title)
        )  # fmt: skip
        if others:
            # borg chooses by name alone.
            run.report.warn(
                f"old archives stay: others in {repository} have this host's name but are not of this machine:"
                f" {external.few(others)}; rename or remove them with borg"
            )
            return
        argv = ["prune", "--glob-archives", pattern, *retention.policy(run, "BORG_KEEP")]
        repository.locking(lambda wait: repository.ask(*argv, *wait, repository.at(), timeout=LONG))
        repository.locking(lambda wait: repository.ask("compact", *wait, repository.at(), timeout=LONG))
    except Interrupted:
        raise
    except RearError as error:
        run.report.warn(f"old archives were not removed and take up room: {error.message}; {error.hint}")


def forget(run: Run, repository: Repository, listed: archives.Listed, name: str) -> None:
    """Remove the archive of a date, and what only it needs, once somebody has agreed; `Refused` for any other."""
    mine = owned.own(run, listed.archives)
    found = [each for each in mine if each.name == name]
    if not found:
        advice = "`rear backup list` shows their full names"
        raise Refused(f"there is no archive {name} of this machine in {repository}", advice)
    if not questions.is_interactive(run):
        raise Refused("rear removes a backup only if somebody agrees at a terminal", "run it there, without -n")
    if len(found) == len(mine):
        run.report.say(f"There is no other archive of this machine in {repository}")
    if not questions.confirm(run, f"Remove the archive {name}", default=False, quits="stopped; nothing was removed"):
        raise Refused("the archive stays", "nothing was removed")
    for each in found:
        repository.ask("delete", *repository.waiting(), repository.at(each.title), timeout=LONG)
    repository.ask("compact", *repository.waiting(), repository.at(), timeout=LONG)
    run.report.say(f"Removed the archive {name} from {repository}")
