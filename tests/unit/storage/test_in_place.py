# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept in place brings along all that carries it, and nothing that is made again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rear_core.contents import Contents
from rear_core.errors import Refused
from rear_core.storage.command import Site
from rear_core.storage.disk import Disk, Partition, PartitionTable
from rear_core.storage.fate import Exclusions, contents, stakes
from rear_core.storage.in_place import InPlace, carrying, check, staying
from rear_core.storage.inventory import Device
from rear_core.storage.kinds import StorageKind
from rear_core.storage.layout import Item, Layout, LeftOut, make
from rear_core.storage.mapping import Assignment, Match
from rear_core.storage.mount import Mount
from rear_core.storage.plan import plan
from rear_core.storage.present import Machine, PresentDisk
from rear_core.storage.technologies.btrfs import Btrfs, Subvolume
from rear_core.storage.technologies.ext import Ext
from rear_core.storage.technologies.luks import Luks
from rear_core.storage.technologies.lvm import LogicalVolume, PhysicalVolume, VolumeGroup
from rear_core.storage.technologies.swap import Swap

GIB, HOME = 1 << 30, Exclusions(mounts=["/home"])
DISKS = [Disk(f"disk:{letter}", (), 10 * GIB, f"/dev/sd{letter}") for letter in "ab"]
TABLE = PartitionTable("table:a", ("disk:a",), "gpt", "t")


def partition(number: int) -> Partition:
    return Partition(f"partition:{number}", ("table:a",), number, number * GIB, GIB, "x", device=f"/dev/sda{number}")


def mount(target: str, below: str) -> Mount:
    return Mount(f"mount:{target}", (below,), target, "ext4")


PARTITIONED: tuple[Item, ...] = (
    DISKS[0], TABLE, partition(1), partition(2), partition(3), Ext("fs:root", ("partition:1",)), mount("/", "fs:root"),
    Ext("fs:home", ("partition:2",)), mount("/home", "fs:home"), Swap("swap:s", ("partition:3",)),
)  # fmt: skip
GROUPED: tuple[Item, ...] = (
    *DISKS, Luks("luks:l", ("disk:a",), 2, "l", "aes", 256, "sha256", name="crypt"),
    PhysicalVolume("pv:1", ("luks:l",), "1", GIB), PhysicalVolume("pv:2", ("disk:b",), "2", GIB),
    VolumeGroup("vg:sys", ("pv:1", "pv:2"), "sys", "u", 4 << 20),
    *(LogicalVolume(f"lv:sys/{name}", ("vg:sys",), "sys", name, name, GIB, "linear", device=f"/dev/mapper/sys-{name}")
      for name in ("root", "home", "swap")),
    Ext("fs:root", ("lv:sys/root",)), mount("/", "fs:root"),
    Ext("fs:home", ("lv:sys/home",)), mount("/home", "fs:home"), Swap("swap:s", ("lv:sys/swap",)),
)  # fmt: skip


def kept(layout: Layout) -> frozenset[str]:
    return staying(layout, stakes(layout, contents(layout, HOME)).values())


def test_partitions_stay_with_their_table_and_the_others_are_cleared() -> None:
    layout = make(PARTITIONED)
    ids = kept(layout)
    assert sorted(ids) == ["disk:a", "fs:home", "partition:1", "partition:2", "partition:3", "table:a"]
    found = check(layout, ids, contents(layout, HOME), layout)
    assert found.cleared(Site(layout, {"disk:a": "/dev/vda"})) == ["/dev/vda1", "/dev/vda3"]


def test_a_volume_of_which_nobody_knows_the_inside_stays_on_its_partition() -> None:
    vault = Luks("luks:l", ("partition:2",), 2, "l", "aes", 256, "sha256")
    layout = make([*PARTITIONED[:7], vault], [LeftOut("inside /dev/sda2", "closed", lost=True, on=("partition:2",))])
    ids = kept(layout)
    assert "luks:l" in ids and "fs:root" not in ids
    assert check(layout, ids, contents(layout, HOME), layout).ids == ids


