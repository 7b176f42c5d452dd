# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries the configuration of Relax-and-Recover over: each line with what becomes of it and why."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import chain
from shlex import quote
from types import MappingProxyType

from ..errors import ConfigurationError
from ..places.url import ALL, Scheme
from . import commands, original
from .evaluation import evaluate
from .files import Sources
from .hiding import hidden, hidden_in_comment, is_secret
from .model import Setting
from .reader import Assignment, Reference, parse
from .statements import Statement, statements

Words = Sequence[str]
RENAMED = {
    "BORGBACKUP_COMPRESSION": "BORG_COMPRESSION",
    "BORGBACKUP_REMOTE_PATH": "BORG_REMOTE_PATH",
    "NETFS_OPTIONS": "BACKUP_OPTIONS",
    "NETFS_URL": "BACKUP_URL",
    "PXE_TFTP_URL": "OUTPUT_URL",
    "RSYNC_PREFIX": "BACKUP_PREFIX",
}
METHODS = {
    "NETFS": ("NFS", ""),
    "BAREOS": ("BACULA", "was tried with Bacula, never with Bareos"),
    **dict.fromkeys(
        ("NFS", "RSYNC", "BORG", "TSM", "NSR", "BACULA", "EXTERNAL", "REQUESTRESTORE", "TAPE", "CDROM", "RESTIC"),
        (None, ""),
    ),
}
OUTPUTS = ("ISO", "CDROM", "USB", "PXE", "OBDR", "RAMDISK", "RAWDISK")
BORG_ADDRESS = ("BORGBACKUP_HOST", "BORGBACKUP_USERNAME", "BORGBACKUP_PORT", "BORGBACKUP_REPO")
BORG_PRUNE = "BORGBACKUP_PRUNE_KEEP_"
# What had no effect there has none here.
OFF = ("", "n", "no", "false", "0")


# What begins with one of these is no text.
COMMAND = re.compile(r"[ \t]*(?:if|case|for|while|until|select|test|source|\.|\[\[?)[ \t]")


class Outcome(Enum):
    """What becomes of an assignment."""

    SAME = "same"
    RENAMED = "renamed"
    OTHERWISE = "done otherwise"
    NEEDLESS = "not needed"
    MISSING = "not there"
    CODE = "not read"


ATTENTION = (Outcome.MISSING, Outcome.CODE)


@dataclass(frozen=True)
class Answer:
    """What becomes of lines `number` and following; `lines` are written in their place, `was` is shown otherwise.

    `script` is the path of a step below the configuration directory, with its text.
    """

    outcome: Outcome
    remark: str = ""
    lines: Words = ()
    was: Words = ()
    number: int = 0
    script: tuple[str, str] | None = None


@dataclass
class Imported:
    """All of a file, in its order: answers, and the lines that are comments or blank."""

    parts: list[Answer | str] = field(default_factory=list)

    @property
    def answers(self) -> list[Answer]:
        """What has become of the assignments."""
        return [part for part in self.parts if isinstance(part, Answer)]

    @property
    def scripts(self) -> dict[str, str]:
        """Steps that do what settings did, by their paths below the configuration directory."""
        return dict(answer.script for answer in self.answers if answer.script)

    def text(self) -> str:
        """The file that rear reads, with a remark for each assignment."""
        lines: list[str] = []
        for part in self.parts:
            lines += [part] if isinstance(part, str) else _written(part)
        return "".join(f"{line}\n" for line in lines)


def _written(answer: Answer) -> list[str]:
    remark = f": {' '.join(answer.remark.split())}" if answer.remark else ""
    shown = [] if answer.lines else [f"#   {line}" for line in answer.was]
    # A value may have ends of lines.
    lines = [line for each in answer.lines for line in each.split("\n")]
    return [f"# line {answer.number}, {answer.outcome.value}{remark}", *shown, *lines]


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
    rules = _Rules(by_name, given, referred)
    imported = {source: Imported([*_parts(each, rules)]) for source, each in found.items()}
    _check(imported, by_name, schemes)
    return imported


