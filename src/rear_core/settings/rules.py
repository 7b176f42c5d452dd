# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of each name of Relax-and-Recover's configuration."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from shlex import quote
from types import MappingProxyType

from . import commands, original
from .answers import Answer, Outcome, Words
from .hiding import is_secret
from .model import Setting
from .reader import Assignment, Reference, parse

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
# A reference to the name of the machine within values; no file has such a sign.
HOST = {"HOSTNAME": "\0"}
# What had no effect there has none here.
OFF = ("", "n", "no", "false", "0")


@dataclass
class Rules:
    """What becomes of each name; `given` are all assignments of the file, `referred` the names that it refers to."""

    declared: Mapping[str, Setting]
    given: Mapping[str, Sequence[Assignment]]
    referred: set[str]

    def __post_init__(self) -> None:
        aliases = {alias: setting.name for setting in self.declared.values() for alias in setting.aliases}
        self.new_names = aliases | RENAMED

    def answer(self, assignment: Assignment, text: str) -> Answer:
        """What becomes of an assignment with this text."""
        name, words = assignment.name, _words(assignment)
        if rule := self.rule(name):
            return rule(self, name, words, text)
        text = self.with_new_names(text)
        if name in self.declared:
            return Answer(Outcome.SAME, lines=text.split("\n"))
        if name in self.new_names:
            return Answer(Outcome.RENAMED, f"it was {name}", _renamed(text, name, self.new_names[name]))
        if protects := original.protection(name):
            return Answer(Outcome.MISSING, f"it protected something: {protects}")
        if advice := original.advice(name):
            if name == "HOSTNAME" and name in self.referred:
                return Answer(Outcome.SAME, advice, text.split("\n"))
            off = words is not None and all(word.lower() in OFF for word in words)
            return Answer(Outcome.NEEDLESS if off else _OUTCOMES[original.use(name)], advice)
        if name in self.referred:
            return Answer(Outcome.SAME, "a variable of your own", text.split("\n"))
        return Answer(Outcome.MISSING, "neither rear nor Relax-and-Recover knows it")

    def with_new_names(self, text: str) -> str:
        """An assignment with references to what has another name here."""
        starts = [0, *(end + 1 for end, letter in enumerate(text) if letter == "\n")]
        references = [one for each in parse(text, "") for one in each.references if one.name in self.new_names]
        for one in reversed(references):
            line, column = map(int, one.place.split(":")[-2:])
            at = starts[line - 1] + column - 1
            text = text[:at] + text[at:].replace(one.name, self.new_names[one.name], 1)
        return text

    def may_be_empty(self, reference: Reference, assignment: Assignment) -> bool:
        """Whether a reference needs no assignment: to what was there before, to an empty list, or with a default."""
        is_list = bool(reference.every and original.advice(reference.name) and reference.name not in self.given)
        return reference.default is not None or is_list or reference.name == assignment.name

    def is_public(self, name: str) -> bool:
        """Whether the value of a name is no secret: it is known, and for something else."""
        known = name in self.declared or self.rule(name) or name in RENAMED or original.advice(name)
        return bool(known or original.protection(name)) and not is_secret(name)

    def rule(self, name: str) -> Rule | None:
        """What decides by the value."""
        if name.startswith(BORG_PRUNE):
            return _borg_keep
        return SPECIAL.get(name)


Rule = Callable[[Rules, str, "Words | None", str], Answer]
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


def _backup(_rules: Rules, _name: str, words: Words | None, text: str) -> Answer:
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


def _output(_rules: Rules, _name: str, words: Words | None, text: str) -> Answer:
    if words and words[0] not in OUTPUTS:
        return Answer(Outcome.MISSING, f"rear makes no media of the kind {words[0]}; the nearest is OUTPUT=ISO")
    return Answer(Outcome.SAME, lines=text.split("\n"))


def _script(rules: Rules, name: str, _words_: Words | None, _text: str) -> Answer:
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


def _exclude_backup(rules: Rules, name: str, words: Words | None, _text: str) -> Answer:
    systems = [word[len("fs:") :] for word in words or () if word.startswith("fs:/")]
    target = "BACKUP_PROG_EXCLUDE"
    if words is None or len(systems) < len(words):
        return Answer(Outcome.MISSING, f"write {target}+=( '/FOLDER/*' ) for the files not to save")
    patterns = " ".join(quote(f"{system.rstrip('/')}/*") for system in systems)
    line = f"{target}+=( {patterns} )"
    if patterns and (_replaced(rules, name) or _replaced(rules, target)):
        return Answer(Outcome.MISSING, f"another assignment would replace it; where it is wanted, write last: {line}")
    remark = "the file systems are created again, empty; EXCLUDE_MOUNTPOINTS leaves them alone"
    return Answer(Outcome.OTHERWISE, remark, [line] if patterns else [])


