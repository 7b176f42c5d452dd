# SPDX-License-Identifier: GPL-3.0-or-later
"""The tree keeps links, modes and what is there already."""

from __future__ import annotations

import os
from pathlib import Path

from rear_core.rescue.tree import Tree, matcher


def test_add_keeps_links_in_directories_and_chains_of_links(tmp_path: Path) -> None:
    machine = tmp_path / "machine"
    (machine / "usr/lib").mkdir(parents=True)
    (machine / "lib").symlink_to("usr/lib")
    (machine / "usr/lib/liba.so.1.2").write_text("code")
    (machine / "usr/lib/liba.so.1").symlink_to("liba.so.1.2")
    tree = Tree(tmp_path / "tree")
    tree.root.mkdir()

    taken = tree.add(machine / "lib/liba.so.1")

    inside = tree.inside(machine)
    assert (inside / "lib").readlink() == Path("usr/lib")
    assert (inside / "usr/lib/liba.so.1").readlink() == Path("liba.so.1.2")
    assert (inside / "lib/liba.so.1").read_text() == "code"
    assert taken == [machine / "usr/lib/liba.so.1.2"]


def test_add_follows_absolute_links_inside_the_machine(tmp_path: Path) -> None:
    (tmp_path / "alternatives").mkdir()
    (tmp_path / "vim.basic").write_text("editor")
    (tmp_path / "alternatives/vi").symlink_to(tmp_path / "vim.basic")
    (tmp_path / "vi").symlink_to(tmp_path / "alternatives/vi")
    tree = Tree(tmp_path / "tree")
    tree.root.mkdir()

    tree.add(tmp_path / "vi")

    assert tree.inside(tmp_path / "vi").is_symlink()
    assert tree.inside(tmp_path / "vim.basic").read_text() == "editor"


def test_add_does_not_replace_what_is_there(tmp_path: Path) -> None:
    source = tmp_path / "profile"
    source.write_text("of the machine")
    tree = Tree(tmp_path / "tree")
    tree.text(os.fspath(source), "of the skeleton")
    tree.add(source)
    assert tree.inside(source).read_text() == "of the skeleton"


def test_add_takes_directories_except_what_is_not_wanted(tmp_path: Path) -> None:
    folder = tmp_path / "rules.d"
    (folder / "below").mkdir(parents=True)
    (folder / "10-a.rules").write_text("a")
    (folder / "below/b").write_text("b")
    (folder / "hwdb.bin").write_text("big")
    tree = Tree(tmp_path / "tree")
    tree.root.mkdir()

    excluded = matcher(["*/hwdb.bin"])
    taken = tree.add(folder, lambda path: not excluded(path))

    assert [path.name for path in taken] == ["10-a.rules", "b"]
    assert not tree.has(folder / "hwdb.bin")


def test_text_is_not_written_through_a_link_to_the_machine(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    tree = Tree(tmp_path / "tree")
    tree.link("/etc/hosts", os.fspath(victim))
    tree.text("/etc/hosts", "127.0.0.1 localhost\n")
    assert victim.read_text() == "precious"
    assert tree.inside("/etc/hosts").read_text() == "127.0.0.1 localhost\n"


def test_inside_follows_absolute_links_of_the_tree_and_not_of_the_machine(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.directory("/run")
    tree.link("/var/run", "/run")
    assert tree.inside("/var/run/sshd") == tmp_path / "run/sshd"


def test_modes_are_kept_and_set(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o4755)
    tree = Tree(tmp_path / "tree")
    tree.root.mkdir()
    tree.add(program)
    tree.text("/etc/shadow", "root:*:::::::\n", 0o600)
    assert tree.inside(program).stat().st_mode & 0o7777 == 0o4755
    assert tree.inside("/etc/shadow").stat().st_mode & 0o7777 == 0o600


def test_a_text_may_have_letters_that_are_no_utf8(tmp_path: Path) -> None:
    Tree(tmp_path).text("/etc/passwd", os.fsdecode(b"games:x:5:60:J\xe9:/:/bin/false\n"))
    assert b"J\xe9" in (tmp_path / "etc/passwd").read_bytes()