def _parts(found: Iterable[Statement], rules: _Rules) -> Iterator[Answer | str]:
    before = Statement(0, ())
    for statement in found:
        if statement.problem and _may_end_a_secret(statement, before, rules):
            remark = "it may be the rest of a passphrase on the lines before it; rear runs nothing of it"
            yield Answer(Outcome.CODE, remark, was=["..."], number=statement.number)
            continue
        yield from _answers(statement, rules)
        before = statement if statement.problem or statement.assignments else before


def _may_end_a_secret(statement: Statement, before: Statement, rules: _Rules) -> bool:
    """Whether what cannot be read may belong to the value of a secret that is before it."""
    if before.problem:
        text = "\n".join(before.lines)
        return hidden(text, rules.is_public) != text
    return any(not rules.is_public(each.name) for each, _ in before.assignments) and not COMMAND.match(
        statement.lines[0]
    )


def _answers(statement: Statement, rules: _Rules) -> Iterator[Answer | str]:
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
        yield replace(rules.answer(assignment, text), was=was, number=statement.number)


def _check(imported: Mapping[str, Imported], declared: Mapping[str, Setting], schemes: Sequence[Scheme]) -> None:
    """Take out, with the reason, what rear would refuse."""
    while True:
        try:
            read = [each for source, one in imported.items() for each in parse(one.text(), source)]
            evaluate(Sources(assignments=tuple(read)), declared.values(), {}, schemes=schemes)
            return
        except ConfigurationError as error:
            parts, at = _refused(imported, error)
            was = parts[at]
            if not isinstance(was, Answer) or not was.lines:
                raise
            reason = f"{error.message.split(': ', 1)[-1]}; {error.hint}"
            parts[at] = replace(was, outcome=Outcome.MISSING, remark=reason, lines=())


def _refused(imported: Mapping[str, Imported], error: ConfigurationError) -> tuple[list[Answer | str], int]:
    """The parts of a file, and the number of that which has written the line that an error names."""
    for source, one in imported.items():
        if place := re.match(rf"{re.escape(source)}:(\d+)", error.message):
            reached = 0
            for at, part in enumerate(one.parts):
                reached += 1 if isinstance(part, str) else len(_written(part))
                if reached >= int(place[1]):
                    return one.parts, at
    raise error


@dataclass
class _Rules:
    """What becomes of each name; `given` are all assignments of the file, `referred` the names that it refers to."""

    declared: Mapping[str, Setting]
    given: Mapping[str, Sequence[Assignment]]
    referred: set[str]

    def answer(self, assignment: Assignment, text: str) -> Answer:
        """What becomes of an assignment with this text."""
        name, words = assignment.name, _words(assignment)
        if rule := self.rule(name):
            return rule(self, name, words, text)
        if name in self.declared:
            return Answer(Outcome.SAME, lines=text.split("\n"))
        known = {alias: setting.name for setting in self.declared.values() for alias in setting.aliases} | RENAMED
        if name in known:
            return Answer(Outcome.RENAMED, f"it was {name}", _renamed(text, name, known[name]))
        if protects := original.protection(name):
            return Answer(Outcome.MISSING, f"it protected something: {protects}")
        if advice := original.advice(name):
            off = words is not None and all(word.lower() in OFF for word in words)
            return Answer(Outcome.NEEDLESS if off else _OUTCOMES[original.use(name)], advice)
        if name in self.referred:
            return Answer(Outcome.SAME, "a variable of your own", text.split("\n"))
        return Answer(Outcome.MISSING, "neither rear nor Relax-and-Recover knows it")

    def is_public(self, name: str) -> bool:
        """Whether the value of a name is no secret: it is known, and for something else."""
        known = name in self.declared or self.rule(name) or name in RENAMED or original.advice(name)
        return bool(known or original.protection(name)) and not is_secret(name)

    def rule(self, name: str) -> Rule | None:
        """What decides by the value."""
        if name.startswith(BORG_PRUNE):
            return _borg_keep
        return SPECIAL.get(name)


