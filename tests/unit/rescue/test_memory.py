# SPDX-License-Identifier: GPL-3.0-or-later
"""How much memory is free decides where the tree of the rescue system is built."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from rear_core.rescue.memory import available, mount
from rear_core.testing.fake_shell import FakeShell


def test_available_memory_is_what_the_kernel_says(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:       24684084 kB\nMemFree:          100 kB\nMemAvailable:   22938624 kB\n")
    assert available(meminfo) == 22938624 * 1024
    meminfo.write_text("MemTotal:       24684084 kB\n")
    assert available(meminfo) == 0


def test_nothing_is_mounted_where_memory_is_short(tmp_path: Path) -> None:
    with ExitStack() as undo:
        assert not mount(FakeShell({}), tmp_path, available(), undo)
