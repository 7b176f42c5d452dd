# SPDX-License-Identifier: GPL-3.0-or-later
"""A passphrase is typed by the keyboard layout of the machine, however its distribution keeps that."""

from __future__ import annotations

import gzip
import os
import pty
import shutil
import subprocess
from pathlib import Path

import pytest

from rear_core import ProgramFailed, Run, questions
from rear_core.rescue.keymap import add_keymap
from rear_core.rescue.tree import Tree
from rear_core.shell import Argument, Shell

GERMAN = "keycode 21 = z Z\nkeycode 44 = y Y\n"


class Converting(Shell):
    """Has a ckbcomp that prints what it is asked for."""

    def which(self, program: str) -> Path | None:
        return Path("/usr/bin/ckbcomp") if program == "ckbcomp" else None

    def query(self, *argv: Argument, **_options: object) -> str:
        return f"# {' '.join(map(str, argv))}\nkeycode 21 = z Z\n"


class Lacking(Shell):
    """Has no ckbcomp."""

    def which(self, program: str) -> Path | None:
        return None


def taken(tmp_path: Path, files: dict[str, str], sh: Shell | None = None, warnings: list[str] | None = None) -> Tree:
    """What the rescue system has of a machine with these files."""
    machine, tree = tmp_path / "machine", Tree(tmp_path / "tree")
    tree.root.mkdir()
    for name, text in files.items():
        path = machine / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    machine.mkdir(exist_ok=True)
    add_keymap(sh or Shell(), tree, warnings.append if warnings is not None else pytest.fail, machine)
    return tree


def name_of(tree: Tree) -> str:
    return tree.inside("/etc/rear/keymap-name").read_text() if tree.has("/etc/rear/keymap-name") else ""


def test_what_console_setup_keeps_is_there_in_plain(tmp_path: Path) -> None:
    files = {
        "etc/console-setup/cached_UTF-8_del.kmap.gz": GERMAN,
        "etc/default/keyboard": '# KEYBOARD\nXKBMODEL="pc105"\nXKBLAYOUT="de,us"\nXKBVARIANT=""\n',
    }
    tree = taken(tmp_path, files)
    # The init of the rescue system looks for this very name.
    assert tree.inside("/etc/rear/keymap").read_text() == GERMAN
    assert name_of(tree) == "de\n"


@pytest.mark.parametrize(
    ("settings", "file", "name"),
    [
        ({"etc/vconsole.conf": 'KEYMAP="de-nodeadkeys"\nFONT=x\n'}, "xkb/de-nodeadkeys.map.gz", "de-nodeadkeys"),
        (
            {"etc/vconsole.conf": "KEYMAP=gone\nXKBLAYOUT=de\nXKBVARIANT=nodeadkeys\n"},
            "xkb/de-nodeadkeys.map.gz",
            "de-nodeadkeys",
        ),
        ({"etc/vconsole.conf": "XKBLAYOUT=de\nXKBVARIANT=odd\n"}, "i386/qwertz/de.map", "de"),
        ({"etc/X11/xorg.conf.d/00-keyboard.conf": '  Option "XkbLayout" "de,us"\n'}, "i386/qwertz/de.map", "de"),
        ({"etc/vconsole.conf": "KEYMAP=de-latin1\n"}, "i386/qwertz/de-latin1.kmap.gz", "de-latin1"),
    ],
)
def test_layouts_of_other_distributions_come_with_what_they_include(
    tmp_path: Path, settings: dict[str, str], file: str, name: str
) -> None:
    folder = "usr/lib/kbd/keymaps"
    files = {
        f"{folder}/xkb/de-nodeadkeys.map.gz": GERMAN,
        f"{folder}/i386/qwertz/de-latin1.kmap.gz": GERMAN,
        f"{folder}/i386/qwertz/de.map": f'include "part"\n{GERMAN}',
        f"{folder}/i386/include/part.inc": "keycode 2 = one exclam\n",
        f"{folder}/i386/qwerty/us.map.gz": "keycode 21 = y Y\n",
    }
    tree = taken(tmp_path, {**files, **settings})
    machine = tmp_path / "machine"
    assert tree.inside("/etc/rear/keymap").read_text() == f'include "{machine}/{folder}/{file}"\n'
    assert tree.has(f"{machine}/{folder}/{file}") and tree.has(f"{machine}/{folder}/i386/include/part.inc")
    assert name_of(tree) == f"{name}\n"
    assert "qwerty/us.map.gz" in tree.inside("/etc/rear/keymap-us").read_text()
    if shutil.which("loadkeys"):
        subprocess.run(["loadkeys", "--parse", tree.inside("/etc/rear/keymap")], check=True, capture_output=True)


