# SPDX-License-Identifier: GPL-3.0-or-later
"""Attributes that a whole file system has; tests/root has those that chattr(1) sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from rear_core.system import file_attributes
from rear_core.system.file_attributes import Attributes


def test_what_everything_on_a_file_system_has_is_noted_once_and_needs_no_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As FAT since Linux 7.2, which takes no attribute: "Inappropriate ioctl for device".
    (tmp_path / "EFI/debian").mkdir(parents=True)
    (tmp_path / "EFI/debian/grub.cfg").write_text("x")
    monkeypatch.setattr(file_attributes, "read", lambda descriptor, path="": Attributes(path, "F"))
    recorded = list(file_attributes.find(f"{tmp_path}"))
    assert recorded == [Attributes(f"{tmp_path}", "F")]
    assert list(file_attributes.restore(Path("/"), recorded)) == []
