# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives every declared setting its value, and remembers where the value came from."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, NoReturn

from ..errors import ConfigurationError
from ..places.url import ALL, BLANKS, Scheme, Url, examples
from . import original
from .conversion import Variable, accepted, convert
from .files import Sources
from .model import Setting, Value
from .reader import Assignment, Reference, Word, parse

DEFAULT = "default"
ENVIRONMENT = "environment"

QUOTE_IT = "a value with ; or blanks needs quotes: NAME='value'"
ASSIGN_IT = "assign that name before it, or write its value; a $ that means itself needs single quotes: NAME='value'"

# How like a name of a setting another one is that a key too many or too few has made of it.
MISSPELT = 0.93
# Words of a list, and characters of a value or of all words of one: more comes from references that multiply.
MOST_WORDS = 20_000
# Places that are told of a value.
MOST_PLACES = 20
LARGEST = 1 << 20


@dataclass(frozen=True, eq=False)
class Settings(Mapping[str, Any]):
    """The value of every declared setting by its name: str, int, bool, a tuple of words for a list, `Url` or None.

    `warnings` are lines for the user. `variables` are all values as references see them, also of names that
    are no settings.
    """

    declared: Mapping[str, Setting]
    # Passwords are among the values: a failing test of a plugin prints the whole run.
    values_by_name: Mapping[str, Value] = field(repr=False)
    origins: Mapping[str, tuple[str, ...]]
    variables: Mapping[str, Variable] = field(repr=False)
    warnings: list[str] = field(default_factory=list)
    schemes: Sequence[Scheme] = ALL

    def __getitem__(self, name: str) -> Any:
        return self.values_by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.declared)

    def __len__(self) -> int:
        return len(self.declared)

    def origin(self, name: str) -> str:
        """Where the value came from: "default", "FILE:LINE", "environment"; all places if it was extended, or some."""
        places = self.origins[name]
        more = len(places) - MOST_PLACES
        return f"{', '.join(places[:MOST_PLACES])} and {more} more" if more > 0 else ", ".join(places)

    def declaration(self, name: str) -> Setting:
        """How the setting was declared."""
        return self.declared[name]


def evaluate(
    sources: Sources,
    declared: Iterable[Setting],
    environment: Mapping[str, str],
    known_elsewhere: Callable[[str], bool] = lambda _: False,
    strict: bool = True,
    schemes: Sequence[Scheme] = ALL,
    tell: Callable[[ConfigurationError], None] | None = None,
) -> Settings:
    """The settings that the files and the environment give.

    `known_elsewhere` tells whether a plugin that is not selected declares a name, which is then passed over.
    `schemes` are those of all known places. Without `strict` whatever cannot be understood yet is passed over: unknown
    names, references to them, bad values. An unknown name that another assignment refers to is the administrator's own
    variable. With `tell` every error is told, its assignment passed over, and nothing raised.
    """
    by_name = {setting.name: setting for setting in declared}
    evaluation = _Evaluation(
        by_name,
        values={name: setting.default for name, setting in by_name.items()},
        origins=dict.fromkeys(by_name, (DEFAULT,)),
        variables={**sources.variables, **{n: _as_variable(s.default) for n, s in by_name.items()}},
        known_elsewhere=known_elsewhere,
        strict=strict,
        schemes=schemes,
        own_names={
            reference.name
            for assignment in sources.assignments
            for reference in assignment.references
            if reference.name != assignment.name
        },
    )
    for setting in by_name.values():
        if setting.environment and environment.get(setting.name):
            evaluation.take_from_environment(setting, environment[setting.name])
    for assignment in sources.assignments:
        try:
            evaluation.assign(assignment)
        except ConfigurationError as error:
            if tell is None:
                raise
            tell(error)
    return evaluation.settings()


