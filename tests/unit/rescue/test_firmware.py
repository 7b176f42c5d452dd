# SPDX-License-Identifier: GPL-3.0-or-later
"""Firmware is found by the names that modules give it."""

from __future__ import annotations

from pathlib import Path

from rear_core.rescue.firmware import firmware_files, installed_firmware, members
from rear_core.rescue.modules import ModuleIndex
from rear_core.testing.fake_shell import FakeShell


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


def test_all_modules_come_with_the_index_of_the_machine_and_their_firmware(tmp_path: Path) -> None:
    firmware, modules = tmp_path / "firmware", tmp_path / "modules/6.1"
    for path in (firmware / "tg3.bin", firmware / "other.bin", modules / "kernel/tg3.ko"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (modules / "modules.dep").write_text("kernel/tg3.ko:\n")
    (modules / "modules.dep.bin").touch()
    sh = FakeShell({f"modinfo --field firmware {modules}/kernel/tg3.ko": "tg3.bin\n"})

    found = members(sh, ModuleIndex(modules), ["kernel/tg3.ko"], tmp_path, "usr/lib", firmware)

    assert [member.name for member in found] == [
        "usr/lib/modules/6.1/kernel/tg3.ko",
        "usr/lib/modules/6.1/modules.dep",
        "usr/lib/modules/6.1/modules.dep.bin",
        "usr/lib/firmware/tg3.bin",
    ]
