# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong, each kind with its exit status: one line for the user and what to do next."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum

# Errors of the operating system for which no program is to blame (errno(3)): a disk or a server fails or is full.
OF_THE_MACHINE = {
    errno.EIO, errno.ENXIO, errno.ENODEV, errno.ENOMEDIUM, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ESTALE,
    errno.EREMOTEIO, errno.EUCLEAN, errno.EBADMSG, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.EHOSTDOWN,
}  # fmt: skip

# Those of a machine, or of limits on a run, that has no more to give: memory, open files.
SCARCE = {errno.ENOMEM, errno.EMFILE, errno.ENFILE}


class ExitCode(IntEnum):
    """Exit statuses of the command `rear`."""

    DONE = 0
    FAILED = 1
    CONFIGURATION = 2
    REFUSED = 3
    UNTOLD = 4
    INTERRUPTED = 130


class RearError(Exception):
    """An expected failure: `message` says what is wrong in one line, `hint` what to do next."""

    exit_code = ExitCode.FAILED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigurationError(RearError):
    """A setting, URL, script or plugin package that cannot be used as it is."""

    exit_code = ExitCode.CONFIGURATION


class PluginError(ConfigurationError):
    """A plugin that is missing, broken or clashes with another; names its distribution."""


class NoFamily(PluginError):
    """No installed plugin knows this operating system; only what makes or uses a rescue system needs one."""


class Refused(RearError):
    """A run that was ended before it changed anything, because it would not succeed or would do harm."""

    exit_code = ExitCode.REFUSED


class NotBegun(Refused):
    """A run that says nothing of this machine: another one is under way, or what it was asked for is not there."""


class Absent(Refused):
    """What is to keep backups is not there yet, and `create` makes it: only `rear setup` offers that."""

    def __init__(self, message: str, hint: str, create: Callable[[], object]) -> None:
        super().__init__(message, hint)
        self.create = create


class Problems(Refused):
    """All the reasons, found together, why a recovery would not succeed; nothing was changed."""

    def __init__(self, problems: Sequence[RearError]) -> None:
        super().__init__(f"{len(problems)} problems: " + "; ".join(problem.message for problem in problems))
        self.problems = tuple(problems)


class ConfigurationProblems(Problems):
    """All that is wrong with the configuration."""

    exit_code = ExitCode.CONFIGURATION


class Interrupted(RearError):
    """The user or the system asked the run to stop."""

    exit_code = ExitCode.INTERRUPTED


class MachineFault(RearError):
    """A disk or server that failed, or was full, while rear itself read or wrote; `doing` is what it was about."""

    def __init__(self, error: OSError, doing: str = "") -> None:
        super().__init__(
            (f"{doing}: " if doing else "") + f"{error.strerror}{_named(error)}",
            "see `dmesg`: a disk or server fails or is full; repair that, then run it again",
        )


class OutOfResources(RearError):
    """The kernel gave rear itself no more memory, files or threads; `doing` is what it was about."""

    def __init__(self, error: BaseException, doing: str = "") -> None:
        if isinstance(error, MemoryError):
            what = "there is not enough memory"
        elif isinstance(error, OSError):
            what = f"{error.strerror}{_named(error)}"
        else:
            what = f"{error}: too many processes run here, or memory is short"
        super().__init__(
            (f"{doing}: " if doing else "") + what,
            "stop what uses it, or raise the limits (`ulimit -a`, TasksMax= and MemoryMax= of its unit); then run it"
            " again",
        )


def fault_of_machine(error: BaseException, doing: str = "") -> RearError | None:
    """What to tell of an exception for which the machine is to blame, None for any other."""
    if isinstance(error, OSError) and error.errno in OF_THE_MACHINE:
        return MachineFault(error, doing)
    # Python has no number for that.
    no_thread = isinstance(error, RuntimeError) and "can't start new thread" in str(error)
    scarce = isinstance(error, OSError) and error.errno in SCARCE
    return OutOfResources(error, doing) if no_thread or scarce or isinstance(error, MemoryError) else None


def _named(error: OSError) -> str:
    return "" if error.filename is None else f" ({os.fsdecode(error.filename)})"


class ProgramFailed(RearError):
    """A program ended with an unexpected status; carries what it was and the last lines it printed."""

    def __init__(self, argv: Sequence[str], status: int, output: str, reason: str = "") -> None:
        self.argv = tuple(argv)
        self.status = status
        self.output = output
        # mount(8) ends with where else to look.
        told = [line for line in output.splitlines() if line.strip() and "dmesg(1) may have more" not in line]
        last = told[-1:]
        reason = reason or f"exit status {status}"
        super().__init__(f"{argv[0]} failed ({reason})" + (f": {last[0].strip()}" if last else ""))


class ProgramMissing(ProgramFailed):
    """A program is not installed."""

    def __init__(self, argv: Sequence[str]) -> None:
        super().__init__(argv, 127, "", "not found")
        self.hint = f"install the package that provides {argv[0]!r}"


# What an answer in another form than the expected one raises where it is read.
NOT_UNDERSTOOD = (LookupError, TypeError, ValueError, AttributeError)


@contextmanager
def understood(program: str) -> Iterator[None]:
    """A block that reads the answer of a program without which nothing is known."""
    try:
        yield
    except NOT_UNDERSTOOD as error:
        raise RearError(
            f"rear does not understand the output of {program} ({type(error).__name__}: {error})",
            f"look at the output of `{program} --json`, and at its version",
        ) from error
