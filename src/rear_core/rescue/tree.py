# SPDX-License-Identifier: GPL-3.0-or-later
"""The tree of the rescue system on disk: files of this machine laid at the same place, links kept as links."""

from __future__ import annotations

import fnmatch
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..trees import below

MAX_LINKS = 40
# Files of our own bear one time, so that a tree built again is the same.
OWN_TIME = 0


def everything(path: str) -> bool:
    """Nothing is left out."""
    return True


@dataclass(frozen=True)
class Tree:
    """A tree below `root`. What is there already is never replaced by `add`: skeletons and scripts win.

    Files are copied and not linked: a script that edits a file in the tree must not edit the machine's own.
    """

    root: Path

    def inside(self, path: str | os.PathLike[str]) -> Path:
        """Where an absolute path of the rescue system lies on this machine, following the tree's own links."""
        return self.root / self._resolve(os.fspath(path)).lstrip("/")

    def has(self, path: str | os.PathLike[str]) -> bool:
        """Whether the tree has a file, directory or link at that place."""
        return os.path.lexists(self.inside(path))

    def add(self, path: str | os.PathLike[str], wanted: Callable[[str], bool] = everything) -> list[Path]:
        """Take a file, link or directory of this machine, with the links on the way and what they lead to.

        Below a directory only paths are taken that are `wanted`. Returns the regular files that the path stands for.
        """
        real = self._follow(os.fspath(path))
        taken = list(_walk(real, wanted)) if os.path.isdir(real) else [real]
        for each in taken:
            self._copy(each)
        return [Path(each) for each in taken if os.path.isfile(each) and not os.path.islink(each)]

    def add_place(self, path: str | os.PathLike[str]) -> None:
        """Take a directory of this machine without what is in it, with the links on the way."""
        self._copy(self._follow(os.fspath(path)))

    def add_as(self, source: Path, path: str | os.PathLike[str]) -> None:
        """Take a file of this machine to another place of the tree."""
        target = self.inside(path)
        if not os.path.lexists(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            copy_file(os.fspath(source), os.fspath(target))

    def directory(self, path: str, mode: int = 0o755) -> Path:
        """An own directory."""
        target = self.inside(path)
        target.mkdir(parents=True, exist_ok=True)
        target.chmod(mode)
        return target

    def text(self, path: str, text: str, mode: int = 0o644) -> None:
        """An own file; replaces one that is there."""
        self.data(path, text.encode(errors="surrogateescape"), mode)

    def data(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """An own file of bytes; replaces one that is there."""
        target = self.inside(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(target):
            target.unlink()
        with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        target.chmod(mode)
        os.utime(target, (OWN_TIME, OWN_TIME))

    def link(self, path: str, to: str) -> None:
        """An own symbolic link; one that is there stays."""
        target = self.inside(path)
        if not os.path.lexists(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(to)

    def _resolve(self, path: str) -> str:
        """An absolute path of the rescue system with the tree's links in its directories followed."""
        return _followed(path, os.fspath(self.root), lambda _: None, last=False)

    def _follow(self, path: str) -> str:
        """Walk a path of this machine, make its directories and links in the tree, return where it ends."""
        return _followed(path, "", self._copy, last=True)

    def _copy(self, path: str) -> None:
        """Copy one file, link or directory (without what is below it) to its place, unless it is there."""
        target = os.path.join(self.root, path.lstrip("/"))
        if os.path.lexists(target):
            return
        found = os.lstat(path)
        if not os.path.isdir(os.path.dirname(target)):
            self._copy(os.path.dirname(path))
        if stat.S_ISDIR(found.st_mode):
            os.mkdir(target)
            os.chmod(target, stat.S_IMODE(found.st_mode))
        elif stat.S_ISLNK(found.st_mode):
            os.symlink(os.readlink(path), target)
        elif stat.S_ISREG(found.st_mode):
            copy_file(path, target)


def copy_file(source: str, target: str) -> None:
    """Copy the content, mode and time of a file to a place where nothing is."""
    shutil.copyfile(source, target)
    found = os.stat(source)
    os.chmod(target, stat.S_IMODE(found.st_mode))
    os.utime(target, ns=(found.st_mtime_ns, found.st_mtime_ns))


def _walk(top: str, wanted: Callable[[str], bool]) -> Iterator[str]:
    """A directory and all below it that is wanted, parents first, in a fixed order."""
    yield top
    for entry in below(top, lambda entry: wanted(entry.path)):
        yield entry.path


def matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Whether a path matches one of the shell patterns, or lies below a directory that does."""
    plain = [pattern.rstrip("/") for pattern in patterns]

    def matches(path: str) -> bool:
        return any(fnmatch.fnmatchcase(path, pattern) or path.startswith(f"{pattern}/") for pattern in plain)

    return matches


def _followed(path: str, root: str, passing: Callable[[str], None], *, last: bool) -> str:
    """Where an absolute path below `root` ends when links on the way are followed, and its `last` part if it is one.

    `passing` is told each link that was followed and each directory.
    """
    todo = _parts(path)
    done, links = "", 0
    while todo:
        part = todo.pop()
        if part == "..":
            done = done.rpartition("/")[0]
            continue
        here = f"{done}/{part}"
        if (todo or last) and os.path.islink(root + here) and links < MAX_LINKS:
            links += 1
            passing(here)
            to = os.readlink(root + here)
            if to.startswith("/"):
                done = ""
            todo += _parts(to)
            continue
        if todo:
            passing(here)
        done = here
    return done or "/"


def _parts(path: str) -> list[str]:
    """The parts of a path, the first one last."""
    return [part for part in path.split("/") if part not in ("", ".")][::-1]
