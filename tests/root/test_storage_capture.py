# SPDX-License-Identifier: GPL-3.0-or-later
"""Storage of real loop devices: made by the tools, described by the capture."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from lab.loops import run
from rear_core.finalize.devices import Device, Storage, read_tags
from rear_core.shell import Shell
from rear_core.storage.capture import capture
from rear_core.storage.command import Site
from rear_core.storage.compare import compare
from rear_core.storage.inventory import probe
from rear_core.storage.kinds import item_types
from rear_core.storage.layout import Item, Layout, dumps, loads
from rear_core.storage.plan import Rebuilt
from rear_core.storage.technologies import CORE_KINDS
from rear_core.storage.technologies.btrfs import Subvolume

pytestmark = pytest.mark.root


@pytest.fixture
def mounted(tmp_path: Path, undo: ExitStack) -> Callable[..., Path]:
    """Mounts a device at a new place."""

    def mount(device: str, name: str, options: str = "defaults") -> Path:
        place = tmp_path / name
        place.mkdir()
        run("mount", "-o", options, device, place)
        undo.callback(run, "umount", place)
        return place

    return mount


def described(*devices: str) -> Layout:
    """The layout with these loop devices; it must survive its file."""
    warnings: list[str] = []
    layout = capture(Shell(), include=devices, warn=warnings.append)
    assert not [line for line in warnings if any(device in line for device in devices)]
    assert loads(dumps(layout), item_types(CORE_KINDS)) == layout
    return layout


def on(layout: Layout, device: str, kind: str) -> Any:
    """The one item of a type that lies directly on a device."""
    (disk,) = [item for item in layout if getattr(item, "device", "") == device]
    (found,) = [item for item in layout if item.type == kind and disk.id in item.needs]
    return found


def mount_of(layout: Layout, place: Path) -> Any:
    return layout[f"mount:{place}"]


def test_ext4_with_all_its_options(loop: Callable[[str, int], str]) -> None:
    device = loop("ext4", 256)
    run(
        "mkfs.ext4",
        "-q",
        "-L",
        "data",
        "-m",
        "3",
        "-I",
        "512",
        "-i",
        "8192",
        "-b",
        "4096",
        "-J",
        "size=16",
        "-O",
        "^metadata_csum,^64bit",
        "-E",
        "stride=16,stripe_width=32",
        device,
    )
    run("tune2fs", "-c", "20", "-i", "30d", "-e", "remount-ro", "-o", "acl,journal_data_writeback", device)
    found = on(described(device), device, "ext")
    assert (found.version, found.label, found.block_size, found.inode_size) == (4, "data", 4096, 512)
    assert found.uuid == run("blkid", "--probe", "--output", "value", "--match-tag", "UUID", device)
    assert (found.bytes_per_inode, found.journal_size, found.stride, found.stripe_width) == (
        8192,
        16 << 20,
        16,
        32,
    )
    assert found.reserved_blocks == found.blocks * 3 // 100
    assert "64bit" not in found.features and "extent" in found.features
    assert (found.max_mount_count, found.check_interval, found.errors) == (
        20,
        30 * 86400,
        "remount read-only",
    )
    assert {"acl", "journal_data_writeback"} <= set(found.default_options)


def test_a_mounted_ext4_is_the_same_as_an_unmounted_one(
    loop: Callable[[str, int], str], mounted: Callable[..., Path]
) -> None:
    device = loop("ext4", 64)
    run("mkfs.ext4", "-q", device)
    before = described(device)
    place = mounted(device, "place", "noatime,commit=30")
    now = described(device)
    assert "noatime" in mount_of(now, place).options and "commit=30" in mount_of(now, place).options
    assert compare(before, now) == [f"mount {place} is new"]


def test_xfs_with_its_geometry(loop: Callable[[str, int], str], mounted: Callable[..., Path]) -> None:
    device = loop("xfs", 320)
    run(
        "mkfs.xfs",
        "-q",
        "-L",
        "srv",
        "-i",
        "size=1024",
        "-m",
        "reflink=0,finobt=1",
        "-n",
        "size=8192",
        device,
    )
    unmounted = on(described(device), device, "xfs")
    assert unmounted.label == "srv"
    assert {"isize=1024", "reflink=0", "finobt=1"} <= set(unmounted.meta) and "bsize=8192" in unmounted.naming
    mounted(device, "place")
    assert on(described(device), device, "xfs") == unmounted


def test_btrfs_with_subvolumes(loop: Callable[[str, int], str], mounted: Callable[..., Path]) -> None:
    device = loop("btrfs", 256)
    run("mkfs.btrfs", "-q", "-L", "tree", "-m", "dup", "--nodesize", "32768", device)
    top = mounted(device, "top")
    for name in ("@", "@home", "@home/nested"):
        run("btrfs", "subvolume", "create", top / name)
    run("btrfs", "property", "set", "-ts", top / "@home/nested", "ro", "true")
    run("btrfs", "subvolume", "snapshot", "-r", top / "@", top / "snapshot")
    run("btrfs", "subvolume", "set-default", top / "@")
    home = mounted(device, "home", "subvol=@home")
    layout = described(device)
    found = on(layout, device, "btrfs")
    assert (found.label, found.node_size, found.default, found.metadata_profile) == (
        "tree",
        32768,
        "@",
        "dup",
    )
    subvolumes = {item.path: item for item in layout if isinstance(item, Subvolume)}
    assert set(subvolumes) == {"@", "@home", "@home/nested"}
    assert subvolumes["@home/nested"].read_only and not subvolumes["@"].read_only
    assert subvolumes["@home/nested"].needs == (subvolumes["@home"].id,)
    assert mount_of(layout, home).needs[0] == subvolumes["@home"].id
    assert [e.reason for e in layout.left_out if e.name == f"snapshots on {top}"] == [
        "1 snapshots: the subvolumes they were taken of are described"
    ]


def test_btrfs_on_two_devices(loop: Callable[[str, int], str], mounted: Callable[..., Path]) -> None:
    one, two = loop("one", 128), loop("two", 128)
    run("mkfs.btrfs", "-q", "-d", "raid1", "-m", "raid1", one, two)
    mounted(one, "place", f"device={two}")
    layout = described(one, two)
    found = on(layout, one, "btrfs")
    assert on(layout, two, "btrfs") is found
    assert (found.data_profile, found.metadata_profile, len(found.needs)) == ("raid1", "raid1", 2)


def test_swap_and_fat(loop: Callable[[str, int], str]) -> None:
    swap, fat = loop("swap", 32), loop("fat", 64)
    run("mkswap", "--label", "sw", "--uuid", "6a1b0f5e-8f5e-4b51-9c0a-1a2b3c4d5e6f", swap)
    run("mkfs.vfat", "-F", "32", "-n", "ESP", "-i", "ABCD1234", "-s", "1", fat)
    layout = described(swap, fat)
    assert on(layout, swap, "swap").id == "swap:6a1b0f5e-8f5e-4b51-9c0a-1a2b3c4d5e6f"
    found = on(layout, fat, "vfat")
    assert (found.uuid, found.label, found.bits, found.cluster_size) == ("ABCD-1234", "ESP", 32, 512)


def test_a_gpt(loop: Callable[[str, int], str]) -> None:
    device = loop("gpt", 128)
    run(
        "sfdisk",
        "--quiet",
        device,
        input="""label: gpt
