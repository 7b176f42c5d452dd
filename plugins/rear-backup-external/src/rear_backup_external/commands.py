# SPDX-License-Identifier: GPL-3.0-or-later
"""The administrator's commands: which placeholders they know, and how rear starts them without a shell."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from rear_core import ConfigurationError, ProgramFailed, RearError, Refused, Run

if TYPE_CHECKING:
    from rear_core.archive.external import Client, Ended

SAVE, LIST, CHECK, RESTORE = "EXTERNAL_SAVE", "EXTERNAL_LIST", "EXTERNAL_CHECK", "EXTERNAL_RESTORE"
# The placeholders of each command; its environment has the same values, as REAR_PATHS.
PLACEHOLDERS = {
    SAVE: ("paths", "excluded", "hostname"),
    LIST: ("hostname",),
    CHECK: ("date", "paths", "hostname"),
    RESTORE: ("target", "date", "paths", "hostname"),
}
# `${word}` belongs to a shell that is one of the words; `{{word}}` is how `{word}` reaches the program.
PLACEHOLDER = re.compile(r"\{\{([A-Za-z]+)\}\}|(?<!\$)\{([A-Za-z]+)\}")
SHELL_SIGNS = ("|", "||", "&&", ">", ">>", "<", "2>&1")
# EXTERNAL_LIST and EXTERNAL_CHECK may have to wake a server or a disk. What moves files has no limit.
SECONDS = 600
NOTABLE = "(?i)error|warning|fail"


@dataclass(frozen=True)
class Command:
    """One of the commands with its placeholders filled in."""

    setting: str
    argv: Sequence[str]
    environment: Mapping[str, str]


def problem_of(setting: str) -> Callable[[Sequence[str]], str]:
    """The check of a setting: returns what is wrong with a command, or ""."""
    return lambda words: _not_words(words) or _unknown(words, PLACEHOLDERS[setting])


def _not_words(words: Sequence[str]) -> str:
    """What is wrong with a command that was written for a shell."""
    if words and (not words[0].strip() or PLACEHOLDER.search(words[0])):
        return "must begin with a program"
    if words and re.search(r"\s", words[0]):
        return f"must have each argument as a word of its own, but begins with {words[0]!r}"
    signs = [word for word in words if word in SHELL_SIGNS]
    return f"has the word {signs[0]!r}, but no shell runs it; write a script, or sh -c 'COMMANDS'" if signs else ""


def _unknown(words: Sequence[str], known: Sequence[str]) -> str:
    """Names a placeholder that is not one of these, with the nearest."""
    found = [name for word in words for _, name in PLACEHOLDER.findall(word) if name]
    for name in (name for name in found if name not in known):
        near = get_close_matches(name.lower(), known, 1)
        advice = f"did you mean {{{near[0]}}}? " if near else ""
        names = ", ".join(f"{{{one}}}" for one in known)
        return (
            f"has the unknown placeholder {{{name}}}; {advice}known are {names};"
            f" {{{{{name}}}}} gives the program {{{name}}}"
        )
    return ""


def command(run: Run, setting: str, **values: str) -> Command:
    """The command of a setting; it must be set, and `values` has what its placeholders stand for but the host name."""
    from rear_core.archive.repository import hostname

    known = {**values, "hostname": hostname(run)}
    words = [
        PLACEHOLDER.sub(lambda match: f"{{{match[1]}}}" if match[1] else known[match[2]], word)
        for word in run.settings[setting]
    ]
    return Command(setting, words, {f"REAR_{name.upper()}": value for name, value in known.items()})


def ask(run: Run, command: Command) -> list[str]:
    """The lines that a command prints; `RearError` when it fails or takes too long."""
    try:
        return run.sh.query(*command.argv, env=command.environment, timeout=SECONDS).splitlines()
    except ProgramFailed as error:
        raise RearError(
            f"{command.setting}: {error.message}", "see the log, and repair what it says; run it again then"
        ) from error


def work(run: Run, client: Client, command: Command) -> str:
    """Run a command that moves files to its end, and return what it warned of by its status, or "".

    Raises `RearError` for a status that is neither 0 nor in EXTERNAL_WARN_STATUS.
    """
    warnings = [int(word) for word in run.settings["EXTERNAL_WARN_STATUS"]]
    ended = client(*command.argv, ok=(0, *warnings), notable=NOTABLE, env=command.environment)
    return _warning(run, command, ended) if ended.status else ""


def _warning(run: Run, command: Command, ended: Ended) -> str:
    for line in ended.last:
        run.report.log(f"  {line}")
    said = [*ended.last[-1:], *ended.notable[-1:]][-1:]
    reason = f": {said[0].strip()}" if said else ""
    return f"{command.setting} ended with {ended.status}, a warning{reason}; the log has what it printed last"


def check_programs(run: Run, settings: Sequence[str], error: type[RearError], hint: str) -> None:
    """Raise `error` when the program of a command is missing."""
    for setting in settings:
        for program in run.settings[setting][:1]:
            if run.sh.which(program) is None:
                raise error(f"the program of {setting} is missing: {program}", hint)


def check_lines(paths: Sequence[str]) -> None:
    """Raise `Refused` for a path that cannot be a line of a list."""
    for path in paths:
        if "\n" in path:
            raise Refused(
                f"{path!r} has a line break: BACKUP=EXTERNAL cannot tell it to your commands",
                "rename it, or exclude it",
            )


def write_list(run: Run, name: str, paths: Sequence[str]) -> str:
    """The path of a file in the work area that has these paths, one per line."""
    check_lines(paths)
    file = run.build_dir / f"external-{name}"
    file.touch(mode=0o600)
    file.write_bytes(b"".join(os.fsencode(path) + b"\n" for path in paths))
    return str(file)


def required(run: Run, setting: str, example: str) -> None:
    """Raise `ConfigurationError` unless a command is set."""
    if not run.settings[setting]:
        raise ConfigurationError(
            f"{setting} is not set", f"write into local.conf, for example: {setting}=( {example} )"
        )
