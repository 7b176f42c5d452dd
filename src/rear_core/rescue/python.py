# SPDX-License-Identifier: GPL-3.0-or-later
"""Python in the rescue system: interpreter, standard library, rear's distributions with metadata, byte code."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from ..errors import ConfigurationError
from .bytecode import place_of_bytecode, unchecked_bytecode
from .tree import OWN_TIME, Tree, copy_file

SITE = "/usr/lib/rear/python"
# Where the packages of distributions have modules, for any Python: what a plugin's program in Python brings along.
PACKAGED = ("/usr/lib/python3*", "/usr/lib64/python3*")

# Parts of the standard library that no recovery imports: tests, graphics, packaging, the interpreter's build files.
LIBRARY_LEFT_OUT = frozenset({
    "__phello__", "__pycache__", "dist-packages", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "site-packages",
    "test", "tests", "tkinter", "turtle.py", "turtledemo", "venv",
})  # fmt: skip
EXTENSION_LEFT_OUT = re.compile(r"(_test|_ctypes_test|_xx|xx|_tkinter|ossaudiodev|_dbm|_gdbm|nis)")
# Tests of a distribution are big and need what is not there; the byte code is compiled again.
PACKAGE_LEFT_OUT = frozenset({"__pycache__", "test", "tests"})
# Tools to install distributions are declared as requirements now and then, but there is nowhere to install from.
NOT_TAKEN = frozenset({"pip", "setuptools", "wheel"})


def interpreter() -> Path:
    """The real path of the running interpreter, outside of any virtual environment."""
    return Path(os.path.realpath(sys.executable))


def shebang() -> str:
    """The first line of a Python script in the rescue system: alone with the standard library, whatever is in the way.

    -I ignores the environment and the current directory, -S leaves out site directories, which do not exist there.
    """
    return f"#!{interpreter()} -IS"


def script(call: str) -> str:
    """A Python program for the rescue system that sees the rear distributions."""
    return f"{shebang()}\nimport sys\nsys.path.insert(0, {SITE!r})\n{call}\n"


@dataclass(frozen=True)
class _Layer:
    """Lays thousands of files into a tree: each directory is resolved only once, each source read only once."""

    tree: Tree
    folders: dict[str, str] = field(default_factory=dict)

    def lay(self, source: str, target: str) -> None:
        """Take one file of this machine; a Python source with its byte code."""
        self._write(target, source)
        if target.endswith(".py") and (code := unchecked_bytecode(source, target)):
            self._write(place_of_bytecode(target), code)

    def lay_compiled(self, source: str, target: str) -> None:
        """Take one file of this machine, of a Python source only the byte code, in the source's place.

        Python imports that as well. It halves the files of the standard library, which nobody edits in a recovery.
        """
        code = unchecked_bytecode(source, target) if target.endswith(".py") else None
        if code:
            self._write(f"{target}c", code)
        else:
            self._write(target, source)

    def _write(self, target: str, what: str | bytes) -> None:
        """Write bytes, or what the file of that name has, unless something is there."""
        folder, name = os.path.split(target)
        if folder not in self.folders:
            self.folders[folder] = os.fspath(self.tree.directory(folder))
        place = f"{self.folders[folder]}/{name}"
        if os.path.lexists(place):
            return
        if isinstance(what, str):
            copy_file(what, place)
        else:
            with open(place, "wb") as file:
                file.write(what)
            os.utime(place, (OWN_TIME, OWN_TIME))


def libraries() -> list[str]:
    """Patterns of folders in the rescue system with modules that nobody on this machine has written."""
    standard = sysconfig.get_paths(vars={"base": sys.base_prefix, "platbase": sys.base_exec_prefix})
    folders = [standard["stdlib"], standard["platstdlib"]]
    return sorted({SITE, *PACKAGED, *(place for path in folders for place in (path, os.path.realpath(path)))})


def add_interpreter(tree: Tree) -> list[Path]:
    """Take the interpreter and its standard library; return the files that need shared libraries."""
    paths = sysconfig.get_paths(vars={"base": sys.base_prefix, "platbase": sys.base_exec_prefix})
    native = tree.add(interpreter())
    tree.link("/usr/bin/python3", os.fspath(interpreter()))
    for library in dict.fromkeys((paths["stdlib"], paths["platstdlib"])):
        tree.add_place(library)
        native += _add_library(_Layer(tree), os.path.realpath(library))
    return native


def _add_library(layer: _Layer, library: str) -> list[Path]:
    native = []
    for path in _files(library, LIBRARY_LEFT_OUT):
        name = os.path.basename(path)
        if path.startswith(f"{library}/config-") or name.endswith((".a", ".exe", ".pyc")):
            continue
        if _is_extension(name):
            if EXTENSION_LEFT_OUT.match(name):
                continue
            native.append(Path(path))
        layer.lay_compiled(path, path)
    return native


def _is_extension(name: str) -> bool:
    return name.endswith(".so") or ".so." in name


def _files(folder: str, left_out: frozenset[str]) -> Iterator[str]:
    """All files below a folder in a fixed order, except what is left out by name."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name in left_out:
                continue
            if entry.is_dir():
                yield from _files(entry.path, left_out)
            elif entry.is_file():
                yield entry.path


