# SPDX-License-Identifier: GPL-3.0-or-later
"""The questions of `rear setup`: which methods there are, and what the plugins ask for the chosen ones."""

from __future__ import annotations

import os
import re
import shlex
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path

from .. import builtin, questions
from ..archive.encryption import typing_problem
from ..contents import merge
from ..errors import ConfigurationError, RearError
from ..first_setup import Ask, SecretFile, SecretLine
from ..plugins import Found, Plugins, discover, load
from ..report import visible
from ..rescue.programs import missing
from ..run import Run
from ..settings import Setting, Sources, Value, evaluate, parse, quote
from ..settings.conversion import convert
from ..trust import check_secret
from ..workflow import WORKFLOWS

QUITS = "stopped before anything was written, as requested"
NEW, NONE = "new", "none"
WIDTH = 79


@dataclass
class Answers:
    """What was answered: as it was `typed`, by setting, and the texts of `files` with secrets by their paths.

    `before` has what was typed when everything was asked the last times, `unasked` the settings whose questions do not
    apply to what was typed now.
    """

    typed: dict[str, str] = field(default_factory=dict)
    before: dict[str, str] = field(default_factory=dict)
    unasked: set[str] = field(default_factory=set)
    files: dict[Path, str] = field(default_factory=dict, repr=False)

    def begin(self) -> None:
        """Ask everything anew: what was typed is now what Enter takes."""
        self.before |= self.typed
        self.typed.clear()
        self.unasked.clear()


@dataclass(frozen=True)
class Choice:
    """A method: its name, the others that mean the same, one line about it, and why it cannot be used here."""

    name: str
    others: tuple[str, ...]
    summary: str
    problem: str = ""


def tell(text: str = "", indent: str = "") -> None:
    """Show a text, in lines that fit an ordinary terminal."""
    lines = textwrap.wrap(visible(text), WIDTH, subsequent_indent=indent, break_on_hyphens=False) or [""]
    print("\n".join(lines), file=sys.stderr)


def choices(sources: Sources, kind: str, setting: str) -> list[Choice]:
    """The installed methods of a kind, those that can be used first."""
    targets: dict[str, list[Found]] = {}
    for plugin in discover():
        if plugin.kind == kind:
            targets.setdefault(plugin.target, []).append(plugin)
    of_core = Plugins(builtin.modules()).settings()
    found = []
    for plugins in targets.values():
        summary = _summary(plugins[0].distribution)
        names = [plugin.name for plugin in plugins]
        # One module may have several names: the first is the one that its package goes by.
        names.sort(key=lambda name: not summary.startswith(f"{setting}={name} "))
        about = re.sub(r"^\S+ for rear: ", "", summary)
        found.append(Choice(names[0], tuple(names[1:]), about, _problem(load(plugins[0]), of_core, sources)))
    return sorted(found, key=lambda choice: (bool(choice.problem), choice.name))


def _summary(distribution: str) -> str:
    try:
        return metadata.metadata(distribution)["Summary"] or ""
    except metadata.PackageNotFoundError:
        return ""


def _problem(plugin: Found, of_core: Sequence[Setting], sources: Sources) -> str:
    """Why a method cannot be used on this machine, as far as that is known before anything was answered."""
    if plugin.problem:
        return plugin.problem
    # It alone is asked: what the core and the other plugins need does not depend on it.
    alone = Plugins([])
    alone.take(plugin)
    absent: list[str] = []
    try:
        declared = {one.name: one for one in (*of_core, *alone.settings())}
        run = Run(evaluate(sources, declared.values(), os.environ, strict=False), alone)
        run.phases = WORKFLOWS["mkbackup"]
    except RearError as error:
        return error.message
    # Those that need a setting which is not known yet say nothing.
    with suppress(RearError):
        absent += missing(run.sh, merge(alone.call("rear_rescue_contents", run=run)))
    with suppress(RearError):
        absent += alone.call("rear_missing", run=run)
    return f"not installed: {', '.join(dict.fromkeys(absent))}" if absent else ""


