# SPDX-License-Identifier: GPL-3.0-or-later
"""What `rear setup` writes: its part of local.conf, and files with secrets; what was there before is kept."""

from __future__ import annotations

import difflib
import os
import re
import stat
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from .. import durable
from ..errors import Refused
from ..run import Run
from ..settings import quote
from ..settings.files import read_trusted
from ..settings.hiding import hidden, hidden_in_comment
from ..settings.reader import decode
from .setup_asking import Answers, value_of, words

BEGIN, END = "# Written by `rear setup`; it replaces these lines when it is run again.", "# End of `rear setup`."
# Of a part whose end was removed nothing tells where it ends: it stays.
PART = re.compile(
    rf"^{re.escape(BEGIN)}\n(?:(?!{re.escape(BEGIN)}\n|{re.escape(END)}\n).*\n)*{re.escape(END)}\n", re.MULTILINE
)
ASSIGNMENT = re.compile(r"\s*(\w+)=")


@dataclass(frozen=True)
class Written:
    """A local.conf as it will be and as it is (None: there is none), and the files with secrets beside it, with
    the settings that have their paths. `public` are the settings whose values may be shown; with `has_secret` the text
    has another one, and is for root alone."""

    path: Path
    text: str
    before: str | None
    files: Mapping[Path, str] = field(repr=False)
    holders: Mapping[str, Path]
    public: Collection[str]
    has_secret: bool = False

    @property
    def changes(self) -> bool:
        """Whether anything is to be written at all."""
        return self.text != self.before or bool(self.files)

    def shown(self) -> Iterator[str]:
        """The lines that somebody agrees to: the new file, or how it differs from the one that is there."""
        if self.before is None:
            yield f"rear will write {self.path}:"
            yield from (f"  {self._without_secret(line)}" for line in self.text.splitlines())
        elif self.text != self.before:
            yield f"rear will change {self.path}, and keep the old one as {self._old}:"
            old, new = self.before.splitlines(), self.text.splitlines()
            # Lines around it are shown to nobody: a value may go over many of them.
            for line in [*difflib.unified_diff(old, new, lineterm="", n=0)][2:]:
                yield f"  {line[:1]}{self._without_secret(line[1:])}"
        for path in self.files:
            yield f"rear will write {path}, which only root can read"

    def _without_secret(self, line: str) -> str:
        """A line of what rear has written or writes, without a value that may be a secret."""
        if line.startswith("#"):
            return hidden_in_comment(line)
        found = ASSIGNMENT.match(line)
        return line if found and found[1] in self.public else hidden(line, lambda _name: False)

    @property
    def _old(self) -> Path:
        """The first free name for what is there now."""
        day = self.path.with_name(f"{self.path.name}.{time.strftime('%Y-%m-%d')}")
        names = (day, *(day.with_name(f"{day.name}.{number}") for number in range(2, 1000)))
        return next(path for path in names if not os.path.lexists(path))

    def write(self) -> None:
        """Write it; where that fails all is as it was."""
        if read(self.path) != self.before:
            raise Refused(f"{self.path} has changed meanwhile", "run `rear setup` again")
        with ExitStack() as undo:
            for path, text in self.files.items():
                if os.path.lexists(path):
                    raise Refused(f"{path} is there by now", "remove it, or run `rear setup` again and type its path")
                undo.callback(path.unlink, missing_ok=True)
                durable.write(path, text)
            if self.text != self.before:
                self._write_configuration(undo)
            undo.pop_all()

    def _write_configuration(self, undo: ExitStack) -> None:
        mode = 0o600
        if self.before is not None:
            mode = stat.S_IMODE(self.path.stat().st_mode) & (0o700 if self.has_secret else 0o777)
            old = self._old
            undo.callback(old.unlink, missing_ok=True)
            durable.write(old, self.before, mode=mode)
        # A link stays one: its file may belong to a tree of configurations.
        durable.write(Path(os.path.realpath(self.path)), self.text, mode=mode)


def read(path: Path) -> str | None:
    """What is in local.conf, None where there is none."""
    return decode(read_trusted(path), os.fspath(path)) if os.path.lexists(path) else None


def proposed(run: Run, chosen: Run, answers: Answers) -> Written:
    """The local.conf with the answers: `run` has the chosen methods, and else what stands without `rear setup`."""
    path = run.config_dir / "local.conf"
    before = read(path)
    text = PART.sub("", before or "")
    if text and not text.endswith("\n"):
        text += "\n"
    text += part(run, chosen, answers)
    # Those of answers that were given up are not written.
    holders = {name: Path(typed) for name, typed in answers.typed.items() if Path(typed) in answers.files}
    files = {path: answers.files[path] for path in holders.values()}
    public = [name for name, setting in chosen.settings.declared.items() if not setting.secret]
    has_secret = any(typed for name, typed in answers.typed.items() if name not in public)
    return Written(path, text, before, files, holders, public, has_secret)


def part(run: Run, chosen: Run, answers: Answers) -> str:
    """The assignments of the answers; one of the default where another value stands before that nobody wants now."""
    lines = [BEGIN]
    for name in (*answers.typed, *sorted(answers.unasked - answers.typed.keys())):
        setting = chosen.settings.declared[name]
        typed = answers.typed.get(name, words(setting.default))
        if answers.typed.get(name) or run.settings.get(name, setting.default) != setting.default:
            value = value_of(setting, typed)
            plain = setting.bare and isinstance(value, tuple) and len(value) == 1
            lines.append(f"{name}={quote(value[0] if plain else value)}")
    return "\n".join([*lines, END, ""])
