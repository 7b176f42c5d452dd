# SPDX-License-Identifier: GPL-3.0-or-later
"""The shared libraries that programs need, found by asking the dynamic loader itself."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..errors import RearError
from ..shell import Shell
from .elf import Elf, read_elf

# The loader's exit status says whether everything was found; what was not is in its output, which is judged here.
ANY_STATUS = range(-64, 256)
# How glibc's loader ends at the first library that it does not find.
GIVEN_UP = "error while loading shared libraries"


def interpreters_of(script: Path) -> list[str]:
    """The programs that a script starts with: none without `#!`, two for `#!/usr/bin/env python3`."""
    with script.open("rb") as file:
        first = file.readline(256)
    words = first[2:].decode(errors="replace").split() if first.startswith(b"#!") else []
    with_env = words[:1] and words[0].endswith("/env")
    return [word for word in words[: 2 if with_env else 1] if not word.startswith("-")]


def libraries_of(
    sh: Shell, files: Collection[Path], loader: str, directories: Sequence[str] = ()
) -> tuple[set[str], list[str]]:
    """All libraries that the ELF files among `files` load, with the loaders; and what was not found, in words.

    Also those that they open while they run, as far as notes in them say so and they are there. `loader` is asked for
    libraries, which name none themselves: that of a program which loads them. The loader knows RPATH, RUNPATH, its
    cache and its hardware capabilities; no list of directories does. What it does not find is looked for in
    `directories`, as LD_LIBRARY_PATH would name them.
    """
    found, missing = _needed(sh, files, loader, directories)
    seen: set[Path] = set()
    names: set[tuple[str, ...]] = set()
    while new := {*files, *map(Path, found)} - seen:
        seen |= new
        opened = {one for path in new if (elf := read_elf(path)) for one in elf.opened} - names
        names |= opened
        found |= _there(sh, loader, opened)
    return found, missing


def _there(sh: Shell, loader: str, opened: Collection[tuple[str, ...]]) -> set[str]:
    """What of these libraries is on this machine, with all that it needs; of several names the first that is there."""
    firsts = {names[0] for names in opened if names}
    if not firsts:
        return set()
    if (together := _list_names(sh, loader, firsts)) is not None:
        return together
    found = set[str]()
    for names in sorted(opened):
        answers = (_list_names(sh, loader, [name]) for name in names)
        found |= next((answer for answer in answers if answer is not None), set())
    return found


def _needed(sh: Shell, files: Iterable[Path], loader: str, directories: Sequence[str]) -> tuple[set[str], list[str]]:
    programs: list[tuple[str, Path]] = []
    plain: dict[Path, tuple[str, ...]] = {}
    libraries: list[Path] = []
    found: set[str] = set()
    native = read_elf(Path(loader))
    for path in sorted(set(files)):
        elf = read_elf(path)
        # A file of another architecture (a 32-bit library, firmware of a device) cannot be loaded here at all.
        if elf is None or not elf.dynamic or (native and not elf.interpreter and elf.family != native.family):
            continue
        if elf.interpreter:
            found.add(elf.interpreter)
        if elf.interpreter == loader and not elf.search:
            plain[path] = elf.needed
        elif elf.interpreter:
            programs.append((elf.interpreter, path))
        elif elf.needed:
            libraries.append(path)
    answers = [_list_many(sh, loader, libraries, directories)] if libraries else []
    names = {name for needed in plain.values() for name in needed}
    together = _list_names(sh, loader, names) if names else set()
    if together is None:
        programs += ((loader, path) for path in plain)
    else:
        found |= together
    missing: list[str] = []
    with ThreadPoolExecutor(max_workers=4) as pool:
        answers += pool.map(lambda pair: _list(sh, pair[0], pair[1], directories), programs)
    for answer, lacking in answers:
        found |= answer
        missing += lacking
    return found, sorted(missing)


def _list_names(sh: Shell, loader: str, names: Collection[str]) -> set[str] | None:
    """Ask the loader about libraries by name, as programs need them that bring no search path of their own: once, as if
    a program preloaded them all. None if it does not find each, or cannot be asked so."""
    program = sh.which("true")
    if program is None or any(set(name) & set(" :/") for name in names):
        return None
    text = sh.query(loader, "--preload", " ".join(sorted(names)), "--list", program, ok=ANY_STATUS)
    found, missing = _read(text, "")
    named = {line.strip().partition(" => ")[0] for line in text.splitlines()}
    # The loader itself is listed by its path.
    named.add(os.path.basename(loader))
    return found if not missing and named.issuperset(names) else None


def _list(sh: Shell, loader: str, path: Path, directories: Sequence[str]) -> tuple[set[str], list[str]]:
    """Ask the loader about one file: found libraries, and complaints about missing ones."""
    found, missing = _read(_listed(sh, loader, path), os.fspath(path))
    if missing and directories:
        # Only now: these directories would come before the system's own, whose libraries other programs need.
        more, missing = _read(_listed(sh, loader, path, "--library-path", ":".join(directories)), os.fspath(path))
        found |= more
    return found, missing


def _listed(sh: Shell, loader: str, path: Path, *options: str) -> str:
    """What the loader says of a file, also when it does not find everything."""
    outcome = sh.run(loader, *options, "--list", path, timeout=60, ok=ANY_STATUS)
    if GIVEN_UP not in outcome.stderr:
        return outcome.stdout
    # glibc ends its list before it begins; told to trace, as ldd(1) does, it goes on.
    return sh.query(loader, *options, path, env={"LD_TRACE_LOADED_OBJECTS": "1"}, ok=ANY_STATUS)


def _list_many(sh: Shell, loader: str, paths: Sequence[Path], directories: Sequence[str]) -> tuple[set[str], list[str]]:
    """Ask the loader about many libraries at once, as if a program preloaded them all."""
    program = sh.which("true")
    if program is None or any(" " in os.fspath(path) or ":" in os.fspath(path) for path in paths):
        answers = [_list(sh, loader, path, directories) for path in paths]
    else:
        words = " ".join(map(os.fspath, paths))
        found, missing = _read(sh.query(loader, "--preload", words, "--list", program, ok=ANY_STATUS), "")
        if not missing and set(map(os.fspath, paths)) <= found:
            return found - set(map(os.fspath, paths)), []
        # Together the missing one could not be told from its user, or two versions got into each other's way.
        answers = [_list(sh, loader, path, directories) for path in paths]
    return set().union(*(found for found, _ in answers)), [word for _, missing in answers for word in missing]


def _read(text: str, path: str) -> tuple[set[str], list[str]]:
    """Read the answer of a loader.

    ::

        linux-vdso.so.1 (0x00007ffd4a5f1000)
        libsystemd-shared-252.so => /usr/lib/x86_64-linux-gnu/systemd/libsystemd-shared-252.so (0x00007f2c11400000)
        libgone.so.1 => not found
        /lib64/ld-linux-x86-64.so.2 (0x00007f2c11a2b000)
    """
    found, missing = set(), []
    for line in text.splitlines():
        name, arrow, target = line.strip().partition(" => ")
        if target == "not found":
            missing.append(f"{path} needs {name}")
        else:
            place = (target if arrow else name).rpartition(" (0x")[0]
            if place.startswith("/"):
                found.add(place)
    return found, missing


def native_loader(program: Path) -> str:
    """The dynamic loader of a program of this machine, such as the running Python."""
    elf: Elf | None = read_elf(program)
    if elf is None or not elf.interpreter:
        raise RearError(f"{program} is not dynamically linked, so it cannot look up libraries")
    return elf.interpreter