def assign(settings: Settings, text: str, source: str, allowed: Collection[str]) -> Settings:
    """The settings after the assignments in `text`, which a script handed back; it may set `allowed`."""
    evaluation = _Evaluation(
        settings.declared,
        values=dict(settings.values_by_name),
        origins=dict(settings.origins),
        variables=dict(settings.variables),
        warnings=list(settings.warnings),
        schemes=settings.schemes,
    )
    for assignment in parse(text, source):
        if evaluation.canonical.get(assignment.name) not in allowed:
            raise ConfigurationError(
                f"{assignment.place}: this script may not set {assignment.name}",
                f"it may set: {', '.join(sorted(allowed))}",
            )
        evaluation.assign(assignment)
    return evaluation.settings()


@dataclass
class _Evaluation:
    """The values so far."""

    declared: Mapping[str, Setting]
    values: dict[str, Value]
    origins: dict[str, tuple[str, ...]]
    variables: dict[str, Variable]
    warnings: list[str] = field(default_factory=list)
    known_elsewhere: Callable[[str], bool] = lambda _: False
    strict: bool = True
    own_names: Collection[str] = ()
    schemes: Sequence[Scheme] = ALL

    def __post_init__(self) -> None:
        self.canonical = {alias: name for name, setting in self.declared.items() for alias in setting.aliases}
        self.canonical.update({name: name for name in self.declared})
        self.written_as: dict[str, str] = {}
        # Whether what is assigned now may be part of a passphrase: only its place is told then, and what is wrong.
        self.hides = False

    def settings(self) -> Settings:
        return Settings(self.declared, self.values, self.origins, self.variables, self.warnings, self.schemes)

    def hint(self, setting: Setting) -> str:
        """What to write instead of a wrong value."""
        if setting.choices:
            return f"choose from: {', '.join(setting.choices)}"
        if setting.type is Url:
            return examples(accepted(setting, self.schemes))
        kinds = {bool: "yes or no", int: "a whole number", str: "another value", list: "other words"}
        if setting.type in (bool, int) or not setting.help:
            return f"write {kinds[setting.type]}"
        # One sentence: `rear config default` has the rest.
        sentence = re.split(r"(?<=[.:;]) ", setting.help, maxsplit=1)[0].rstrip(".:;")
        return f"write {kinds[setting.type]}; {setting.name}: {sentence}"

    def take_from_environment(self, setting: Setting, text: str) -> None:
        """Set from an environment variable; the words of a list are separated by blanks."""
        given = tuple(text.split()) if setting.type is list else text
        problem, value = convert(setting, given, self.schemes)
        if problem:
            raise ConfigurationError(f"environment variable {setting.name} {problem}", self.hint(setting))
        self.store(setting, value, given, (ENVIRONMENT,))

    def assign(self, assignment: Assignment) -> None:
        """Carry out an assignment."""
        self.hides = self.may_be_secret(assignment.name) or self.follows_secret(assignment)
        name = self.canonical.get(assignment.name)
        if name is None:
            self.assign_undeclared(assignment)
        elif self.origins[name] != (ENVIRONMENT,):
            try:
                self.assign_declared(assignment, self.declared[name])
            except ConfigurationError:
                if self.strict:
                    raise

    def may_be_secret(self, name: str) -> bool:
        """Whether a value of this name may hold a passphrase: one of a secret, a URL, or what is no setting."""
        setting = self.declared.get(self.canonical.get(name, ""))
        return setting is None or setting.secret or setting.type is Url

    def follows_secret(self, assignment: Assignment) -> bool:
        """Whether an assignment may be the rest of a passphrase before it, which has a semicolon or blank."""
        return any(map(self.may_be_secret, assignment.before))

    def assign_declared(self, assignment: Assignment, setting: Setting) -> None:
        """Carry out an assignment to a setting."""
        before, origins = self.variables[setting.name], self.origins[setting.name]
        given: Variable
        if isinstance(before, tuple):
            given = self.words_for(assignment, setting)
            # What was listed under another name stays: each of the old names was a list of its own.
            earlier_name = self.written_as.get(setting.name, assignment.name)
            extends = assignment.append or earlier_name != assignment.name
            if extends:
                given = before + given
                origins = origins if before else ()
                check_words(given, assignment.place)
        else:
            given = self.text_for(assignment)
            extends = assignment.append
            if extends:
                given = check_text(before + given, assignment.place)
        if setting.type is Url and isinstance(given, str):
            given = given.strip(BLANKS)
        problem, value = convert(setting, given, self.schemes)
        if problem:
            problem = "has an invalid value" if self.follows_secret(assignment) else problem
            raise ConfigurationError(f"{assignment.place}: {assignment.name} {problem}", self.hint(setting))
        origin = (assignment.origin,)
        self.store(setting, value, given, origins + origin * (origins[-1:] != origin) if extends else origin)
        self.written_as[setting.name] = assignment.name

    def words_for(self, assignment: Assignment, setting: Setting) -> tuple[str, ...]:
        """The words assigned to a list."""
        if setting.bare and not assignment.is_array and not assignment.append:
            return (self.text(assignment.words[0]),)
        if not assignment.is_array:
            sign = "+=" if assignment.append else "="
            fail(
                assignment.place,
                f"{assignment.name} is a list and needs parentheses",
                f"write {assignment.name}{sign}( ... )",
            )
        return self.all_words(assignment)

    def text_for(self, assignment: Assignment) -> str:
        """The text assigned to anything but a list."""
        if assignment.is_array:
            fail(
                assignment.place,
                f"{assignment.name} has one value and is no list",
                f'write {assignment.name}="value" without parentheses',
            )
        return self.text(assignment.words[0])

    def store(self, setting: Setting, value: Value, given: Variable, origins: tuple[str, ...]) -> None:
        self.values[setting.name] = value
        self.variables[setting.name] = given
        self.origins[setting.name] = origins

    def assign_undeclared(self, assignment: Assignment) -> None:
        """Keep the value of a name that is no setting for references to it, as a shell would; or raise."""
        name = assignment.name
        if (protects := original.protection(name)) and not self.known_elsewhere(name):
            fail(assignment.place, f"{name} is unknown here and would not protect anything", protects)
        if self.strict and not self.known_elsewhere(name):
            advice = original.advice(name)
            if advice and not (self.near(name, MISSPELT) and not original.is_known(name)):
                self.warnings.append(f"{assignment.origin}: {name} has no effect: {advice}")
            elif name not in self.own_names:
                if self.follows_secret(assignment):
                    fail(assignment.place, "this is not the name of a setting", QUOTE_IT)
                self.fail_as_unknown(assignment.place, f"{name} is not a setting", name)
        before = self.variables.get(name)
        if isinstance(before, tuple) != assignment.is_array and before is not None and name in self.own_names:
            fail(assignment.place, f"{name} is a list in one place only", f"write {name}=( ... ) everywhere")
        if assignment.is_array:
            earlier = before if isinstance(before, tuple) and assignment.append else ()
            self.variables[name] = check_words(earlier + self.all_words(assignment), assignment.place)
        else:
            start = before if isinstance(before, str) and assignment.append else ""
            self.variables[name] = check_text(start + self.text(assignment.words[0]), assignment.place)

    def text(self, word: Word) -> str:
        """A word as one text; the words of a list are joined by blanks."""
        found = ""
        for part in word.parts:
            found += part if isinstance(part, str) else check_text(" ".join(self.referred(part)), part.place)
            if isinstance(part, Reference):
                check_text(found, part.place)
        return found

    def all_words(self, assignment: Assignment) -> tuple[str, ...]:
        """The words that an array stands for."""
        found: list[str] = []
        size = 0
        for word in assignment.words:
            more = self.words(word)
            found += more
            size += sum(map(len, more))
            if len(found) > MOST_WORDS or size > LARGEST:
                check_words(tuple(found), assignment.place)
        return tuple(found)

    def words(self, word: Word) -> list[str]:
        """The words that a word stands for: none, one or several, split where a shell would split it."""
        (only, *others) = word.parts
        if isinstance(only, Reference) and not others and only.quoted and only.every == "@":
            return [*self.referred(only)]
        found: list[str | None] = [None]  # None: the next word, of which nothing has come yet

        def add(text: str) -> None:
            found[-1] = (found[-1] or "") + text

        def end_word() -> None:
            if found[-1] is not None:
                found.append(None)

        for part in word.parts:
            if isinstance(part, str):
                add(part)
                continue
            values = self.referred(part)
            if part.quoted and part.every != "@":
                values = (" ".join(values),)
            for number, value in enumerate(values):
                if number:
                    end_word()
                if part.quoted:
                    add(value)
                    continue
                # Unquoted: each run of blanks ends a word, and nothing is left of an empty value.
                for position, piece in enumerate(re.split(r"[ \t\n]+", value)):
                    if position:
                        end_word()
                    if piece:
                        add(piece)
            if len(found) > MOST_WORDS or len(found[-1] or "") > LARGEST:
                check_words(tuple(text or "" for text in found), part.place)
        return [text for text in found if text is not None]

    def referred(self, reference: Reference) -> tuple[str, ...]:
        """The value of a reference; a text is one word."""
        name = self.canonical.get(reference.name, reference.name)
        value = self.variables.get(name)
        if value is None:
            if reference.default is None and self.strict and not self.may_be_unset(reference):
                if self.hides:
                    fail(reference.place, "this reference has no value here", ASSIGN_IT)
                self.fail_as_unknown(reference.place, f"${reference.name} has no value here", reference.name)
            value = () if reference.every else ""
        if isinstance(value, tuple):
            if not reference.every:
                if self.hides:
                    fail(reference.place, "this reference is to a list", ASSIGN_IT)
                fail(
                    reference.place,
                    f"{reference.name} is a list",
                    f'write "${{{reference.name}[@]}}" for all of its words',
                )
            return value
        return (value or reference.default or "",)

    def may_be_unset(self, reference: Reference) -> bool:
        """Whether nothing is missed: the default of a plugin not in use, or an empty list of the original."""
        is_list_of_original = bool(reference.every and original.advice(reference.name))
        return is_list_of_original or self.known_elsewhere(reference.name)

    def near(self, name: str, similarity: float = 0.6) -> list[str]:
        """The name of a setting that is most like a name, if one is."""
        return get_close_matches(name.upper(), self.canonical, n=1, cutoff=similarity)

    def fail_as_unknown(self, place: str, what: str, name: str) -> NoReturn:
        """Raise for a name nobody declares, with the nearest one."""
        near = self.near(name)
        fail(
            place,
            what,
            f"did you mean {near[0]}?"
            if near
            else "`rear config default` lists all settings; install a plugin to use its settings",
        )


def check_text(text: str, place: str) -> str:
    """A text, unless it is too long."""
    if len(text) > LARGEST:
        fail(place, f"this value has more than {LARGEST} characters", "write a shorter one: references multiply it")
    return text


def check_words(words: tuple[str, ...], place: str) -> tuple[str, ...]:
    """Words, unless they are too many or too long."""
    if len(words) > MOST_WORDS:
        fail(place, f"this list has more than {MOST_WORDS} words", "name folders or patterns in the place of files")
    if sum(map(len, words)) > LARGEST:
        fail(place, f"the words of this list have more than {LARGEST} characters", "write a shorter list")
    return words


def fail(place: str, what: str, hint: str) -> NoReturn:
    """Raise the error for a place in a file."""
    raise ConfigurationError(f"{place}: {what}", hint)


def _as_variable(value: Value) -> Variable:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, tuple) else "" if value is None else str(value)
