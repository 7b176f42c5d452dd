# SPDX-License-Identifier: GPL-3.0-or-later
"""GRUB for BIOS by the bytes of boot sectors."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import pytest

from rear_core.boot import grub_conversion
from rear_core.boot.grub_bios import (
    BootSector,
    Partition,
    core_place,
    detect,
    read_boot_sector,
    whole_disk,
)
from rear_core.builtin import storage
from rear_core.plugins import Plugins
from rear_core.run import Run
from rear_core.settings import Sources, evaluate, parse
from rear_core.storage.disk import BIOS_BOOT
from rear_core.testing.fake_shell import FakeShell

GRUB_FILES = Path("/usr/lib/grub/i386-pc")
MESSAGES = b"GRUB \0Geom\0Hard Disk\0Read\0 Error\r\n\0"


def boot_sector(core_start: int, messages: bytes = MESSAGES) -> bytes:
    sector = bytearray(512)
    struct.pack_into("<Q", sector, 0x5C, core_start)
    sector[0x180 : 0x180 + len(messages)] = messages
    sector[-2:] = b"\x55\xaa"
    return bytes(sector)


def first_core_sector(*blocks: tuple[int, int]) -> bytes:
    sector = bytearray(512)
    sector[0x150:0x160] = b"Geom\0Read\0 Error"
    for number, (start, length) in enumerate(blocks):
        struct.pack_into("<QHH", sector, 500 - 12 * number, start, length, 0x820)
    return bytes(sector)


def disk(path: Path, boot: bytes, core_at: int = 1, core: bytes = b"") -> Path:
    path.write_bytes(boot.ljust(core_at * 512, b"\0") + core)
    return path


def test_core_behind_the_boot_record_is_counted(tmp_path: Path) -> None:
    image = disk(tmp_path / "d", boot_sector(1), 1, first_core_sector((2, 60)))
    assert read_boot_sector(image) == BootSector(1, 61)


def test_scattered_blocks_of_a_core_file_are_added(tmp_path: Path) -> None:
    image = disk(tmp_path / "d", boot_sector(2048), 2048, first_core_sector((2049, 40), (4096, 20)))
    assert read_boot_sector(image) == BootSector(2048, 61)


def test_an_overwritten_core_is_seen(tmp_path: Path) -> None:
    image = disk(tmp_path / "d", boot_sector(2048), 2048, b"\xff" * 512)
    assert read_boot_sector(image) == BootSector(2048, 0)


def test_a_core_beyond_the_end_of_the_disk_is_missing(tmp_path: Path) -> None:
    image = disk(tmp_path / "d", boot_sector(1 << 40))
    assert read_boot_sector(image) == BootSector(1 << 40, 0)


def test_a_boot_sector_of_a_partition_counts_the_sectors_of_its_disk(tmp_path: Path) -> None:
    whole = disk(tmp_path / "d", b"", 2100, first_core_sector((2101, 60)))
    partition = disk(tmp_path / "p", boot_sector(2100), 64)
    assert read_boot_sector(partition, whole) == BootSector(2100, 61)
    assert read_boot_sector(partition) == BootSector(2100, 0)


@pytest.mark.parametrize(
    ("name", "files", "expected"),
    [
        ("sda/sda1", {"partition": "1"}, "/dev/sda"),
        ("cciss!c0d0/cciss!c0d0p1", {"partition": "1"}, "/dev/cciss/c0d0"),
        ("dm-3", {"dm/uuid": "part1-mpath-3600", "slaves/dm-2": ""}, "/dev/dm-2"),
        ("dm-3", {"dm/uuid": "LVM-abc", "slaves/sda1": ""}, "node"),
        ("sda", {}, "node"),
    ],
)
def test_a_partition_knows_its_disk(tmp_path: Path, name: str, files: dict[str, str], expected: str) -> None:
    node, known = tmp_path / "node", tmp_path / "devices" / name
    node.touch()
    known.mkdir(parents=True)
    for file, text in files.items():
        (known / file).parent.mkdir(exist_ok=True)
        (known / file).write_text(text)
    (tmp_path / "dev/block").mkdir(parents=True)
    (tmp_path / "dev/block/0:0").symlink_to(known)  # the number of what is no device
    assert whole_disk(node, tmp_path) == (node if expected == "node" else Path(expected))


@pytest.mark.parametrize("content", [b"", b"\0" * 512, boot_sector(1, b"SYSLINUX"), boot_sector(1)[:511]])
def test_other_boot_sectors_are_not_grub(tmp_path: Path, content: bytes) -> None:
    assert read_boot_sector(disk(tmp_path / "d", content)) is None


@pytest.mark.skipif(not (GRUB_FILES / "boot.img").is_file(), reason="GRUB for BIOS is not installed")
def test_the_installed_grub_is_recognised(tmp_path: Path) -> None:
    boot, core = ((GRUB_FILES / name).read_bytes() for name in ("boot.img", "diskboot.img"))
    found = read_boot_sector(disk(tmp_path / "d", boot, 1, core))
    assert found is not None
    assert found.core_start == 1
    assert found.core_sectors >= 1


@pytest.mark.parametrize(
    ("sector", "expected"),
    [
        (BootSector(1, 61), "after the MBR"),
        (BootSector(2048, 61), "BIOS boot partition /dev/sda1"),
        (BootSector(9000, 61), "other partition /dev/sda2"),
        (BootSector(2048, 0), "missing"),
    ],
)
def test_the_place_of_core_follows_from_the_partitions(sector: BootSector, expected: str) -> None:
    partitions = [
        Partition("/dev/sda1", 2048, 2048, BIOS_BOOT),
        Partition("/dev/sda2", 4096, 100000, "0fc63daf-8483-4772-8e79-3d69d8477de4"),
    ]
    assert core_place(sector, partitions) == expected


def test_a_disk_that_cannot_be_read_is_a_warning_and_hides_no_other(tmp_path: Path) -> None:
    good = disk(tmp_path / "good", boot_sector(1), 1, first_core_sector((2, 60)))
    bad = tmp_path / "bad"
    devices = [
        {"name": str(path), "kname": str(path), "type": kind, "pkname": None, "parttype": None}
        for path, kind in ((bad, "disk"), (good, "disk"), (good, "disk"), (tmp_path, "loop"))
    ]
    command = "lsblk --json --paths --list --output NAME,KNAME,TYPE,PKNAME,PARTTYPE"
    sh = FakeShell({command: json.dumps({"blockdevices": devices})})
    run = Run(evaluate(Sources(), [*storage.rear_settings()], {}), Plugins([]), sh=sh)
    assert detect(run) == {
        "platforms": grub_conversion.platforms(os.uname().machine),
        "boot_sectors": [{"device": str(good), "core_start": 1, "core_sectors": 61, "core_place": "after the MBR"}],
    }
    assert run.report.warnings == [f"cannot read the boot sector of {bad}: No such file or directory"]


def test_of_a_multipath_disk_the_map_counts_and_not_its_paths(tmp_path: Path) -> None:
    image = disk(tmp_path / "mpatha", boot_sector(1), 1, first_core_sector((2, 60)))
    stale = disk(tmp_path / "sda", boot_sector(1, b"GRUB of before"))
    rows = [
        (stale, "disk", None), (tmp_path / "sda1", "part", stale), (image, "mpath", stale),
        (tmp_path / "sdb", "disk", None),
        (image, "mpath", tmp_path / "sdb"), (tmp_path / "mpatha-part1", "part", image),
    ]  # fmt: skip
    devices = [
        {"name": f"{path}", "kname": f"{path}", "type": kind, "pkname": f"{below}" if below else None, "parttype": None}
        for path, kind, below in rows
    ]
    disk(tmp_path / "mpatha-part1", b"")
    command = "lsblk --json --paths --list --output NAME,KNAME,TYPE,PKNAME,PARTTYPE"
    run = Run(
        evaluate(Sources(), [*storage.rear_settings()], {}),
        Plugins([]),
        sh=FakeShell({command: json.dumps({"blockdevices": devices})}),
    )
    facts = detect(run)
    assert facts is not None
    assert [sector["device"] for sector in facts["boot_sectors"]] == [f"{image}"]
    assert run.report.warnings == []


def test_a_machine_without_grub_in_its_boot_sectors_has_no_facts() -> None:
    command = "lsblk --json --paths --list --output NAME,KNAME,TYPE,PKNAME,PARTTYPE"
    sh = FakeShell({command: '{"blockdevices": []}'})
    assert detect(Run(evaluate(Sources(), [*storage.rear_settings()], {}), Plugins([]), sh=sh)) is None


def test_a_device_that_is_included_is_searched_whatever_its_kind(tmp_path: Path) -> None:
    device = disk(tmp_path / "loop0", boot_sector(1), 1, first_core_sector((2, 60)))
    found = {"name": f"{device}", "kname": f"{device}", "type": "loop", "pkname": None, "parttype": None}
    command = "lsblk --json --paths --list --output NAME,KNAME,TYPE,PKNAME,PARTTYPE"
    for text, devices in (("", None), (f"INCLUDE_DEVICES=( '{tmp_path}/loop*' )\n", [f"{device}"])):
        settings = evaluate(Sources(assignments=tuple(parse(text, "local.conf"))), [*storage.rear_settings()], {})
        run = Run(settings, Plugins([]), sh=FakeShell({command: json.dumps({"blockdevices": [found]})}))
        facts = detect(run)
        assert (facts and [sector["device"] for sector in facts["boot_sectors"]]) == devices
