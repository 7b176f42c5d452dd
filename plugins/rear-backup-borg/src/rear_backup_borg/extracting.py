# SPDX-License-Identifier: GPL-3.0-or-later
"""Has borg unpack or read an archive, also one that is damaged: at the first file it cannot read borg ends, and leaves
all that comes after it. rear then leaves out what is done, and has it go on behind that file."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from rear_core import ProgramFailed, RearError, Run
from rear_core.archive.progress import Progress

from . import contents
from .failures import Locked, is_error, told
from .repository import LONG, NO_LOCK, Repository, is_remote

# Something is not as it was; the rest of the archive is.
WARNING, ENDED = 1, 2
LIST = "borg.output.list"
UNMATCHED = "never matched"
FULL = "[Errno 28]"
# How borg ends at data that is damaged or gone; the last two are its names for what it did not expect, here and on a
# server.
DAMAGE = (
    "IntegrityError", "IntegrityErrorBase", "DecompressionError", "FileIntegrityError", "Repository.ObjectNotFound",
    "Exception", "FileNotFoundError",
)  # fmt: skip
# Damaged files after which rear gives up, as each costs borg a new beginning; and warnings that are kept.
MOST_DAMAGED = 100
MOST_WARNINGS = 1000
# So much of a path with its reason is told on the terminal.
LONGEST = 200


class Damaged(RearError):
    """Data of an archive is not there, or not what it was."""


class Extraction:
    """An archive that is unpacked below the target, all of it or some paths; files that fail are a lack of the run."""

    def __init__(
        self,
        run: Run,
        repository: Repository,
        title: str,
        started: Callable[[Sequence[int]], None],
        paths: Sequence[str] = (),
    ) -> None:
        self._run = run
        self._repository = repository
        self._title = title
        self._started = started
        wanted = [contents.inside(path) for path in paths]
        # No path begins with the one of the root folder.
        self._paths = [] if contents.inside("/") in wanted else wanted
        # A folder is mounted so that nothing can be written there.
        self._lock = repository.waiting() if is_remote(repository.address) else NO_LOCK
        self._done: set[str] = set()
        self._failed: dict[str, str] = {}
        self._listed = 0
        self._is_full = False

    def go(self) -> None:
        """Unpack; raises `RearError` where that cannot go on."""
        damaged = 0
        while (damage := self._unpack()) is not None:
            path = self._skip()
            damaged += 1
            if path is None or damaged > MOST_DAMAGED:
                raise damage
            self._failed[path] = damage.message
            self._run.report.log(f"not restored: {path}: {damage.message}")
            self._run.report.detail(f"{path} is damaged; going on behind it")
        if self._is_full:
            raise RearError(
                f"cannot restore the files to {self._run.target}: no space left on device",
                "choose larger disks with DISK_MAPPING, or an older backup with --backup DATE",
            )
        if self._failed:
            path, reason = next(iter(self._failed.items()))
            self._run.lack(
                f"{len(self._failed)} files were not restored as they were, the first is"
                f" {f'/{path}: {reason}'[:LONGEST]}; the log has all"
            )

    def _unpack(self) -> RearError | None:
        """Have borg go to its end, or to a damaged file, whose error is returned; raises any other one."""
        self._listed = 0
        try:
            return self._go_on()
        except Locked as error:
            self._run.report.warn(
                f"restoring without a lock: see that nobody prunes the repository now; {error.message}"
            )
            self._lock = NO_LOCK
            return self._go_on()

    def _go_on(self) -> RearError | None:
        argv = self._repository.argv(
            "extract", "--list", "--numeric-ids", "--sparse", "--noflags", *self._lock, *self._left_out(),
            self._repository.at(self._title), *(f"pp:{path}" for path in self._paths),
        )  # fmt: skip
        try:
            self._run.sh.pipe(
                argv, keep={"borg": self._keep}, ok={"borg": (0, WARNING)}, started=self._started,
                env=self._repository.environment, cwd=self._run.target,
            )  # fmt: skip
        except ProgramFailed as error:
            problem = self._repository.failed(error)
            if error.status == ENDED and self._listed and is_damage(error):
                return problem
            raise problem from error
        return None

    def _keep(self, line: str) -> bool:
        """Note a line of standard error; whether it belongs in the log."""
        message = told(line)
        if message.get("name") == LIST:
            self._listed += 1
            return False
        if message.get("levelname") != "WARNING":
            return True
        text = str(message.get("message"))
        self._is_full = self._is_full or FULL in text
        path, _, reason = text.partition(": ")
        if UNMATCHED in text or len(self._failed) >= MOST_WARNINGS:
            return UNMATCHED in text
        self._failed[path] = reason
        return True

    def _left_out(self) -> list[str]:
        """The option that leaves out what is done, by a file: there may be very many."""
        if not self._done:
            return []
        file = self._run.build_dir / "borg-done"
        file.write_bytes(b"".join(f"{_pattern(path)}\n".encode() for path in sorted(self._done)))
        return [f"--exclude-from={file}"]

    def _skip(self) -> str | None:
        """Add to what is done all files that borg came to, the last of which failed; its path, None where it was that
        already."""
        reached = 0
        last: str | None = None

        def take(kind: str, _: int, path: str) -> None:
            nonlocal reached, last
            if not self._is_wanted(path) or path in self._done:
                return
            reached += 1
            if reached == self._listed:
                last = path
            # Folders get their mode and time at the end, so they are not done. What has an odd name comes once more.
            if path == last or (reached < self._listed and kind != contents.FOLDER and contents.is_plain(path)):
                self._done.add(path)

        contents.each(self._repository, self._title, take)
        return last

    def _is_wanted(self, path: str) -> bool:
        return not self._paths or any(path == start or path.startswith(f"{start}/") for start in self._paths)


def _pattern(path: str) -> str:
    """What leaves out a path, on a line of its own; for letters that no line can have any letter stands."""
    if contents.is_plain(path):
        return f"pf:{path}"
    letters = (re.escape(letter) if contents.is_plain(f"x{letter}x") else "." for letter in path)
    return rf"re:(?s)^{''.join(letters)}\Z"


def is_damage(error: ProgramFailed) -> bool:
    """Whether borg ended at data, and not because the repository, its server or the target is gone."""
    errors = filter(is_error, map(told, error.output.splitlines()))
    return any(message.get("msgid") in DAMAGE for message in errors)


def read_data(run: Run, repository: Repository, title: str, paths: Sequence[str]) -> None:
    """Have borg read, decrypt and compare the data of some files, of all when none are named; `Damaged` with the first
    file that it cannot read, any other `RearError` when it fails otherwise."""
    progress = Progress(run.report, "Checking", 0, events=run.options.json_progress)
    last, said = "", list[str]()

    def keep(line: str) -> bool:
        nonlocal last
        message = told(line)
        if message.get("type") == "progress_percent":
            progress.total = max(progress.total, int(message.get("total") or 0))
            progress.at(int(message.get("current") or 0))
        text = str(message.get("message"))
        if message.get("name") == LIST:
            last = text
        # borg counts no match of a whole path.
        elif message.get("levelname") == "WARNING" and UNMATCHED not in text:
            said.append(text)
        return message.get("type") == "log_message" and message.get("name") != LIST and UNMATCHED not in text

    shown = [] if paths else ["--progress"]
    argv = repository.argv(
        "extract", "--dry-run", "--list", *shown, *NO_LOCK, repository.at(title), *(f"pf:{path}" for path in paths)
    )
    try:
        run.sh.pipe(argv, keep={"borg": keep}, ok={"borg": (0, WARNING)}, env=repository.environment, timeout=LONG)
    except ProgramFailed as error:
        problem = repository.failed(error)
        if is_damage(error):
            raise Damaged(f"/{last}: {problem.message}") from error
        raise problem from error
    if said:
        raise Damaged(f"/{said[0]}")
    progress.end()
