# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of a program that failed."""

from __future__ import annotations

from pathlib import Path

from rear_core import own_files
from rear_core.errors import ProgramFailed


def test_the_reason_is_said_and_not_where_else_to_look() -> None:
    printed = (
        "mount: /mnt: unknown filesystem type 'iso9660'.\n"
        "       dmesg(1) may have more information after failed mount system call.\n\n"
    )
    error = ProgramFailed(["mount", "/dev/sr0", "/mnt"], 32, printed)
    assert error.message == "mount failed (exit status 32): mount: /mnt: unknown filesystem type 'iso9660'."
    assert error.output == printed


def test_a_program_that_printed_nothing_is_named_with_its_status() -> None:
    assert ProgramFailed(["true"], 1, "").message == "true failed (exit status 1)"


def test_the_advice_for_a_description_fits_why_it_cannot_be_read(tmp_path: Path) -> None:
    for error, message, hint in (
        (PermissionError(13, "Permission denied"), "Permission denied", "sudo"),
        (FileNotFoundError(2, "No such file or directory"), "No such file or directory", "savelayout"),
        (ValueError("no text"), "no text", "savelayout"),
    ):
        found = own_files.unreadable(tmp_path / "layout.json", error)
        assert found.message == f"cannot read {tmp_path}/layout.json: {message}" and hint in found.hint
