# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine must have for the other kind of firmware."""

from __future__ import annotations

import pytest

from rear_core.boot.conversion import missing
from rear_core.boot.grub_bios import is_left_over
from rear_core.storage.disk import Disk, Partition, PartitionTable
from rear_core.storage.layout import Item, make
from rear_core.storage.mount import Mount
from rear_core.storage.technologies.ext import Ext
from rear_core.storage.technologies.vfat import Fat

ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"
LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"


def disk(letter: str, label: str, *codes: str) -> list[Item]:
    return [
        Disk(f"disk:{letter}", (), 1 << 30, device=f"/dev/sd{letter}"),
        PartitionTable(f"table:{letter}", (f"disk:{letter}",), label),
        *(
            Partition(f"partition:{letter}{n}", (f"table:{letter}",), n, n << 20, 1 << 20, code)
            for n, code in enumerate(codes, 1)
        ),
    ]


def system(*items: Item, root: str, esp: str = "") -> list[Item]:
    found = [*items, Ext("fs:root", (root,), "1"), Mount("mount:/", ("fs:root",), "/", "ext4")]
    return [*found, Fat("fs:esp", (esp,), "2")] if esp else found


BOTH = system(*disk("a", "gpt", BIOS_BOOT, ESP, LINUX), root="partition:a3", esp="partition:a2")


@pytest.mark.parametrize(
    ("mode", "items", "lacks"),
    [
        ("bios", BOTH, []),
        ("uefi", BOTH, []),
        ("bios", system(*disk("a", "gpt", ESP, LINUX), root="partition:a2", esp="partition:a1"),
         ["a BIOS boot partition on disk a (/dev/sda)"]),
        ("bios", system(*disk("a", "dos", "83"), root="partition:a1"), []),
        ("uefi", system(*disk("a", "dos", "83"), root="partition:a1"), ["an EFI system partition"]),
        ("uefi", system(*disk("a", "dos", "ef", "83"), root="partition:a2", esp="partition:a1"), []),
        # A FAT file system that firmware does not look at.
        ("uefi", system(*disk("a", "gpt", LINUX, LINUX), root="partition:a2", esp="partition:a1"),
         ["an EFI system partition"]),
        # Only the disk that GRUB reads the kernel from counts.
        ("bios", system(*disk("a", "dos", "83"), *disk("b", "gpt", LINUX), root="partition:a1"), []),
        ("bios", [*system(*disk("a", "gpt", LINUX), *disk("b", "dos", "83"), root="partition:a1"),
                  Ext("fs:boot", ("partition:b1",), "3"),
                  Mount("mount:/boot", ("fs:boot", "mount:/"), "/boot", "ext4")],
         []),
    ],
)  # fmt: skip
def test_what_is_missing_is_named(mode: str, items: list[Item], lacks: list[str]) -> None:
    assert missing(mode, make(items)) == lacks


def test_boot_sectors_without_a_core_image_are_left_over() -> None:
    assert is_left_over({"boot_sectors": [{"core_place": "missing"}]})
    assert not is_left_over({"boot_sectors": [{"core_place": "missing"}, {"core_place": "after the MBR"}]})
