# SPDX-License-Identifier: GPL-3.0-or-later
"""What only root can read of the configuration that every rescue system gets is known as such."""

from __future__ import annotations

from pathlib import Path

import pytest

from rear_core.rescue import programs


@pytest.mark.parametrize(("mode", "hidden"), [(0o600, True), (0o400, True), (0o640, False), (0o644, False)])
def test_a_file_that_only_root_can_read_is_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, hidden: bool
) -> None:
    (tmp_path / "modprobe.d").mkdir()
    path = tmp_path / "modprobe.d/secret.conf"
    path.write_text("options x key=hunter22\n")
    path.chmod(mode)
    assert not programs.is_hidden(str(path))
    monkeypatch.setattr(programs, "HIDDEN_IN", (f"{tmp_path}/modprobe.d/",))
    assert programs.is_hidden(str(path)) == hidden
    assert not programs.is_hidden(str(tmp_path / "modprobe.d"))
    assert not programs.is_hidden(str(tmp_path / "modprobe.d/gone"))
