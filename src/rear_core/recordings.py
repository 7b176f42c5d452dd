# SPDX-License-Identifier: GPL-3.0-or-later
"""What programs printed, as files: a shell that writes them, and one that answers from them.

A file for each command is plain text, made to be read and, for hardware that nobody has at hand, to be composed:

    $ findmnt --fstab --json
    status 1

    everything from here is standard output

Between the second line and the empty one stand lines `stderr: ...`.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Union

from .errors import ProgramFailed, ProgramMissing
from .shell import Argument, Outcome, Shell

Answer = Union[str, Outcome]

# What a capture asks since a later release, and what few machines have an answer to: in a recording that is older it
# stays open, so that nobody has to make up what a machine would have said.
LATER = (
    "cat /sys/block/", "sfdisk --json --label-nested dos ", "sfdisk --disk-id ", "find ", "swaplabel ", "stat ",
    "cat /proc/cmdline", "lvm lvs --noheadings --options cache_settings ",
    "lvm lvs --noheadings --separator / ", "lvm vgs --noheadings --separator / ", "lvm pvs --noheadings --separator / ",
    "blkid --probe --output value --match-tag ", "cmp --silent ", "udevadm info --query=property ",
)  # fmt: skip


class FakeShell(Shell):
    """Answers `run`, `query` and `json` from a recording; a command nobody recorded is an AssertionError,
    unless it is one of `LATER`, which then prints nothing.

    `recording` is a folder of recorded commands, or a mapping from the command as it would be typed
    (`"lsblk --json"`) to its standard output or to an `Outcome`. `asked` lists what was run, in order.
    """

    def __init__(self, recording: Path | Mapping[str, Answer]) -> None:
        super().__init__()
        if isinstance(recording, Path):
            self._answers: dict[str, Answer] = dict(map(read, sorted(recording.glob("*.txt"))))
        else:
            self._answers = dict(recording)
        self._source = recording if isinstance(recording, Path) else "the mapping it was given"
        self.asked: list[str] = []

    def run(
        self,
        *argv: Argument,
        input: str | None = None,
        stdin: IO[bytes] | None = None,
        stdout: IO[bytes] | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float = 600,
        ok: Sequence[int] = (0,),
    ) -> Outcome:
        """The recorded outcome; a status that is not in `ok` raises as the real shell does."""
        arguments = tuple(os.fspath(argument) for argument in argv)
        command = command_line(arguments)
        self.asked.append(command)
        if command not in self._answers and not command.startswith(LATER):
            raise AssertionError(f"nobody recorded `{command}` in {self._source}")
        answer = self._answers.get(command, "")
        outcome = Outcome(arguments, 0, answer, "", 0) if isinstance(answer, str) else answer
        outcome = replace(outcome, argv=_as_typed(arguments))
        if stdout is not None:
            stdout.write(outcome.stdout.encode(errors="surrogateescape"))
        return _checked(outcome, ok)

    def pipe(self, *stages: Sequence[Argument], **options: Any) -> list[Outcome]:
        """A pipe is never recorded."""
        typed = " | ".join(command_line([os.fspath(word) for word in stage]) for stage in stages)
        raise AssertionError(f"a recorded machine has no pipes: `{typed}`")

    def attach(self, *argv: Argument, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> int:
        """A terminal is never recorded."""
        raise AssertionError(
            f"a recorded machine has no terminal: `{command_line([os.fspath(word) for word in argv])}`"
        )

    def which(self, program: str) -> Path | None:
        """A program counts as installed when one of its commands was recorded, unless it was missing then."""
        for command, answer in self._answers.items():
            if shlex.split(command)[0] == program and not (isinstance(answer, Outcome) and answer.status == 127):
                return Path("/usr/sbin") / program
        return None


class RecordingShell(Shell):
    """Runs programs, by another shell if one is given, and leaves what each printed in `folder`, for a `FakeShell` to
    answer from."""

    def __init__(self, folder: Path, source: Shell | None = None) -> None:
        super().__init__()
        self.folder = folder
        self._source = source or Shell()
        folder.mkdir(parents=True, exist_ok=True)

    def run(self, *argv: Argument, ok: Sequence[int] = (0,), **options: Any) -> Outcome:
        """Run a program, write down what came of it, then judge it."""
        try:
            outcome = self._source.run(*argv, ok=range(-signal.NSIG, 256), **options)
        except ProgramMissing as error:
            outcome = Outcome(error.argv, error.status, "", "", 0)
        command = command_line(outcome.argv)
        (self.folder / file_name(command)).write_text(written(command, outcome), errors="surrogateescape")
        return _checked(outcome, ok)

    def which(self, program: str) -> Path | None:
        """Where the other shell finds a program."""
        return self._source.which(program)


def command_line(argv: Sequence[str]) -> str:
    """The command as it would be typed; this interpreter is simply called python3."""
    return shlex.join(_as_typed(argv))


def _as_typed(argv: Sequence[str]) -> tuple[str, ...]:
    return ("python3" if argv[0] == sys.executable else argv[0], *argv[1:])


def _checked(outcome: Outcome, ok: Sequence[int]) -> Outcome:
    if outcome.status in ok:
        return outcome
    if outcome.status == 127:
        raise ProgramMissing(outcome.argv)
    raise ProgramFailed(outcome.argv, outcome.status, outcome.output)


def file_name(command: str) -> str:
    """A name a human recognises, cut to a length every file system takes."""
    words = re.sub(r"[^A-Za-z0-9.]+", "-", command).strip("-")
    if len(words) > 80:
        words = words[:70] + "-" + hashlib.sha256(command.encode(errors="surrogateescape")).hexdigest()[:8]
    return words + ".txt"


def written(command: str, outcome: Outcome) -> str:
    """The text of a recorded command."""
    complaints = "".join(f"stderr: {line}\n" for line in outcome.stderr.splitlines())
    return f"$ {command}\nstatus {outcome.status}\n{complaints}\n{outcome.stdout}"


def read(path: Path) -> tuple[str, Outcome]:
    """A recorded command, as it would be typed, with what came of it."""
    head, _, output = path.read_text(errors="surrogateescape").partition("\n\n")
    command, status, *complaints = head.split("\n")
    errors = "\n".join(line[len("stderr: ") :] for line in complaints)
    command = command[len("$ ") :]
    return command, Outcome(tuple(shlex.split(command)), int(status[len("status ") :]), output, errors, 0)
