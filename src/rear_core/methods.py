# SPDX-License-Identifier: GPL-3.0-or-later
"""Several backup methods of one machine: which of them saves what.

BACKUP names them, BACKUP_PARTS gives folders to all but the first, which saves the rest.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .errors import ConfigurationError, Refused

if TYPE_CHECKING:
    from .run import Run


@dataclass(frozen=True)
class Portion:
    """What one of several methods saves: all whose owner it is. `owners` are the methods by the folders they have."""

    method: str
    owners: Mapping[str, str]

    @property
    def is_first(self) -> bool:
        """Whether it saves what no other method does."""
        return self.owners["/"] == self.method

    @property
    def folders(self) -> list[str]:
        """The folders that it has by name."""
        return [folder for folder, method in self.owners.items() if method == self.method]

    @property
    def others(self) -> dict[str, str]:
        """The folders inside of its own ones that other methods have."""
        return {
            folder: method
            for folder, method in self.owners.items()
            if method != self.method and folder != "/" and self.owner(folder.rpartition("/")[0]) == self.method
        }

    def owner(self, path: str) -> str:
        """The method that saves a path: that of the longest folder around it."""
        around = (folder for folder in self.owners if f"{path}/".startswith(f"{folder.rstrip('/')}/"))
        return self.owners[max(around, key=len)]

    def saves(self, path: str) -> bool:
        """Whether this method saves a path."""
        return self.owner(path) == self.method


def chosen(methods: Sequence[str], only: str) -> Sequence[str]:
    """The methods that are to work: those of BACKUP, or the one of them that was asked for."""
    found = [method for method in methods if not only or method.lower() == only.lower()]
    if not found and only:
        raise ConfigurationError(f"BACKUP does not name {only}", f"it names {' '.join(methods)}")
    return found or ("",)


def portions(methods: Sequence[str], parts: Iterable[str]) -> dict[str, Portion]:
    """What each method saves, by its name; nothing where there is but one. Raises `ConfigurationError`."""
    spelled = {method.lower(): method for method in methods}
    if len(spelled) < len(methods):
        raise ConfigurationError(f"BACKUP names a method twice: {' '.join(methods)}", "name each once")
    owners = {"/": methods[0]} if methods else {}
    for part in parts:
        name, colon, folder = part.partition(":")
        if not colon or not folder.startswith("/") or folder == "/":
            raise ConfigurationError(f"BACKUP_PARTS has {part!r}", "write METHOD:/folder, as in ( RESTIC:/srv )")
        if os.path.normpath(folder) != folder:
            raise ConfigurationError(f"BACKUP_PARTS has {part!r}", f"write {name}:{os.path.normpath(folder)}")
        if name.lower() not in spelled:
            raise ConfigurationError(f"BACKUP_PARTS has {part}, but BACKUP does not name {name}", "add it there")
        if folder in owners:
            raise ConfigurationError(f"BACKUP_PARTS names {folder} twice", "give it to one method")
        owners[folder] = spelled[name.lower()]
    if idle := [method for method in methods if method not in owners.values()]:
        raise ConfigurationError(
            f"BACKUP names {idle[0]}, but no folder is for it to save",
            f"{methods[0]}, the first one, saves the rest: add BACKUP_PARTS+=( {idle[0]}:/folder )",
        )
    return {method: Portion(method, owners) for method in methods} if len(methods) > 1 else {}


@contextmanager
def working(run: Run, label: str) -> Iterator[None]:
    """A block in which a plugin does a step: where it is one of several methods, for its own portion and with the
    backup that it has found itself."""
    portion = run.portions.get(label)
    if portion is None:
        yield
        return
    run.portion, run.backup, listed = portion, run.backups.get(label), len(run.kept)
    try:
        yield
    finally:
        run.kept[listed:] = [replace(kept, method=portion.method) for kept in run.kept[listed:]]
        run.backups[label] = run.backup
        run.portion, run.backup = None, run.backups.get(next(iter(run.portions)))


def of_paths(run: Run, paths: Sequence[str]) -> str:
    """The one of several methods that saves these paths, "" where there is but one; `Refused` for those of several."""
    for portion in run.portions.values():
        inside = {
            folder: method
            for folder, method in portion.owners.items()
            if any(f"{folder}/".startswith(f"{path.rstrip('/')}/") for path in paths)
        }
        methods = {path: portion.owner(path) for path in paths} | inside
        if len({*methods.values()}) > 1:
            listed = ", ".join(f"{path} by {method}" for path, method in methods.items())
            raise Refused(f"several methods save these: {listed}", "restore them one after the other")
        return methods[paths[0]]
    return ""