label-id: 1B0F5E6A-8F5E-4B51-9C0A-1A2B3C4D5E6F
first-lba: 64
start=2048, size=32MiB, type=U, name="EFI System", uuid=2B0F5E6A-8F5E-4B51-9C0A-1A2B3C4D5E6F
size=16MiB, name="Linux root", attrs="RequiredPartition GUID:60,63"
""",
    )
    layout = described(device)
    table = on(layout, device, "partition table")
    assert (table.label, table.uuid, table.first_lba) == ("gpt", "1b0f5e6a-8f5e-4b51-9c0a-1a2b3c4d5e6f", 64)
    first, second = sorted(partitions(layout, table), key=lambda item: item.number)
    assert first.id == "partition:2b0f5e6a-8f5e-4b51-9c0a-1a2b3c4d5e6f"
    assert (first.start, first.size, first.alignment) == (1 << 20, 32 << 20, 1 << 20)
    assert first.code == "c12a7328-f81f-11d2-ba4b-00a0c93ec93b" and first.name == "EFI System"
    assert second.attributes == "RequiredPartition GUID:60,63"


def test_an_mbr_with_logical_partitions(loop: Callable[[str, int], str]) -> None:
    device = loop("mbr", 128)
    run(
        "sfdisk",
        "--quiet",
        device,
        input="""label: dos
label-id: 0x8f2d0b5c
1 : start=1MiB, size=20MiB, bootable
2 : start=21MiB, size=80MiB, type=5
3 : start=101MiB, size=10MiB, type=82
5 : start=22MiB, size=10MiB
6 : start=33MiB, size=10MiB, type=8e
""",
    )
    layout = described(device)
    table = on(layout, device, "partition table")
    found = {item.number: item for item in partitions(layout, table)}
    assert sorted(found) == [1, 2, 3, 5, 6]
    assert found[1].bootable and found[1].uuid == "8f2d0b5c-01"
    assert found[2].id in found[5].needs and found[2].id in found[6].needs
    assert (found[3].code, found[6].code) == ("82", "8e")


def test_an_unchanged_machine_has_no_differences_and_a_label_is_one(loop: Callable[[str, int], str]) -> None:
    device = loop("ext4", 32)
    run("mkfs.ext4", "-q", "-L", "one", device)
    before = described(device)
    assert compare(before, described(device)) == []
    run("e2label", device, "two")
    uuid = on(before, device, "ext").uuid
    assert compare(before, described(device)) == [f"file system {uuid}: label changed from one to two"]


def partitions(layout: Layout, table: Item) -> list[Any]:
    return [item for item in layout if item.type == "partition" and table.id in item.needs]


@pytest.mark.parametrize("label", ["größe", "日本", "a b", "a\tb", "M-A", "x^y", "a\\b", "q\"u'o", "é\\b"], ids=ascii)
def test_a_label_is_the_same_to_all_that_look_for_it(loop: Callable[..., str], label: str) -> None:
    device = loop("labelled", 8)
    run("mkfs.ext4", "-q", "-L", label, device)
    assert read_tags(Shell())[device]["LABEL"] == label
    assert probe(Shell(), device)[1]["LABEL"] == label
    layout = described(device)
    disks = {item.id: device for item in layout if getattr(item, "device", "") == device}
    made = Rebuilt(Site(layout, disks), disks, {})
    storage = Storage(layout, made, [Device(device, frozenset({device}), read_tags(Shell())[device])])
    escaped = "".join(f"\\{byte:03o}" for byte in label.encode())
    assert storage.now("LABEL", escaped) == escaped
