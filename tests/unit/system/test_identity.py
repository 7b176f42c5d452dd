# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine is told from its clones, and stays itself on other hardware when a recovery says so."""

from __future__ import annotations

from pathlib import Path

from rear_core.system.identity import NAME, computed, kept, known


def here(tmp_path: Path, machine_id: str, firmware: str) -> str:
    (tmp_path / "id").write_text(f"{machine_id}\n")
    (tmp_path / "firmware").write_text(f"{firmware}\n")
    return computed(tmp_path / "id", tmp_path / "firmware")


def test_a_clone_is_another_machine_though_it_has_the_same_machine_id(tmp_path: Path) -> None:
    own = here(tmp_path, "1a2b", "AAAA-1")
    assert own == here(tmp_path, "1a2b", "aaaa-1") and len(own) == 32
    assert own != here(tmp_path, "1a2b", "AAAA-2")
    assert own != here(tmp_path, "1a2c", "AAAA-1")
    assert "1a2b" not in own


def test_without_anything_to_go_by_no_identity_is_made_up(tmp_path: Path) -> None:
    assert computed(tmp_path / "none", tmp_path / "none") == ""


def test_a_recovered_machine_is_itself_on_other_hardware_and_its_clone_is_not(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(kept("of before", "new hardware"))
    assert known(tmp_path, "new hardware") == "of before"
    assert known(tmp_path, "a clone of it") == "a clone of it"


def test_a_file_that_is_damaged_counts_as_none(tmp_path: Path) -> None:
    for text in ("", "[]", "{}", "null", "\xff"):
        (tmp_path / NAME).write_text(text)
        assert known(tmp_path, "here") == "here"
