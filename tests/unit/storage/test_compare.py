# SPDX-License-Identifier: GPL-3.0-or-later
"""Differences between two layouts are told one by one, and only real ones."""

from __future__ import annotations

from dataclasses import replace

from rear_core.storage.compare import compare, human_size
from rear_core.storage.disk import Disk, Partition
from rear_core.storage.layout import Item, Layout, LeftOut, make
from rear_core.storage.technologies.ext import Ext
from rear_core.storage.technologies.luks import Luks, Slot
from rear_core.storage.technologies.lvm import LogicalVolume
from rear_core.storage.technologies.md import Array

GIB = 1 << 30
DISK = Disk("disk:S1", (), 20 * GIB, device="/dev/sda", serial="S1")
ROOT = LogicalVolume("lv:debian/root", ("disk:S1",), "debian", "root", "u1", 10 * GIB, "linear")
LUKS = Luks("luks:u2", ("disk:S1",), 2, "u2", "aes-xts-plain64", 512, "sha256", slots=(Slot(0, cost=4),))


def layout(*items: Item) -> Layout:
    return make(items)


def test_a_volume_that_grew() -> None:
    now = replace(ROOT, size=12 * GIB)
    assert compare(layout(DISK, ROOT), layout(DISK, now)) == ["logical volume debian/root grew from 10 GiB to 12 GiB"]
    assert compare(layout(DISK, now), layout(DISK, ROOT)) == ["logical volume debian/root shrank from 12 GiB to 10 GiB"]


def test_disks_that_swapped_names_are_the_same() -> None:
    other = Disk("disk:S2", (), GIB, device="/dev/sdb", serial="S2")
    swapped = replace(DISK, device="/dev/sdb"), replace(other, device="/dev/sda")
    assert compare(layout(DISK, other), layout(*swapped)) == []


def test_what_is_left_out_does_not_count() -> None:
    assert compare(layout(DISK), make([DISK], [LeftOut("/dev/sdb", "a removable disk")])) == []


def test_a_degraded_array_has_lost_a_member() -> None:
    array = Array("md:u", ("disk:S1", "disk:S2"), "raid1", 2, "1.2", "u")
    other = Disk("disk:S2", (), GIB)
    assert compare(layout(DISK, other, array), layout(DISK, replace(array, needs=("disk:S1",), missing=(1,)))) == [
        "disk S2 is missing",
        "RAID array u now lies on disk:S1 instead of disk:S1, disk:S2",
    ]


def test_something_new_something_gone() -> None:
    part = Partition("partition:p", ("disk:S1",), 1, 0, GIB, "83", device="/dev/sda1")
    assert compare(layout(DISK, ROOT), layout(DISK, part)) == [
        "logical volume debian/root is missing",
        "partition p (/dev/sda1) is new",
    ]


def test_lists_say_what_came_and_went() -> None:
    old = Ext("fs:u", ("disk:S1",), features=("64bit", "extent"), label="a")
    new = replace(old, features=("extent", "quota"), label="")
    assert compare(layout(DISK, old), layout(DISK, new)) == [
        "file system u: label changed from a to nothing",
        "file system u: features no longer 64bit and now quota",
    ]
    assert compare(layout(DISK, old), layout(DISK, replace(old, features=("extent", "64bit")))) == [
        "file system u: features are in another order"
    ]


def test_parts_of_an_item_are_told_in_words() -> None:
    now = replace(LUKS, slots=(*LUKS.slots, Slot(3, "argon2id", memory=1024)))
    assert compare(layout(DISK, LUKS), layout(DISK, now)) == [
        "LUKS volume u2: slots now (number 3 pbkdf argon2id memory 1024)"
    ]


def test_an_item_that_became_another_type() -> None:
    before = Ext("fs:u", ("disk:S1",))
    now = replace(ROOT, id="fs:u")
    assert compare(layout(DISK, before), layout(DISK, now)) == ["file system u now has the type 'lv'"]


def test_sizes_that_differ_never_read_the_same() -> None:
    assert human_size(10 * GIB) == "10 GiB"
    assert human_size(0) == "0 bytes"
    assert human_size(1536 << 20) == "1.5 GiB"
    assert human_size(10 * GIB + 512) == "10 GiB (10737418752 bytes)"