Rule = Callable[[_Rules, str, "Words | None", str], Answer]
_OUTCOMES = {
    original.OTHERWISE: Outcome.OTHERWISE,
    original.NEEDLESS: Outcome.NEEDLESS,
    original.MISSING: Outcome.MISSING,
}


def _words(assignment: Assignment, known: Mapping[str, str] = MappingProxyType({})) -> list[str] | None:
    """The words of a value; None where they depend on others than those that are known."""
    found = []
    for word in assignment.words:
        texts = [known.get(part.name) if isinstance(part, Reference) else part for part in word.parts]
        if None in texts:
            return None
        found.append("".join(map(str, texts)))
    return found


def _renamed(text: str, old: str, new: str) -> list[str]:
    return re.sub(rf"^(.*?)\b{old}(?=\+?=)", rf"\g<1>{new}", text, count=1).split("\n")


def _backup(_rules: _Rules, _name: str, words: Words | None, text: str) -> Answer:
    (word,) = words if words and len(words) == 1 else ("",)
    if not word:
        return Answer(Outcome.SAME, lines=text.split("\n"))
    if word not in METHODS:
        advice = "BACKUP=EXTERNAL runs the commands of any product, BACKUP=REQUESTRESTORE waits for a restore by hand"
        return Answer(Outcome.MISSING, f"rear has no plugin {word} of its own; {advice}")
    method, remark = METHODS[word]
    if method is None:
        return Answer(Outcome.SAME, remark, text.split("\n"))
    return Answer(Outcome.RENAMED, remark or f"it was {word}", [f"BACKUP={method}"])


def _output(_rules: _Rules, _name: str, words: Words | None, text: str) -> Answer:
    if words and words[0] not in OUTPUTS:
        return Answer(Outcome.MISSING, f"rear makes no media of the kind {words[0]}; the nearest is OUTPUT=ISO")
    return Answer(Outcome.SAME, lines=text.split("\n"))


def _script(rules: _Rules, name: str, _words_: Words | None, _text: str) -> Answer:
    words = _all_words(rules.given[name])
    path = commands.KINDS[name].path
    by_hand = f"write it as a script {path} below the configuration directory"
    if words is None:
        return Answer(Outcome.MISSING, f"it refers to a variable; {by_hand}")
    found = commands.of_words(name, words)
    if not found:
        return Answer(Outcome.NEEDLESS, "it does nothing")
    if problem := next(filter(None, map(commands.not_for_a_script, found)), ""):
        return Answer(Outcome.MISSING, f"{problem}; {by_hand}")
    path, text, remark = commands.script(name, found)
    return Answer(Outcome.OTHERWISE, remark, script=(path, text))


def _all_words(assignments: Sequence[Assignment]) -> list[str] | None:
    """What a list is after assignments to it, as a shell has it; None where that depends on other variables."""
    found: list[str] = []
    for each in assignments:
        words = _words(each, commands.TARGET)
        if words is None:
            return None
        if each.is_array:
            found = [*found, *words] if each.append else words
        else:
            # Without parentheses it is the first word alone.
            found[:1] = ["".join([*(found[:1] if each.append else ()), *words])]
    return found


def _exclude_backup(_rules: _Rules, _name: str, words: Words | None, _text: str) -> Answer:
    systems = [word[len("fs:") :] for word in words or () if word.startswith("fs:/")]
    if words is None or len(systems) < len(words):
        return Answer(Outcome.MISSING, "write BACKUP_PROG_EXCLUDE+=( '/FOLDER/*' ) for the files not to save")
    patterns = " ".join(quote(f"{system.rstrip('/')}/*") for system in systems)
    remark = "the file systems are created again, empty; EXCLUDE_MOUNTPOINTS leaves them alone"
    return Answer(Outcome.OTHERWISE, remark, [f"BACKUP_PROG_EXCLUDE+=( {patterns} )"] if patterns else [])


