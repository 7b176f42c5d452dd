# SPDX-License-Identifier: GPL-3.0-or-later
"""The rescue system's files for the boot menu of the machine: whole, for root alone, never without one that works."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from rear_core import RescueImage
from rear_core.builtin import boot_menu
from rear_core.errors import Refused


def image(folder: Path, text: str = "x") -> RescueImage:
    (folder / "vmlinuz").write_text("kernel")
    (folder / "initramfs").write_text(text)
    return RescueImage(folder / "vmlinuz", folder / "initramfs", "6.1", "quiet")


def test_files_are_copied_for_root_alone_under_names_that_tell_their_contents(tmp_path: Path) -> None:
    folder = tmp_path / "rear"
    with ExitStack() as undo:
        first = boot_menu.place(image(tmp_path), undo, folder)
    assert first.initramfs.read_text() == "x" and first.kernel.read_text() == "kernel"
    assert (folder.stat().st_mode & 0o777, first.initramfs.stat().st_mode & 0o777) == (0o700, 0o600)
    with ExitStack() as undo:
        again, other = (
            boot_menu.place(image(tmp_path), undo, folder),
            boot_menu.place(image(tmp_path, "y"), undo, folder),
        )
    assert again == first != other
    # The menu names the first until it names the other.
    assert first.initramfs.read_text() == "x" and other.initramfs.read_text() == "y"


def test_after_a_failure_only_what_was_there_before_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "rear"
    with ExitStack() as undo:
        first = boot_menu.place(image(tmp_path), undo, folder)
    with pytest.raises(OSError), ExitStack() as undo:
        boot_menu.place(image(tmp_path, "y"), undo, folder)
        raise OSError
    assert {*folder.iterdir()} == {first.kernel, first.initramfs}


def test_files_of_others_in_that_folder_are_not_ours(tmp_path: Path) -> None:
    folder = tmp_path / "rear"
    with ExitStack() as undo:
        placed = boot_menu.place(image(tmp_path), undo, folder)
    (folder / "vmlinuz-6.1.0-13-amd64").write_text("somebody's")
    assert {*boot_menu.own_files(folder)} == {placed.kernel, placed.initramfs}
    assert boot_menu.own_files(tmp_path / "none") == []


def test_without_room_nothing_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage(NamedTuple):
        total: int
        used: int
        free: int

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1 << 20, 0, 1 << 20))
    with pytest.raises(Refused, match="needs 4 MiB, and has 1 MiB"), ExitStack() as undo:
        boot_menu.place(image(tmp_path), undo, tmp_path / "rear")
    assert not [*(tmp_path / "rear").iterdir()]