def _replaced(rules: Rules, name: str) -> bool:
    """Whether some assignments to a name may lose what others have put there."""
    given = rules.given.get(name, ())
    return (len(given) > 1 or name not in SPECIAL) and any(
        not each.append and name not in [reference.name for reference in each.references] for each in given
    )


def _default_entry(rules: Rules, name: str, words: Words | None, _text: str) -> Answer:
    (word,) = words if words else ("",)
    if word == "automatic":
        line = 'KERNEL_CMDLINE+=" rear.auto=recover"'
        if words != _words(rules.given[name][-1]):
            return Answer(Outcome.NEEDLESS, "another assignment comes after it")
        if _replaced(rules, "KERNEL_CMDLINE"):
            return Answer(Outcome.MISSING, f"KERNEL_CMDLINE is set as well; where it is wanted, write after it: {line}")
        remark = "every start recovers unattended; a question that is open ends it before the first write"
        return Answer(Outcome.OTHERWISE, remark, [line])
    if word in ("", "manual"):
        return Answer(Outcome.NEEDLESS, "the menu of the rescue system waits for a choice")
    return Answer(Outcome.MISSING, "the first entry of the boot menu is always that of the rescue system")


def _recover_mode(_rules: Rules, _name: str, _words_: Words | None, _text: str) -> Answer:
    return Answer(Outcome.NEEDLESS, "the entry that recovers by itself asks nothing, the first one shows everything")


def _old_copy(_rules: Rules, _name: str, words: Words | None, _text: str) -> Answer:
    return Answer(Outcome.NEEDLESS, "BACKUP_KEEP backups stay, two unless it says otherwise")


def _backup_type(_rules: Rules, _name: str, words: Words | None, _text: str) -> Answer:
    if words and words[0]:
        engines = "BACKUP=RESTIC, BORG or RSYNC save only what is new"
        return Answer(Outcome.MISSING, f"archives of rear are complete; {engines}")
    return Answer(Outcome.NEEDLESS, "archives of rear are complete")


def _borg_address(rules: Rules, name: str, _words_: Words | None, _text: str) -> Answer:
    values = {each: _only_word(rules.given.get(each)) for each in BORG_ADDRESS}
    if name != BORG_ADDRESS[-1]:
        return Answer(Outcome.OTHERWISE, "it is a part of BORG_REPOSITORY")
    host, user, port, repository = values.values()
    if not repository or None in values.values():
        return Answer(Outcome.MISSING, "write BORG_REPOSITORY=ssh://user@host:port/folder")
    if not host:
        folder, _, name = repository.rpartition("/")
        place = f"file://{folder or '/'}"
        lines = [f"BACKUP_URL={_quoted(place)}", f"BORG_REPOSITORY={_quoted(name)}"]
        return Answer(Outcome.OTHERWISE, "the folder of a repository on this machine is a BACKUP_URL", lines)
    place = f"ssh://{f'{user}@' if user else ''}{host}{f':{port}' if port else ''}/{repository.lstrip('/')}"
    return Answer(
        Outcome.OTHERWISE, "host, user, port and repository are one address", [f"BORG_REPOSITORY={_quoted(place)}"]
    )


def _borg_keep(rules: Rules, name: str, _words_: Words | None, _text: str) -> Answer:
    kept = {each: _only_word(value) for each, value in rules.given.items() if each.startswith(BORG_PRUNE)}
    if name != next(iter(kept)):
        return Answer(Outcome.OTHERWISE, "it is a part of BORG_KEEP")
    if None in kept.values():
        return Answer(Outcome.MISSING, "write BORG_KEEP=( daily 7 weekly 4 )")
    counts = {each[len(BORG_PRUNE) :].lower(): _quoted(value) for each, value in kept.items() if value}
    policy = [f"{period} {count}" for period, count in counts.items() if count != "0"]
    return Answer(Outcome.OTHERWISE, "all of it is one policy", [f"BORG_KEEP=( {' '.join(policy)} )"] if policy else [])


def _quoted(value: str) -> str:
    """A value as a shell reads it, with its references to the name of the machine."""
    parts = value.split(HOST["HOSTNAME"])
    return '"$HOSTNAME"'.join(quote(part) if part else "" for part in parts) or "''"


def _only_word(assignments: Sequence[Assignment] | None) -> str | None:
    """The value of a text, "" where it is not assigned; None where it depends on others than $HOSTNAME."""
    words = _words(assignments[-1], HOST) if assignments else [""]
    return None if words is None else " ".join(words)


SPECIAL: Mapping[str, Rule] = {
    "BACKUP": _backup,
    "BACKUP_TYPE": _backup_type,
    "EXCLUDE_BACKUP": _exclude_backup,
    "ISO_DEFAULT": _default_entry,
    "ISO_RECOVER_MODE": _recover_mode,
    "NETFS_KEEP_OLD_BACKUP_COPY": _old_copy,
    "OUTPUT": _output,
    **dict.fromkeys(commands.KINDS, _script),
    **dict.fromkeys(BORG_ADDRESS, _borg_address),
}
