# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords of repositories that other programs keep: in a file for root, and typed where that file is not there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, TypeVar

from .. import own_files, questions
from ..errors import ConfigurationError, RearError
from .encryption import typing_problem

if TYPE_CHECKING:
    from ..run import Run

TRIES = 3
Opened = TypeVar("Opened")


def from_file(run: Run, path: Path, setting: str, advice: str) -> str:
    """The password in the file that a setting names; it is masked from now on.

    Raises `ConfigurationError` for a file that others can read, and for a password that nobody could type, with the
    `advice` how the repository gets another one.
    """
    try:
        found = path.stat()
        own_files.check(path, found)
        if found.st_mode & 0o077:
            raise ConfigurationError(f"{setting} {path} can be read by others", f"chmod 600 {quote(str(path))}")
        secret = own_files.read(path).decode(errors="surrogateescape").strip()
    except OSError as error:
        raise ConfigurationError(f"cannot read {setting} {path}: {error.strerror}") from error
    if flaw := typing_problem(secret) if secret else "is empty":
        raise ConfigurationError(
            f"the password in {path} {flaw}: a recovery, which asks for it, would never get it", advice
        )
    run.report.mask(secret)
    return secret


def typed(run: Run, question: str, opens: Callable[[str], Opened], wrong: type[RearError]) -> Opened:
    """What the typed password opens; asked for three times at most, then the error `wrong` of `opens` is raised."""
    for number in range(TRIES):
        secret = questions.ask_secret(run, question)
        run.report.mask(secret)
        try:
            return opens(secret)
        except wrong as error:
            if number == TRIES - 1:
                raise
            run.report.say(error.message)
    raise AssertionError("unreachable")
