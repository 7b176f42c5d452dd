# SPDX-License-Identifier: GPL-3.0-or-later
"""What a setting is: declared once by the core or a plugin, typed, documented."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Union

from ..places.url import Url

Value = Union[str, int, bool, "tuple[str, ...]", Url, None]
# As bash(1) has it.
NAME = re.compile("[A-Za-z_][A-Za-z0-9_]*")
# The default of a setting of each type, where nothing else is said.
EMPTY: dict[type, Any] = {str: "", int: 0, bool: False, list: (), Url: None}


@dataclass(frozen=True)
class Setting:
    """A variable of the configuration files.

    `type` is str, int, bool, list (a bash array; its value is a tuple of words) or `Url`, a place for media or backups:
    its value is None when it is not set, and the disk that it names is never taken by a recovery. Such a place must be
    a folder while it is mounted; with `files` one that takes files one by one will do. `default` may be left out: it
    is then empty, 0, False, () or None. `aliases` are other names that are read for this one, those of
    Relax-and-Recover for example. With `environment` the environment variable of that name beats all files. `choices`
    (for each word of a list) and `check`, which returns what is wrong with a value or "", apply to every value but the
    default. Of a list with `bare`, one word may stand without parentheses. A `secret` is masked wherever it would be
    shown or stored. Of `existing` files and folders, which it names or has patterns of, `rear config check` says which
    are not there.
    """

    name: str
    type: type = str
    default: Any = None
    help: str = ""
    choices: tuple[str, ...] = ()
    secret: bool = False
    environment: bool = False
    aliases: tuple[str, ...] = ()
    check: Callable[[Any], str] | None = None
    files: bool = False
    bare: bool = False
    existing: bool = False

    def __post_init__(self) -> None:
        for several in ("choices", "aliases"):
            if isinstance(value := getattr(self, several), str):
                raise TypeError(f"{self.name}: {several} is the text {value!r}, not a tuple of texts")
        for name in (self.name, *self.aliases):
            if not NAME.fullmatch(name):
                raise ValueError(f"{name!r} cannot name a setting, which is a variable of a shell")
        if self.type not in EMPTY:
            raise TypeError(f"{self.name}: a setting is a str, int, bool, list or Url, not {self.type!r}")
        default: Any = EMPTY[self.type] if self.default is None else self.default
        if isinstance(default, list):
            default = tuple(default)
        if type(default) not in (type(EMPTY[self.type]), self.type):
            raise TypeError(f"{self.name}: the default of type {self.type.__name__} cannot be {default!r}")
        object.__setattr__(self, "default", default)


def normal_paths(values: Sequence[str]) -> str:
    """What is wrong with a list of absolute paths, for the `check` of a setting."""
    wrong = [value for value in values if os.path.normpath(value) != value or not value.startswith("/")]
    return f"must be absolute paths without . or .. or a slash at the end, {wrong[0]!r} is not" if wrong else ""


def names(values: Sequence[str]) -> str:
    """What is wrong with a list of names, for the `check` of a setting: a variable may have left an empty one."""
    return "has an empty word, which names nothing" if "" in values else ""
