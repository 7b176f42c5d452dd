# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries the configuration of Relax-and-Recover over: each line with what becomes of it and why."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from ..errors import ConfigurationError
from ..places.url import ALL, Scheme
from . import original
from .answers import Answer, Imported, Outcome, written
from .evaluation import evaluate
from .files import Sources, variables
from .hiding import hidden, hidden_in_comment
from .model import Setting
from .reader import Assignment, parse
from .rules import Rules
from .statements import Statement, statements

# What references see, on any machine and in any folder of the configuration.
KNOWN_VARIABLES = variables(Path("/etc/rear"))
# What begins with one of these is no text.
COMMAND = re.compile(r"[ \t]*(?:if|case|for|while|until|select|test|source|\.|\[\[?)[ \t]")


def carried_over(
    files: Mapping[str, str], declared: Iterable[Setting], schemes: Sequence[Scheme] = ALL
) -> dict[str, Imported]:
    """The configuration that does what that of Relax-and-Recover did, and that `evaluate` accepts.

    `files` are texts by their names, in the order in which they are read.
    """
    by_name = {setting.name: setting for setting in declared}
    found = {source: list(statements(text, source)) for source, text in files.items()}
    given: dict[str, list[Assignment]] = {}
    for statement in chain.from_iterable(found.values()):
        for each, _ in statement.assignments:
            given.setdefault(each.name, []).append(each)
    referred = {one.name for each in chain.from_iterable(given.values()) for one in each.references}
    rules = Rules(by_name, given, referred)
    imported = {source: Imported([*_parts(each, rules)]) for source, each in found.items()}
    _check(imported, by_name, schemes)
    return imported


def _leave_out_dependents(imported: Mapping[str, Imported], declared: Mapping[str, Setting]) -> None:
    """Take out, with the reason, what refers to a name that is not carried over: its value would be another."""
    there = {*declared, *KNOWN_VARIABLES, *(alias for each in declared.values() for alias in each.aliases)}
    while True:
        answers = [answer for one in imported.values() for answer in one.answers]
        gone = {answer.name for answer in answers if answer.name and not answer.lines}
        assigned = {answer.name for answer in answers if answer.lines} | there
        changed = False
        for one in imported.values():
            for at, part in enumerate(one.parts):
                lost = [] if isinstance(part, str) else [n for n in part.refers if n in gone or n not in assigned]
                if isinstance(part, Answer) and part.lines and lost:
                    remark = f"it refers to {_shown(lost[0], gone)}, which is not carried over: write the value itself"
                    one.parts[at] = replace(part, outcome=Outcome.MISSING, remark=remark, lines=())
                    changed = True
        if not changed:
            return


def _shown(name: str, given: Collection[str]) -> str:
    """A name that is referred to, unless it may be a part of a passphrase with a $."""
    return f"${name}" if name in given or original.advice(name) else "a variable that has no value here"


def _parts(found: Iterable[Statement], rules: Rules) -> Iterator[Answer | str]:
    before = Statement(0, ())
    for statement in found:
        if statement.problem and _may_end_a_secret(statement, before, rules):
            remark = "it may be the rest of a passphrase on the lines before it; rear runs nothing of it"
            yield Answer(Outcome.CODE, remark, was=["..."], number=statement.number)
            continue
        yield from _answers(statement, rules)
        before = statement if statement.problem or statement.assignments else before


def _may_end_a_secret(statement: Statement, before: Statement, rules: Rules) -> bool:
    """Whether what cannot be read may belong to the value of a secret that is before it."""
    if before.problem:
        text = "\n".join(before.lines)
        return hidden(text, rules.is_public) != text
    return any(not rules.is_public(each.name) for each, _ in before.assignments) and not COMMAND.match(
        statement.lines[0]
    )


def _answers(statement: Statement, rules: Rules) -> Iterator[Answer | str]:
    if statement.problem:
        remark = f"{statement.problem}; rear runs nothing of it"
        was = hidden("\n".join(statement.lines), rules.is_public).split("\n")
        yield Answer(Outcome.CODE, remark, was=was, number=statement.number)
    elif not statement.assignments:
        yield from map(hidden_in_comment, statement.lines)
    for assignment, text in statement.assignments:
        # Without quotes, what follows a secret on its line may be a part of it, whatever it looks like.
        is_rest = not all(map(rules.is_public, assignment.before)) and not rules.is_public(assignment.name)
        was = ["..."] if is_rest else hidden(text, rules.is_public).split("\n")
        answer = rules.answer(assignment, text)
        refers = [one.name for one in assignment.references if not rules.may_be_empty(one, assignment)]
        yield replace(answer, was=was, number=statement.number, name=assignment.name, refers=refers)


def _check(imported: Mapping[str, Imported], declared: Mapping[str, Setting], schemes: Sequence[Scheme]) -> None:
    """Take out, with the reason, what rear would refuse."""
    while True:
        _leave_out_dependents(imported, declared)
        errors: list[ConfigurationError] = []
        read = [each for source, one in imported.items() for each in _parsed(one.text(), source, errors)]
        if not errors:
            sources = Sources(assignments=tuple(read), variables=KNOWN_VARIABLES)
            evaluate(sources, declared.values(), {}, schemes=schemes, tell=errors.append)
        if not errors:
            return
        written_by = {source: _places(one) for source, one in imported.items()}
        changed: list[Answer | str] = []
        for error in errors:
            source, line = _place(error, written_by)
            parts, at = imported[source].parts, written_by[source][line - 1]
            was = parts[at]
            if not isinstance(was, Answer) or not (was.lines or was in changed):
                raise error
            reason = f"{error.message.split(': ', 1)[-1]}; {error.hint}"
            if was.lines:
                parts[at] = replace(was, outcome=Outcome.MISSING, remark=reason, lines=())
                changed.append(parts[at])


def _parsed(text: str, source: str, errors: list[ConfigurationError]) -> list[Assignment]:
    """The assignments of a text; what is wrong with it goes to the errors."""
    try:
        return parse(text, source)
    except ConfigurationError as error:
        errors.append(error)
        return []


def _places(one: Imported) -> list[int]:
    """For each line of the new file the number of the part that has written it."""
    return [at for at, part in enumerate(one.parts) for _ in range(1 if isinstance(part, str) else len(written(part)))]


def _place(error: ConfigurationError, written_by: Mapping[str, Sequence[int]]) -> tuple[str, int]:
    """The file and the line that an error names."""
    for source, lines in written_by.items():
        place = re.match(rf"{re.escape(source)}:(\d+)", error.message)
        if place and int(place[1]) <= len(lines):
            return source, int(place[1])
    raise error
