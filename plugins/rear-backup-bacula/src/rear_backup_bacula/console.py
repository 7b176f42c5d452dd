# SPDX-License-Identifier: GPL-3.0-or-later
"""bconsole: what the director answers to commands on its standard input.

Words of the administrator and of the director are checked before they become part of a command, and names of files
never do: bconsole would take a quote for the end of a name, and a new line for another command.
"""

from __future__ import annotations

import os
import re

from rear_core import ConfigurationError, ProgramFailed, Refused, Run

from . import login

# Seconds for an answer: of what is asked often, and of what makes the director read all names of a backup.
SHORT, LONG = 120, 3 * 3600
WELCOME = re.compile(r"^1000 OK: (?:\d+ )?(.+?) Version: ", re.M)
REJECTED = re.compile(r"(?i)authorization|authenticat|passwords do not agree|TLS negotiation failed")
NAME = re.compile(r"[\w.:$+-](?:[\w .:$+-]{0,125}[\w.:$+-])?", re.A)
PATH = re.compile(r"/[^\x00-\x1f\x7f\"\\]*")


class Silent(Refused):
    """The director does not answer, or not in time."""


class Rejected(Refused):
    """The director does not accept the password."""


def name_problem(value: str) -> str:
    """What is wrong with the name of a resource."""
    return "" if not value or NAME.fullmatch(value) else "must be letters, digits, blanks and any of . : $ + - _"


def quoted(value: str) -> str:
    """A name or a path as a word of a command; raises `ConfigurationError` for what would not stay one word."""
    if not NAME.fullmatch(value) and not PATH.fullmatch(value):
        raise ConfigurationError(
            f"bconsole cannot be told {value!r}", "use a name or folder without quotes, backslashes and line breaks"
        )
    return f'"{value}"'


def ask(run: Run, *commands: str, timeout: float = SHORT) -> list[str]:
    """What the director answers to each command; raises `Silent` or `Rejected`."""
    opened = _opened(run)
    for command in commands:
        if not command.isprintable():
            raise ConfigurationError(f"{command!r} is not a command of bconsole", "check the names in the settings")
        run.report.log(f"bconsole: {command}")
    argv = ["bconsole", *(["-D", opened.director] if opened.chosen else []), "-n", "-c", f"{opened.path}"]
    # Not in the log: a director is asked every few seconds, and answers with lists.
    with open(os.memfd_create("bconsole"), "w+b") as file:
        try:
            run.sh.run(*argv, input="".join(f"{command}\n" for command in commands), stdout=file, timeout=timeout)
        except ProgramFailed as error:
            file.seek(0)
            said = file.read().decode(errors="surrogateescape")
            raise _failure(opened, said, error) from error
        file.seek(0)
        text = file.read().decode(errors="surrogateescape")
    if not WELCOME.search(text):
        raise _failure(opened, text, None)
    return _answers(run, text, commands)


def _opened(run: Run) -> login.Console:
    """What bconsole is started with; somebody types its password until the director accepts it, if it is not there."""
    from rear_core.archive.passwords import typed

    opened, text = login.console(run)
    if not text:
        return opened

    def opens(word: str) -> str:
        login.console_file(run, text, word)
        return director(run)

    with login.typing(run, "bconsole", opened.shown):
        try:
            typed(run, f"Password of bconsole for the Bacula director {opened.director}: ", opens, Rejected)
        except BaseException:
            login.console_file(run, text, "")
            raise
    return login.console(run)[0]


def _failure(opened: login.Console, said: str, error: ProgramFailed | None) -> Refused:
    """What it means that the director did not say welcome."""
    if REJECTED.search(said):
        return Rejected(
            f"the Bacula director {opened.director} does not accept the password of {opened.shown}",
            "it must be the one in the director's own configuration",
        )
    lines = [line for line in said.splitlines() if line.strip() and not line.startswith("Connecting to")]
    # It says nothing where no director answers.
    if error and error.status != 124 and lines and not WELCOME.search(said):
        return Refused(f"bconsole does not start: {lines[0]}", f"`bconsole -c {opened.shown}` must work here")
    late = f" in time ({error.message})" if error else ""
    return Silent(
        f"the Bacula director {opened.director} at {opened.address} does not answer{late}",
        "check the network, the name and the port in its configuration, and that it runs",
    )


def _answers(run: Run, text: str, commands: tuple[str, ...]) -> list[str]:
    """The text between the echoes of the commands."""
    rest, answers = text, list[str]()
    for command in commands:
        # An answer does not always end its last line.
        before, echo, rest = rest.partition(f"{command}\n")
        if not echo:
            for line in text.splitlines()[-20:]:
                run.report.log(f"  {line}")
            raise Refused(f"bconsole ended before {command.split()[0]}", "the log has what it printed last")
        answers.append(before)
    return [*answers[1:], rest]


def director(run: Run) -> str:
    """The director's own name; that it answers is proven."""
    (answer,) = ask(run, "version")
    found = re.search(r"^(\S.*?) Version: (\S+)", answer, re.M)
    run.report.detail(f"The Bacula director answers: {found[0] if found else 'version unknown'}")
    return found[1] if found else ""


def last(answer: str) -> str:
    """What the director said last, for a message."""
    lines = [line.strip() for line in answer.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