def test_what_lies_in_a_closed_volume_is_known_by_that() -> None:
    vault = Luks("luks:l", ("partition:2",), 2, "l", "aes", 256, "sha256", name="crypt", device="/dev/mapper/crypt")
    inside = Luks("luks:i", ("luks:l",), 2, "i", "aes", 256, "sha256")
    layout = make([*PARTITIONED[:7], vault, inside], [LeftOut("inside crypt", "closed", lost=True, on=("luks:l",))])
    now = make([*PARTITIONED[:7], replace(vault, name="", device="")])
    ids = kept(layout)
    assert {"luks:l", "luks:i"} < ids
    assert check(layout, ids, contents(layout, HOME), now).ids == ids
    other = make([*PARTITIONED[:7], replace(vault, name="", device="", key_size=512)])
    with pytest.raises(Refused, match="key size"):
        check(layout, ids, contents(layout, HOME), other)


def test_volumes_stay_with_their_group_on_all_its_disks_and_what_carries_them_has_to_be_active() -> None:
    layout = make(GROUPED)
    ids = kept(layout)
    everything = {item.id for item in layout if not isinstance(item, Mount)}
    assert everything - ids == {"fs:root", "swap:s"}
    assert sorted(item.id for item in carrying(layout, ids)) == [
        "disk:a", "disk:b", "luks:l", "lv:sys/root", "lv:sys/swap", "pv:1", "pv:2", "vg:sys",
    ]  # fmt: skip
    found = check(layout, ids, contents(layout, HOME), layout)
    site = Site(layout, {"disk:a": "/dev/vda", "disk:b": "/dev/vdb"})
    assert found.cleared(site) == ["/dev/mapper/sys-root", "/dev/mapper/sys-swap"]


def test_a_closed_volume_that_nothing_stands_on_needs_no_passphrase() -> None:
    vault = Luks("luks:v", ("partition:2",), 2, "v", "aes", 256, "sha256", name="vault")
    layout = make([*(item for item in PARTITIONED if "home" not in item.id), vault, Ext("fs:home", ("luks:v",)),
                   mount("/home", "fs:home")])  # fmt: skip
    ids = kept(layout)
    assert "luks:v" in ids and not any(isinstance(item, Luks) for item in carrying(layout, ids))
    closed = make(replace(item, name="") if isinstance(item, Luks) else item for item in layout)
    assert check(layout, ids, contents(layout, HOME), closed).ids == ids


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda item: None if item.id == "partition:3" else item, "partition 3 .* is missing"),
        (lambda item: replace(item, start=5 * GIB) if item.id == "partition:2" else item, "start changed"),
    ],
    ids=["gone", "moved"],
)
def test_what_is_divided_otherwise_now_is_not_kept(change: object, said: str) -> None:
    assert callable(change)
    layout = make(PARTITIONED)
    now = make(found for item in PARTITIONED if (found := change(item)))
    with pytest.raises(Refused, match=f"it cannot be kept in place: .*{said}"):
        check(layout, kept(layout), contents(layout, HOME), now)


def test_what_shares_its_file_system_with_what_comes_back_is_not_kept() -> None:
    items = [item for item in PARTITIONED if "home" not in item.id and "root" not in item.id and "mount" not in item.id]
    tree = [Btrfs("fs:b", ("partition:1",)), *(Subvolume(f"subvolume:b/{n}", ("fs:b",), n) for n in ("@", "@home"))]
    mounts = [mount("/", "subvolume:b/@"), mount("/home", "subvolume:b/@home")]
    layout = make([*items, *tree, *mounts])
    with pytest.raises(Refused, match="/ is on the same file system"):
        check(layout, kept(layout), contents(layout, HOME), layout)


def test_a_plan_tells_what_it_leaves_in_place() -> None:
    layout = make((*DISKS[:1], TABLE, partition(1)))
    device = Device("/dev/vda", "vda", "254:0", "disk", 10 * GIB)
    machine = Machine({device.path: device}, (), frozenset(), (PresentDisk(device.path, device.size),))
    assigned = Assignment((Match(DISKS[0], "/dev/vda", keeps=True),), {})
    ids = frozenset(item.id for item in layout)
    kind = StorageKind("disks", (Disk, PartitionTable, Partition), lambda survey: (), lambda layout: Contents())
    made = plan(layout, assigned, machine, [kind], in_place=InPlace(ids))
    assert made.rebuilt().in_place == ids
