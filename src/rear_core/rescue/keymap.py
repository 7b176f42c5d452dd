# SPDX-License-Identifier: GPL-3.0-or-later
"""The keyboard layout of this machine's consoles, as loadkeys of the rescue system reads it."""

from __future__ import annotations

import gzip
import os
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ..errors import ProgramFailed
from ..questions import KEYMAP_NAME, KEYMAP_US
from ..shell import Shell
from .tree import Tree

# Where the rescue system has it.
PLACE = "/etc/rear/keymap"
# How the files of layouts end, and what distributions call their folder (loadkeys(1)).
ENDS = (".map", ".map.gz", ".kmap", ".kmap.gz")
FOLDERS = ("usr/share/kbd/keymaps", "usr/lib/kbd/keymaps", "lib/kbd/keymaps", "usr/share/keymaps")
# vconsole.conf(5); keyboard(5); the file that localectl(1) writes for X11.
VCONSOLE, KEYBOARD, X11 = "etc/vconsole.conf", "etc/default/keyboard", "etc/X11/xorg.conf.d/00-keyboard.conf"
# The words of X11, and the options of ckbcomp(1) for them.
XKB = {"XKBMODEL": "-model", "XKBLAYOUT": "-layout", "XKBVARIANT": "-variant", "XKBOPTIONS": "-option"}


def add_keymap(sh: Shell, tree: Tree, warn: Callable[[str], object], root: Path = Path("/")) -> None:
    """Take the layout of the machine whose files lie below `root`, and that of the US beside it.

    Where the machine has none, or none that can be read, the rescue system has that of the kernel, which is of the US.
    """
    try:
        missing = _add_keymap(sh, tree, root)
        reason = missing and f"none of this machine is called {missing}; install one for consoles (kbd, console-setup)"
    except (ProgramFailed, OSError, EOFError, zlib.error) as error:
        reason = error.message if isinstance(error, ProgramFailed) else str(error)
    if reason:
        warn(f"the rescue system has no keyboard layout but that of the US: {reason}")


def _add_keymap(sh: Shell, tree: Tree, root: Path) -> str:
    """Add what is found; the name of a layout that is configured and not found, else ""."""
    layout = xkb(root)
    name = "-".join(filter(None, (layout.get("XKBLAYOUT", ""), layout.get("XKBVARIANT", ""))))
    found, keymap = name or "as configured", _cached(root)
    names = [each for each in (_values(root / VCONSOLE).get("KEYMAP"), name, layout.get("XKBLAYOUT")) if each]
    for wanted in names:
        if not keymap:
            found, keymap = wanted, _of_folders(tree, root, wanted)
    if not keymap and name not in ("", "us"):
        found, keymap = name, _converted(sh, layout)
    if keymap:
        tree.data(PLACE, keymap)
        tree.text(KEYMAP_NAME, f"{found}\n")
        if other := _of_folders(tree, root, "us") or _converted(sh, {"XKBLAYOUT": "us"}):
            tree.data(KEYMAP_US, other)
    return "" if keymap or set(names) <= {"us"} else names[0]


def _cached(root: Path) -> bytes:
    """What console-setup keeps for the start of the machine."""
    for path in sorted(root.glob("etc/console-setup/cached_UTF-8_del.kmap*")):
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return b""


def _of_folders(tree: Tree, root: Path, name: str) -> bytes:
    """The layout of that name, which comes along with all parts of layouts."""
    file = _file(root, name)
    if file is None:
        return b""
    for path in (file, *_included(file)):
        tree.add(path)
    return f'include "{file}"\n'.encode()


def _converted(sh: Shell, layout: Mapping[str, str]) -> bytes:
    """A layout of X11 as one for consoles, where the machine has console-setup's program for that."""
    if not sh.which("ckbcomp"):
        return b""
    words = [word for name in XKB if (value := layout.get(name)) for word in (XKB[name], value)]
    return sh.query("ckbcomp", *words).encode()


def xkb(root: Path) -> dict[str, str]:
    """The layout of the keyboard in the words of X11; only the first of several, which is active at first."""
    of_console = {name: value for name, value in _values(root / VCONSOLE).items() if name in XKB}
    found = of_console or _values(root / KEYBOARD) or _of_x11(root / X11)
    firsts = ("XKBLAYOUT", "XKBVARIANT")
    return {name: value.partition(",")[0] if name in firsts else value for name, value in found.items() if name in XKB}


def _values(path: Path) -> dict[str, str]:
    """The assignments of a file in the style of os-release."""
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return {}
    return {name: value.strip("\"' \t") for name, value in re.findall(r"^[ \t]*(\w+)=([^#\n]*)", text, re.MULTILINE)}


def _of_x11(path: Path) -> Mapping[str, str]:
    """Option "XkbLayout" "de" (xorg.conf(5))."""
    try:
        found = re.findall(r'^\s*Option\s+"(Xkb\w+)"\s+"([^"]*)"', path.read_text(errors="replace"), re.MULTILINE)
    except OSError:
        return {}
    return {name.upper(): value for name, value in found}


def _file(root: Path, name: str) -> Path | None:
    """The file of a layout."""
    if not re.fullmatch(r"[\w.+-]+", name):
        return None
    found = (path for folder in FOLDERS for path in sorted((root / folder).rglob(f"{name}.*map*")))
    return next((path for path in found if path.name in [f"{name}{end}" for end in ENDS]), None)


def _included(file: Path) -> Iterator[Path]:
    """The folders that parts of layouts are in, beside a file or above it."""
    top = next(folder for folder in file.parents if os.fspath(folder).endswith("keymaps"))
    yield from (folder for folder in sorted(top.rglob("include")) if folder.is_dir())
