# SPDX-License-Identifier: GPL-3.0-or-later
"""A recorded machine with a bit of everything, made again on other disks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from rear_core.finalize.devices import Device, Storage
from rear_core.storage.command import Site
from rear_core.storage.disk import Disk, Partition, PartitionTable
from rear_core.storage.layout import make
from rear_core.storage.mount import Mount
from rear_core.storage.plan import Rebuilt, without
from rear_core.storage.technologies.ext import Ext
from rear_core.storage.technologies.luks import Luks
from rear_core.storage.technologies.lvm import LogicalVolume, PhysicalVolume, VolumeGroup
from rear_core.storage.technologies.md import Array
from rear_core.storage.technologies.swap import Swap

ROOT, SWAP, CRYPT = (f"{digit * 8}-{digit * 4}-{digit * 4}-{digit * 4}-{digit * 12}" for digit in "123")
ARRAY = "aaaaaaaa:bbbbbbbb:cccccccc:dddddddd"

LAYOUT = make(
    [
        Disk("disk:one", (), 1 << 33, device="/dev/sda", serial="one"),
        PartitionTable("table:8f2d0b5c", ("disk:one",), "dos", "0x8f2d0b5c"),
        Partition("partition:8f2d0b5c-01", ("table:8f2d0b5c",), 1, 1 << 20, 1 << 32, "83", uuid="8f2d0b5c-01",
                  device="/dev/sda1"),
        Partition("partition:8f2d0b5c-02", ("table:8f2d0b5c",), 2, 1 << 33, 1 << 30, "82", uuid="8f2d0b5c-02",
                  device="/dev/sda2"),
        Ext(f"fs:{ROOT}", ("partition:8f2d0b5c-01",), ROOT, "my root", version=4),
        Swap(f"swap:{SWAP}", ("partition:8f2d0b5c-02",), SWAP),
        Mount("mount:/", (f"fs:{ROOT}",), "/", "ext4"),
        Disk("disk:two", (), 1 << 33, device="/dev/sdb", serial="two"),
        Array(f"md:{ARRAY}", ("disk:two",), "raid1", 2, "1.2", ARRAY, "web1:data", "/dev/md127"),
        Luks(f"luks:{CRYPT}", (f"md:{ARRAY}",), 2, CRYPT, "aes", 512, "sha256", name="crypt",
             device="/dev/mapper/crypt"),
        PhysicalVolume("pv:x", (f"luks:{CRYPT}",), "x"),
        VolumeGroup("vg:vg0", ("pv:x",), "vg0", "y", 4 << 20),
        LogicalVolume("lv:vg0/my-data", ("vg:vg0",), "vg0", "my-data", "z", 1 << 30, "linear",
                      device="/dev/mapper/vg0-my--data"),
        Disk("disk:left", (), 1 << 33, device="/dev/sdc", serial="left"),
        Ext("fs:left", ("disk:left",), "5-5", "kept", version=4),
    ]
)  # fmt: skip


def device(path: str, *names: str, **tags: str) -> Device:
    """A device that is here."""
    return Device(path, frozenset({path, *names}), tags)


# The disks have other names, and their links other serial numbers.
DEVICES = (
    device("/dev/vda", "/dev/disk/by-id/virtio-new"),
    device("/dev/vda1", "/dev/disk/by-id/virtio-new-part1", UUID=ROOT, LABEL="my root", PARTUUID="8f2d0b5c-01"),
    device("/dev/vda2", UUID=SWAP, PARTUUID="8f2d0b5c-02"),
    device("/dev/vdb", UUID="some-member"),
    device("/dev/md127", "/dev/md/data", UUID=CRYPT),
    device("/dev/mapper/crypt", "/dev/dm-0", UUID="pv"),
    device("/dev/mapper/vg0-my--data", "/dev/dm-1", "/dev/vg0/my-data", UUID="4444-4444"),
    device("/dev/sr0", LABEL="DVD"),
    device("/dev/sdc", UUID="5-5", LABEL="kept"),
)


def storage(changed: Mapping[str, str] | None = None, without_names: Collection[str] = ()) -> Storage:
    """The machine made again, on /dev/vda and /dev/vdb; identifiers that could not be kept are changed, and some names
    are on no device."""
    changed = dict(changed or {})
    disks = {"disk:one": "/dev/vda", "disk:two": "/dev/vdb"}
    devices = [
        replace(
            found,
            names=found.names.difference(without_names),
            tags={tag: changed.get(value, value) for tag, value in found.tags.items()},
        )
        for found in DEVICES
    ]
    made = without(LAYOUT, {"disk:left"})
    return Storage(LAYOUT, Rebuilt(Site(made, disks), disks, changed), devices)