def with_assignments(sources: Sources, values: Mapping[str, Value]) -> Sources:
    """What was read, and these settings after it."""
    text = "".join(f"{name}={quote(value)}\n" for name, value in values.items())
    return replace(sources, assignments=(*sources.assignments, *parse(text, "your answer")))


def choose_method(run: Run, setting: str, heading: str, found: Sequence[Choice], current: str, *, again: bool) -> str:
    """The method that somebody chooses among those that can be used here, which are explained if not asked `again`."""
    usable = [choice for choice in found if not choice.problem]
    if not usable:
        reasons = "; ".join(f"{choice.name}: {choice.problem}" for choice in found)
        raise ConfigurationError(
            f"no plugin for {setting} can be used here ({reasons or 'none is installed'})",
            "install what is missing, or another package; `rear plugins list` shows those that are there",
        )
    tell()
    if not again:
        explain_choices(heading, found)
    known = {name.lower(): choice.name for choice in usable for name in (choice.name, *choice.others)}
    default = known.get(current.lower(), usable[0].name)
    return questions.choose(run, f"{setting} [{default}]: ", {**known, "": default}, quits=QUITS)


def explain_choices(heading: str, found: Sequence[Choice]) -> None:
    """Show the methods with a line for each, and why some of them cannot be used."""
    tell(heading)
    width = max(len(choice.name) for choice in found)
    for choice in found:
        text = f"({choice.name}: {choice.problem})" if choice.problem else f"{choice.name:{width}}  {choice.summary}"
        tell(f"  {text}", " " * (width + 4))


def ask_all(run: Run, asks: Iterable[Ask], answers: Answers, folder: Path) -> None:
    """Ask what the plugins want to know of the methods that `run` has, and add it to `answers`.

    Files with secrets are going to be in `folder`.
    """
    waiting = list(asks)
    while waiting:
        ask = waiting.pop(0)
        setting = run.settings.declared.get(ask.setting)
        if setting is None:
            raise ConfigurationError(f"rear setup is to ask for {ask.setting}, which no plugin declares")
        if not ask.when(answers.typed):
            answers.unasked.add(ask.setting)
            continue
        tell()
        typed = _ask_file(run, ask, answers, folder) if ask.file else _ask(run, ask, setting, answers)
        answers.typed[ask.setting] = typed
        waiting[:0] = _of_place(run, setting, typed)


def _of_place(run: Run, setting: Setting, typed: str) -> Sequence[Ask]:
    """What the kind of a place asks besides."""
    from ..places.opening import kind_of
    from ..places.url import Url

    _, url = convert(setting, typed, run.settings.schemes)
    return kind_of(run, url).asks if isinstance(url, Url) else ()


def current(run: Run, name: str) -> str:
    """What the configuration that is there has for a setting, as somebody would type it; "" where it has nothing."""
    setting, value = run.settings.declared[name], run.settings[name]
    if value == setting.default:
        return ""
    return words(value)


