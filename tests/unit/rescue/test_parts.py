# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of an initramfs, by what somebody may want to leave out."""

from __future__ import annotations

import stat
from pathlib import Path

from rear_core.rescue.initramfs import Member
from rear_core.rescue.parts import LARGE_FILE, namers, parts
from rear_core.testing.fake_shell import FakeShell

MODULES = [Path("/lib/modules/6.1/kernel/drivers/net/a.ko.xz"), Path("/lib/modules/6.1/kernel/drivers/net/b.ko")]
MODINFO = """\
filename:       /lib/modules/6.1/kernel/drivers/net/a.ko.xz
firmware:       bnx2x/bnx2x-e1-7.13.21.0.fw
license:        GPL
filename:       /lib/modules/6.1/kernel/drivers/net/b.ko
firmware:       ti_3410.fw
firmware:       bnx2x/other.fw
"""


def member(tmp_path: Path, name: str, size: int) -> Member:
    source = tmp_path / name.replace("/", "_")
    with source.open("wb") as file:
        file.truncate(size)
    return Member(name, stat.S_IFREG | 0o644, source=str(source))


def test_the_largest_come_first_and_settings_have_their_own(tmp_path: Path) -> None:
    made = [
        ("usr/lib/firmware/amdgpu/a.bin", 3000), ("usr/lib/firmware/amdgpu/b.bin", 3000), ("lib/firmware/c.bin", 10),
        ("usr/lib/modules/6.1/kernel/drivers/net/ethernet/tg3.ko", 500), ("usr/lib/modules/6.1/modules.dep", 40),
        ("usr/lib/python3.11/os.py", 30), ("opt/py/lib/libpython3.11.so.1.0", LARGE_FILE + 2),
        ("usr/bin/ls", 20), ("usr/bin/rclone", LARGE_FILE + 1),
        ("opt/agent/bin/agent", 4000), ("opt/agent/lib/x", 1), ("etc/hosts", 5),
    ]  # fmt: skip
    listed = {"RESCUE_FILES": ["/opt/agent/", "/nothing*"], "RESCUE_BINARIES": []}
    found = parts([member(tmp_path, *each) for each in made], listed)
    assert [(part.name, part.size) for part in found] == [
        ("Python and what it imports", LARGE_FILE + 32), ("/usr/bin/rclone", LARGE_FILE + 1),
        ("firmware amdgpu", 6000), ("RESCUE_FILES /opt/agent/", 4001),
        ("kernel modules drivers/net", 500), ("kernel modules, their index", 40),
        ("/usr/bin", 20), ("firmware without a folder", 10), ("/etc", 5),
    ]  # fmt: skip


def test_firmware_is_left_out_by_the_modules_that_name_it() -> None:
    sh = FakeShell({f"modinfo {MODULES[0]} {MODULES[1]}": MODINFO})
    found = namers(sh, MODULES, ["firmware bnx2x", "firmware without a folder"])
    assert found == {"firmware bnx2x": ["a", "b"], "firmware without a folder": ["b"]}
