# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts of the machine put together."""

from __future__ import annotations

from pathlib import Path

from rear_core.shell import Shell
from rear_core.system import Firmware, examine


def test_a_machine_is_described_from_its_files_and_uname(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text("ID=debian\nVERSION_ID=12\n")
    found = examine(Shell(), tmp_path)
    assert (found.os.id, found.firmware, found.virtualization) == ("debian", Firmware("bios"), "")
    assert found.machine and found.running_kernel and found.hostname and "." not in found.hostname