def words(value: Value) -> str:
    """A value as somebody would type it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return shlex.join(value)
    return "" if value is None else str(value)


def _default(run: Run, ask: Ask, answers: Answers) -> str:
    """What was answered before, what is configured, or what the plugin proposes."""
    if ask.setting in answers.before:
        return answers.before[ask.setting]
    return current(run, ask.setting) or (ask.default(run) if callable(ask.default) else ask.default)


def _ask(run: Run, ask: Ask, setting: Setting, answers: Answers) -> str:
    default = _default(run, ask, answers)
    tell(f"{ask.question}{_means(ask, setting, default)}")
    while True:
        if setting.type is bool:
            is_yes = questions.confirm(run, setting.name, default=default == "yes", quits=QUITS)
            return words(is_yes)
        typed = (_ask_hidden if setting.secret else _ask_shown)(run, setting.name, default) or default
        if typed.lower() == NONE and default and not ask.needed:
            return ""
        if not typed and ask.needed:
            tell("This needs an answer; quit ends without one")
        elif problem := problem_of(run, setting, typed):
            tell(f"{setting.name} {problem}")
        else:
            _mask(run, setting, typed)
            return typed


def _mask(run: Run, setting: Setting, typed: str) -> None:
    """Have nobody shown what a secret setting got."""
    value = value_of(setting, typed)
    for word in (value if isinstance(value, tuple) else (value,)) if setting.secret else ():
        run.report.mask(word)
        run.report.mask(quote(word))


def _ask_shown(run: Run, name: str, default: str) -> str:
    return questions.ask(run, f"{name} [{default}]: " if default else f"{name}: ", quits=QUITS)


def _ask_hidden(run: Run, name: str, default: str) -> str:
    known = " [as before]" if default else ""
    return questions.ask_secret(run, f"{name} (not shown){known}: ").strip()


def _means(ask: Ask, setting: Setting, default: str) -> str:
    """What else can be typed."""
    said = f" ({', '.join(filter(None, setting.choices))})" if setting.choices else ""
    if setting.type is not bool and not ask.needed:
        said += f". {NONE.capitalize()} leaves it out" if default else ". Enter leaves it out"
    return said


def problem_of(run: Run, setting: Setting, typed: str) -> str:
    """What is wrong with an answer, "" when nothing is."""
    try:
        given = value_of(setting, typed)
    except ValueError as error:
        return f"cannot be read: {error}"
    if flaw := typing_problem(typed):
        return f"{flaw}: type it anew"
    return convert(setting, given, run.settings.schemes)[0]


def value_of(setting: Setting, typed: str) -> str | tuple[str, ...]:
    """An answer as settings are read: the words of a list; raise `ValueError` for a quotation mark without its end."""
    return tuple(shlex.split(typed)) if setting.type is list else typed


def _ask_file(run: Run, ask: Ask, answers: Answers, folder: Path) -> str:
    """The path of a file with secrets: one that is there, or one whose lines are typed now and that will be written."""
    assert ask.file is not None
    own = folder / ask.file.name
    default = _default(run, ask, answers) or (str(own) if own.exists() else NEW if ask.needed else NONE)
    others = "or the path of a file that has it" if ask.needed else f"the path of a file that has it, or {NONE}"
    tell(f"{ask.question}. Type {NEW} to type it now, {others}")
    while True:
        typed = questions.ask(run, f"{ask.setting} [{default}]: ", quits=QUITS) or default
        if typed.lower() == NEW and own.exists():
            tell(f"{own} is there already: type its path to use it, or rename it first; older backups may need it")
        elif typed.lower() == NEW:
            answers.files[own] = _ask_lines(run, ask.file)
            return str(own)
        elif typed.lower() == NONE and not ask.needed:
            return ""
        elif Path(typed) in answers.files:
            return typed
        elif not typed.startswith("/"):
            tell(f"{typed!r} is no absolute path")
        else:
            try:
                check_secret(Path(typed), ask.setting)
                return typed
            except ConfigurationError as error:
                tell(f"{error.message}: {error.hint}")


def _ask_lines(run: Run, file: SecretFile) -> str:
    return "".join(_lines(run, file.lines))


def _lines(run: Run, lines: Iterable[SecretLine]) -> Iterator[str]:
    for line in lines:
        if typed := _line(run, line):
            yield f"{line.before}{typed}\n"


def _line(run: Run, line: SecretLine) -> str:
    while True:
        if line.shown:
            typed = questions.ask(run, f"{line.question}: ", quits=QUITS)
        else:
            typed = questions.ask_secret(run, f"{line.question} (not shown): ")
            run.report.mask(typed)
            flawed = bool(typed and (typing_problem(typed) or line.check(typed)))
            if typed and not flawed and questions.ask_secret(run, "Once more: ") != typed:
                tell("These are not the same")
                continue
        if not typed and not line.optional:
            tell("This needs an answer; ^D ends without one")
        elif problem := typing_problem(typed) or (line.check(typed) if typed else ""):
            tell(f"It {problem}")
        else:
            return typed