def with_requirements(names: Iterable[str]) -> list[metadata.Distribution]:
    """The installed distributions of these names and all that they require, sorted by name.

    A requirement that is not installed must be one for another platform or an option, by its marker; otherwise
    `ConfigurationError` names it.
    """
    todo = [(name, "") for name in names]
    found: dict[str, metadata.Distribution] = {}
    while todo:
        name, needed_by = todo.pop()
        key = canonical(name)
        if key in found or key in NOT_TAKEN:
            continue
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            user = f", which {needed_by} needs," if needed_by else ""
            raise ConfigurationError(
                f"the Python distribution {name}{user} is not installed", "`pip check` names everything that is missing"
            ) from None
        found[key] = distribution
        todo += [(required, name) for required in _requirements(distribution)]
    return [found[key] for key in sorted(found)]


def _requirements(distribution: metadata.Distribution) -> Iterator[str]:
    for requirement in distribution.requires or ():
        wanted, _, marker = requirement.partition(";")
        matched = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", wanted.strip())
        if not matched or re.search(r"\bextra\b", marker):
            continue
        # What the installer took for this platform is there; what is not there has a marker that says why.
        if not marker or _is_installed(matched[0]):
            yield matched[0]


def _is_installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def canonical(name: str) -> str:
    """A distribution's name as all tools compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def add_distribution(tree: Tree, distribution: metadata.Distribution) -> list[Path]:
    """Take a distribution's packages and metadata to rear's site directory; return what needs shared libraries.

    Packages are found the way Python imports them: that is right for wheels, for a distribution's own packages
    without a list of files, and for editable installations of either kind.
    """
    native: list[Path] = []
    layer = _Layer(tree)
    for name in _top_level(distribution):
        for source in _locations(distribution, name):
            native += _add_package(layer, source)
    folder = f"{SITE}/{canonical(distribution.metadata['Name']).replace('-', '_')}-{distribution.version}.dist-info"
    described = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    tree.text(f"{folder}/METADATA", described)
    tree.text(f"{folder}/entry_points.txt", distribution.read_text("entry_points.txt") or "")
    return native


def _top_level(distribution: metadata.Distribution) -> list[str]:
    """The names that a distribution puts on the search path."""
    names = set((distribution.read_text("top_level.txt") or "").split())
    for file in distribution.files or ():
        head = file.parts[0]
        if len(file.parts) > 1 and not head.startswith((".", "/")):
            names.add(head)
        elif len(file.parts) == 1 and head.endswith((".py", ".so")):
            names.add(head.partition(".")[0])
    names |= {entry.value.partition(":")[0].partition(".")[0].strip() for entry in distribution.entry_points}
    unwanted = re.compile(r".*\.(dist-info|egg-info|pth|data)|__pycache__|__editable__.*|bin")
    return sorted(name for name in names if name and not unwanted.fullmatch(name)) or [
        canonical(distribution.metadata["Name"]).replace("-", "_")
    ]


def _locations(distribution: metadata.Distribution, name: str) -> list[Path]:
    """Where a top-level name is: directories of a package, or the file of a module."""
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    if spec and spec.submodule_search_locations:
        return [Path(place) for place in spec.submodule_search_locations]
    if spec and spec.origin and spec.has_location:
        return [Path(spec.origin)]
    # A folder of libraries that the package's extensions bring along (acme.libs).
    beside = Path(str(distribution.locate_file(name)))
    return [beside] if beside.is_dir() else []


def _add_package(layer: _Layer, source: Path) -> list[Path]:
    native = []
    above = len(os.fspath(source.parent))
    for path in [os.fspath(source)] if source.is_file() else _files(os.fspath(source), PACKAGE_LEFT_OUT):
        layer.lay(path, SITE + path[above:])
        if _is_extension(os.path.basename(path)):
            native.append(Path(path))
    return native