def _default_entry(_rules: _Rules, _name: str, words: Words | None, _text: str) -> Answer:
    (word,) = words if words else ("",)
    if word in ("automatic", "unattended"):
        remark = "every entry recovers unattended; a question that is open ends it before the first write"
        return Answer(Outcome.OTHERWISE, remark, ['KERNEL_CMDLINE+=" rear.auto=recover"'])
    if word in ("", "manual"):
        return Answer(Outcome.NEEDLESS, "the menu of the rescue system waits for a choice")
    return Answer(Outcome.MISSING, "the first entry of the boot menu is always that of the rescue system")


def _old_copy(_rules: _Rules, _name: str, words: Words | None, _text: str) -> Answer:
    return Answer(Outcome.NEEDLESS, "BACKUP_KEEP backups stay, two unless it says otherwise")


def _backup_type(_rules: _Rules, _name: str, words: Words | None, _text: str) -> Answer:
    if words and words[0]:
        engines = "BACKUP=RESTIC, BORG or RSYNC save only what is new"
        return Answer(Outcome.MISSING, f"archives of rear are complete; {engines}")
    return Answer(Outcome.NEEDLESS, "archives of rear are complete")


def _borg_address(rules: _Rules, name: str, _words_: Words | None, _text: str) -> Answer:
    values = {each: _only_word(rules.given.get(each)) for each in BORG_ADDRESS}
    if name != BORG_ADDRESS[-1]:
        return Answer(Outcome.OTHERWISE, "it is a part of BORG_REPOSITORY")
    host, user, port, repository = values.values()
    if not repository or None in values.values():
        return Answer(Outcome.MISSING, "write BORG_REPOSITORY=ssh://user@host:port/folder")
    if not host:
        folder, _, name = repository.rpartition("/")
        lines = [f"BACKUP_URL=file://{folder or '/'}", f"BORG_REPOSITORY={quote(name)}"]
        return Answer(Outcome.OTHERWISE, "the folder of a repository on this machine is a BACKUP_URL", lines)
    place = f"ssh://{f'{user}@' if user else ''}{host}{f':{port}' if port else ''}/{repository.lstrip('/')}"
    return Answer(
        Outcome.OTHERWISE, "host, user, port and repository are one address", [f"BORG_REPOSITORY={quote(place)}"]
    )


def _borg_keep(rules: _Rules, name: str, _words_: Words | None, _text: str) -> Answer:
    kept = {each: _only_word(value) for each, value in rules.given.items() if each.startswith(BORG_PRUNE)}
    if name != next(iter(kept)):
        return Answer(Outcome.OTHERWISE, "it is a part of BORG_KEEP")
    if None in kept.values():
        return Answer(Outcome.MISSING, "write BORG_KEEP=( daily 7 weekly 4 )")
    counts = {each[len(BORG_PRUNE) :].lower(): quote(value) for each, value in kept.items() if value}
    policy = [f"{period} {count}" for period, count in counts.items() if count != "0"]
    return Answer(Outcome.OTHERWISE, "all of it is one policy", [f"BORG_KEEP=( {' '.join(policy)} )"] if policy else [])


def _only_word(assignments: Sequence[Assignment] | None) -> str | None:
    """The value of a text, "" where it is not assigned; None where it depends on others."""
    words = _words(assignments[-1]) if assignments else [""]
    return None if words is None else " ".join(words)


SPECIAL: Mapping[str, Rule] = {
    "BACKUP": _backup,
    "BACKUP_TYPE": _backup_type,
    "EXCLUDE_BACKUP": _exclude_backup,
    "ISO_DEFAULT": _default_entry,
    "ISO_RECOVER_MODE": _default_entry,
    "NETFS_KEEP_OLD_BACKUP_COPY": _old_copy,
    "OUTPUT": _output,
    **dict.fromkeys(commands.KINDS, _script),
    **dict.fromkeys(BORG_ADDRESS, _borg_address),
}
