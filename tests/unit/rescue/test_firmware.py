# SPDX-License-Identifier: GPL-3.0-or-later
"""Firmware is found by the names that modules give it."""
from __future__ import annotations

from pathlib import Path

from rear_core.rescue.firmware import firmware_files, installed_firmware


def test_firmware_is_found_plain_compressed_by_pattern_and_in_updates(tmp_path: Path) -> None:
    for name in ("plain.bin", "bnx2/rv2p.fw.xz", "ice/ddp.pkg.zst", "qed/a-1.bin", "qed/a-2.bin", "updates/plain.bin"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    (tmp_path / "linked.bin").symlink_to("plain.bin")

    found = firmware_files(
        ["plain.bin", "bnx2/rv2p.fw", "ice/ddp.pkg", "qed/a-*.bin", "linked.bin", "absent"], "6.1", tmp_path
    )

    assert [str(path.relative_to(tmp_path)) for path in found] == [
        "bnx2/rv2p.fw.xz", "ice/ddp.pkg.zst", "linked.bin", "plain.bin", "qed/a-1.bin", "qed/a-2.bin",
        "updates/plain.bin",
    ]  # fmt: skip
    assert len(installed_firmware(tmp_path)) == 7
