# SPDX-License-Identifier: GPL-3.0-or-later
"""Proves that a tree is a rescue system: libraries are found, programs are there, Python and the plugins import."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ..errors import RearError
from ..shell import SEARCH_PATH, Shell
from .elf import Elf, read_elf
from .libraries import ANY_STATUS
from .python import SITE, interpreter
from .tree import Tree

CACHE = "/etc/ld.so.cache"
DEFAULT_PLACES = ("/lib64", "/usr/lib64", "/lib", "/usr/lib")


def write_loader_cache(sh: Shell, tree: Tree) -> None:
    """Give the tree a loader cache of its own, so that libraries outside the default places are found."""
    if sh.which("ldconfig") is None:
        return
    sh.run("ldconfig", "-r", tree.root, "-X")
    # The helper cache holds times and inode numbers of this machine.
    tree.inside("/var/cache/ldconfig/aux-cache").unlink(missing_ok=True)


def missing_libraries(sh: Shell, tree: Tree, directories: Sequence[str] = ()) -> list[str]:
    """What ELF files of the tree need and do not find in the tree: `/usr/bin/x needs liby.so.1`.

    The needed names are resolved here, by a second way than the one by which the libraries came in. Only for names
    that this does not find, because another library's search path provides them, the loader is asked in the tree;
    it also looks in `directories`.
    """
    known = _cached_names(sh, tree)
    suspects: list[tuple[str, Elf, list[str]]] = []
    for path in _files(tree.root):
        elf = read_elf(path)
        if elf is None:
            continue
        inside = f"/{path.relative_to(tree.root)}"
        lacking = [name for name in elf.needed if not _resolves(tree, inside, elf, name, known)]
        if elf.interpreter and not tree.has(elf.interpreter):
            lacking.append(elf.interpreter)
        if lacking:
            suspects.append((inside, elf, lacking))
    native = read_elf(interpreter())
    return [
        f"{inside} needs {', '.join(lacking)}"
        for inside, elf, lacking in suspects
        if native is None or elf.family == native.family
        if not (native and _loads_in_tree(sh, tree, inside, elf.interpreter or native.interpreter, directories))
    ]


def _cached_names(sh: Shell, tree: Tree) -> frozenset[str]:
    """Names of the libraries in the tree's loader cache that are really in the tree.

    ::

        libz.so.1 (libc6,x86-64) => /lib/x86_64-linux-gnu/libz.so.1
    """
    if not tree.inside(CACHE).is_file():
        places = [tree.inside(place) for place in DEFAULT_PLACES]
        return frozenset(path.name for place in places if place.is_dir() for path in place.iterdir())
    names = set()
    for line in sh.query("ldconfig", "-p", "-C", tree.inside(CACHE)).splitlines():
        name, arrow, path = line.strip().partition(" => ")
        if arrow and _is_there(tree, path):
            names.add(name.partition(" ")[0])
    return frozenset(names)


def _resolves(tree: Tree, inside: str, elf: Elf, name: str, known: frozenset[str]) -> bool:
    if name in known:
        return True
    if "/" in name:
        return _is_there(tree, name)
    origin = os.path.dirname(inside)
    places = [place.replace("${ORIGIN}", origin).replace("$ORIGIN", origin) for place in elf.search]
    return any(_is_there(tree, f"{place}/{name}") for place in places)


def _is_there(tree: Tree, path: str, depth: int = 0) -> bool:
    """Whether a path leads to a file inside the tree, links followed inside."""
    place = tree.inside(path)
    if place.is_symlink() and depth < 10:
        return _is_there(tree, os.path.join(os.path.dirname(path), os.readlink(place)), depth + 1)
    return place.is_file()


def _loads_in_tree(sh: Shell, tree: Tree, inside: str, loader: str, directories: Sequence[str]) -> bool:
    if not tree.has(loader):
        return False
    option = ("--library-path", ":".join(directories)) if directories else ()
    text = sh.query("chroot", tree.root, loader, *option, "--list", inside, ok=ANY_STATUS)
    return bool(text) and "not found" not in text


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(place, name)
            if path.is_file() and not path.is_symlink():
                yield path


def missing_programs(tree: Tree, programs: Iterable[str]) -> list[str]:
    """Which programs, by name or absolute path, are not in the tree."""
    return [name for name in programs if not any(_is_there(tree, path) for path in _places_of(name))]


def _places_of(program: str) -> list[str]:
    return [program] if program.startswith("/") else [f"{place}/{program}" for place in SEARCH_PATH.split(":")]


def check_python(sh: Shell, tree: Tree, modules: Sequence[str]) -> None:
    """Import the command line and the modules of the selected plugins inside the tree, in one process."""
    lines = [
        f"import sys; sys.path.insert(0, {SITE!r})",
        "import importlib",
        "from importlib import metadata",
        "import rear_core.cli, rear_core.builtin",
        "rear_core.builtin.modules()",
        f"for name in {list(modules)!r}: importlib.import_module(name)",
        "points = [e for d in metadata.distributions() for e in d.entry_points if e.group.startswith('rear.')]",
        f"lost = set({list(modules)!r}) - {{e.value.partition(':')[0] for e in points}}",
        "sys.exit('no entry point for ' + ', '.join(sorted(lost)) if lost else 0)",
    ]
    outcome = sh.run("chroot", tree.root, interpreter(), "-IS", "-c", "\n".join(lines), ok=ANY_STATUS)
    if outcome.status != 0:
        last = (outcome.output.splitlines() or [f"exit status {outcome.status}"])[-1]
        raise RearError(
            f"Python or a plugin does not work inside the rescue system: {last}",
            "a plugin may need a file or distribution that it does not declare; see the log for the full message",
        )