def test_a_layout_of_x11_alone_is_converted(tmp_path: Path) -> None:
    files = {"etc/default/keyboard": 'XKBMODEL="pc105"\nXKBLAYOUT="fr"\nXKBVARIANT="oss"\nXKBOPTIONS="a,b"\n'}
    tree = taken(tmp_path, files, Converting())
    assert (
        tree.inside("/etc/rear/keymap")
        .read_text()
        .startswith("# ckbcomp -model pc105 -layout fr -variant oss -option a,b\n")
    )
    assert name_of(tree) == "fr-oss\n"
    assert tree.inside("/etc/rear/keymap-us").read_text().startswith("# ckbcomp -layout us\n")


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("", ""),
        ("KEYMAP=\n", ""),
        ("KEYMAP=us\n", ""),
        ("KEYMAP=../../etc/shadow\n", "../../etc/shadow"),
        ("KEYMAP=gone\n", "gone"),
        ("XKBLAYOUT=de\n", "de"),
    ],
)
def test_a_machine_without_a_layout_has_that_of_the_kernel(tmp_path: Path, text: str, missing: str) -> None:
    warnings: list[str] = []
    tree = taken(tmp_path, {"etc/vconsole.conf": text}, Lacking(), warnings)
    assert not tree.has("/etc/rear/keymap") and not name_of(tree)
    # Whoever types a passphrase has to know.
    assert [missing in warning for warning in warnings] == ([True] if missing else [])


def test_a_passphrase_is_asked_for_with_the_name_of_the_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "name").write_text("de\n")
    monkeypatch.setattr(questions, "KEYMAP_NAME", f"{tmp_path}/name")
    monkeypatch.setattr(questions, "_line", lambda _run, question, **_: question)
    run = object.__new__(Run)
    for terminal, begin in ("/dev/tty1", "(keyboard layout: de)"), ("/dev/console", "(key"), ("/dev/ttyS0", "Pass"):
        monkeypatch.setattr(os, "ttyname", lambda _number, terminal=terminal: terminal)
        with os.fdopen(pty.openpty()[1], "r") as stdin:
            monkeypatch.setattr("sys.stdin", stdin)
            assert questions.ask_secret(run, "Passphrase: ").startswith(begin)


class Failing(Converting):
    """Its ckbcomp does not know the layout."""

    def query(self, *argv: Argument, **_options: object) -> str:
        raise ProgramFailed([str(word) for word in argv], 1, "unknown layout")


@pytest.mark.parametrize("is_cut", [False, True])
def test_a_layout_that_cannot_be_read_keeps_no_media_from_being_made(tmp_path: Path, is_cut: bool) -> None:
    warnings: list[str] = []
    cached = tmp_path / "machine/etc/console-setup/cached_UTF-8_del.kmap.gz"
    if is_cut:
        cached.parent.mkdir(parents=True)
        cached.write_bytes(gzip.compress(GERMAN.encode())[:20])
    tree = taken(tmp_path, {"etc/default/keyboard": "XKBLAYOUT=xx\n"}, Failing(), warnings)
    assert len(warnings) == 1 and warnings[0].startswith(
        "the rescue system has no keyboard layout but that of the US: "
    )
    assert not tree.has("/etc/rear/keymap")
