# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies on a disk comes back or is lost, and nothing is taken for the one that is the other."""

from __future__ import annotations

from typing import Any

import pytest

from rear_core.storage.disk import Disk, Partition
from rear_core.storage.fate import (
    GIVEN_UP,
    LOST,
    REMADE,
    SAVED,
    Exclusions,
    contents,
    excluded,
    stakes,
    unknown_names,
)
from rear_core.storage.layout import Item, Layout, LeftOut, make
from rear_core.storage.mount import Mount
from rear_core.storage.technologies.btrfs import Btrfs, Subvolume
from rear_core.storage.technologies.ext import Ext
from rear_core.storage.technologies.luks import Luks
from rear_core.storage.technologies.lvm import LogicalVolume, PhysicalVolume, VolumeGroup
from rear_core.storage.technologies.md import Array
from rear_core.storage.technologies.multipath import MultipathDisk
from rear_core.storage.technologies.swap import Swap

GIB = 1 << 30
SYSTEM, OTHER = Disk("disk:A", (), 10 * GIB, "/dev/sda"), Disk("disk:B", (), 10 * GIB, "/dev/sdb")
ROOT = (SYSTEM, Ext("fs:root", ("disk:A",)), Mount("mount:/", ("fs:root",), "/", "ext4"))
GROUP = (
    PhysicalVolume("pv:1", ("disk:B",), "1", 9 * GIB), VolumeGroup("vg:data", ("pv:1",), "data", "u", 4 << 20),
    LogicalVolume("lv:data/db", ("vg:data",), "data", "db", "v", GIB, "linear", device="/dev/mapper/data-db"),
)  # fmt: skip
DATA = Mount("mount:/data", ("fs:data", "mount:/"), "/data", "ext4")


def fates(*items: Item, left_out: tuple[LeftOut, ...] = (), exclusions: Any = None, **more: Any) -> dict[str, str]:
    layout = make((*ROOT, *items), left_out)
    return {content.title: content.fate for content in contents(layout, exclusions or Exclusions(), **more)}


def alone(*items: Item, left_out: tuple[LeftOut, ...] = (), **more: Any) -> str:
    """Why the second disk is left alone."""
    found = contents(make((*ROOT, OTHER, *items), left_out), more.pop("exclusions", Exclusions()), **more)
    return stakes(make((*ROOT, OTHER, *items)), found)["disk:B"].why_alone


def test_a_mounted_file_system_is_saved_and_swap_is_made_again() -> None:
    assert fates(OTHER, Swap("swap:s", ("disk:B",))) == {"/": SAVED, "swap s": REMADE}


def test_a_file_system_that_nobody_mounted_is_lost_unless_it_is_known_to_be_empty() -> None:
    assert fates(OTHER, Ext("fs:old", ("disk:B",), label="old")) == {"/": SAVED, "file system old on /dev/sdb": LOST}
    assert fates(OTHER, Ext("fs:old", ("disk:B",), empty=True))["file system on /dev/sdb"] == REMADE
    unmounted = Mount("mount:/data", ("fs:data", "mount:/"), "/data", "ext4", mounted=False)
    assert fates(OTHER, Ext("fs:data", ("disk:B",)), unmounted)["/data"] == LOST


@pytest.mark.parametrize(
    "entry",
    [
        LeftOut("ntfs on /dev/sdb", "the ntfs on it is not described", True, ("disk:B",)),
        LeftOut("inside /dev/sdb", "the LUKS volume is closed", True, ("disk:B",)),
        LeftOut("/dev/sdb", "member of a stopped array", True, ("disk:B",)),
    ],
    ids=["file system of others", "closed volume", "stopped array"],
)
def test_a_disk_that_holds_only_what_is_not_described_is_left_alone(entry: LeftOut) -> None:
    assert alone(left_out=(entry,)) == f"nothing on it is restored: {entry.name} ({entry.reason})"


def test_names_that_nothing_has_are_told() -> None:
    swap = Swap("swap:s", ("disk:B",), fstab_spec="UUID=s")
    layout = make((*ROOT, OTHER, swap, *GROUP))
    known = ["swap:/dev/sdb", "swap:UUID=s", "fs:/", "/dev/sdb"]
    group = next(item.name for item in GROUP if isinstance(item, VolumeGroup))
    exclusions = Exclusions(
        components=[*known, "pv:/dev/sdz", "swap:/dev/sdbb"],
        groups=[group, f"/dev/{group}", "grp"],
        only_groups=["sys"],
        arrays=["md0"],
        mounts=["/", "/sr*", "/dta"],
    )
    assert list(unknown_names(layout, exclusions)) == [
        "EXCLUDE_COMPONENTS=pv:/dev/sdz", "EXCLUDE_COMPONENTS=swap:/dev/sdbb",
        "EXCLUDE_VG=grp", "ONLY_INCLUDE_VG=sys", "EXCLUDE_MD=md0", "EXCLUDE_MOUNTPOINTS=/dta",
    ]  # fmt: skip
    given_up = {content.title: content.fate for content in contents(layout, Exclusions(components=["swap:/dev/sdb"]))}
    assert given_up["swap s"] == GIVEN_UP


def test_a_disk_that_holds_nothing_is_left_alone() -> None:
    assert alone() == "nothing is on it"
    assert alone(*GROUP) == "nothing is on it"


@pytest.mark.parametrize("more", [(), (Ext("fs:db", ("lv:data/db",), empty=True),)], ids=["blank", "empty"])
@pytest.mark.parametrize(
    ("exclusions", "setting"),
    [
        (Exclusions(groups=["data"]), "EXCLUDE_VG"),
        (Exclusions(groups=["/dev/data"]), "EXCLUDE_VG"),
        (Exclusions(only_groups=["sys"]), "ONLY_INCLUDE_VG"),
        (Exclusions(components=["/dev/sdb"]), "EXCLUDE_COMPONENTS"),
        (Exclusions(components=["/dev/data/db"]), "EXCLUDE_COMPONENTS"),
    ],
    ids=["group", "folder of a group", "other groups", "disk", "link to a volume"],
)
def test_what_a_setting_names_is_lost_with_its_disk_though_there_be_nothing_in_it(
    more: tuple[Item, ...], exclusions: Exclusions, setting: str
) -> None:
    reason = alone(*GROUP, *more, exclusions=exclusions)
    assert reason.startswith("nothing on it is restored") and setting in reason
    home = (Ext("fs:home", ("disk:B",)), Mount("mount:/home", ("fs:home", "mount:/"), "/home", "ext4"))
    assert LOST in fates(OTHER, *GROUP, *more, *home, exclusions=exclusions).values()


@pytest.mark.parametrize("name", ["data", "md/data", "/dev/md/data", "lab:data", "/dev/md126", "md126"])
def test_an_array_is_excluded_by_any_of_its_names(name: str) -> None:
    array = Array("md:x", ("disk:A", "disk:B"), "raid1", 2, "1.2", "x", device="/dev/md126", name="lab:data")
    assert array.id in excluded(make((*ROOT, OTHER, array)), Exclusions(arrays=[name]))


def test_a_partition_for_a_boot_loader_comes_back_without_a_file_system() -> None:
    code = "21686148-6449-6E6F-744E-656564454649"
    place = Partition("partition:p", ("disk:B",), 1, 1 << 20, 1 << 20, code)
    assert alone(place) == ""
    # But nobody's files are lost for it.
    assert "nothing on it is restored" in alone(place, Ext("fs:data", ("disk:B",)))


@pytest.mark.parametrize(
    ("exclusions", "setting"),
    [
        (Exclusions(mounts=["/data"]), "EXCLUDE_MOUNTPOINTS"),
        (Exclusions(mounts=["/d*"]), "EXCLUDE_MOUNTPOINTS"),
        (Exclusions(paths=["/data"]), "AUTOEXCLUDE_PATH"),
        (Exclusions(groups=["data"]), "EXCLUDE_VG"),
        (Exclusions(groups=["/dev/data"]), "EXCLUDE_VG"),
        (Exclusions(only_groups=["system"]), "ONLY_INCLUDE_VG"),
        (Exclusions(components=["fs:/data"]), "EXCLUDE_COMPONENTS"),
        (Exclusions(components=["/dev/data"]), "EXCLUDE_COMPONENTS"),
        (Exclusions(components=["/dev/mapper/data-db"]), "EXCLUDE_COMPONENTS"),
        (Exclusions(components=["/dev/sdb"]), "EXCLUDE_COMPONENTS"),
        (Exclusions(components=["/dev/data/db"]), "EXCLUDE_COMPONENTS"),
        (Exclusions(components=["pv:/dev/sdb"]), "EXCLUDE_COMPONENTS"),
    ],
)
def test_a_disk_with_nothing_but_what_a_setting_excludes_is_left_alone(exclusions: Exclusions, setting: str) -> None:
    items = (*GROUP, Ext("fs:data", ("lv:data/db",)), DATA)
    assert setting in alone(*items, exclusions=exclusions)
    assert alone(*items) == ""


def test_what_is_excluded_takes_all_that_stands_on_it_and_all_that_is_for_it_alone() -> None:
    vault = Luks("luks:v", ("lv:data/db",), 2, "v", "aes-xts-plain64", 512, "sha256")
    inner = Mount("mount:/data/sub", ("fs:sub", "mount:/data"), "/data/sub", "ext4")
    layout = make((*ROOT, OTHER, *GROUP, vault, Ext("fs:data", ("luks:v",)), DATA, Ext("fs:sub", ("disk:A",)), inner))
    gone = excluded(layout, Exclusions(mounts=["/data"]))
    assert sorted(gone) == ["fs:data", "fs:sub", "luks:v", "mount:/data", "mount:/data/sub"]
    assert sorted(excluded(layout, Exclusions(groups=["data"]))) == [
        "fs:data", "fs:sub", "luks:v", "lv:data/db", "mount:/data", "mount:/data/sub", "pv:1", "vg:data",
    ]  # fmt: skip


def test_arrays_and_multipath_disks_are_excluded_by_their_settings() -> None:
    array = Array("md:x", ("disk:A", "disk:B"), "raid1", 2, "1.2", "x", device="/dev/md126", name="host:x")
    lun = MultipathDisk("disk:L", (), GIB, "/dev/mapper/mpatha", name="mpatha")
    layout = make((SYSTEM, OTHER, array, lun, Ext("fs:l", ("disk:L",))))
    assert [*excluded(layout, Exclusions(arrays=["md126"]))] == ["md:x"]
    assert not excluded(layout, Exclusions(arrays=["md12"]))
    assert sorted(excluded(layout, Exclusions(multipath=True))) == ["disk:L", "fs:l"]


def test_a_subvolume_that_is_excluded_leaves_the_others_where_they_are() -> None:
    items = (
        Btrfs("fs:b", ("disk:B",)), Subvolume("subvolume:b/@", ("fs:b",), "@"),
        Subvolume("subvolume:b/@data", ("fs:b",), "@data"),
        Mount("mount:/srv", ("subvolume:b/@", "mount:/"), "/srv", "btrfs"),
        Mount("mount:/data", ("subvolume:b/@data", "mount:/"), "/data", "btrfs"),
    )  # fmt: skip
    exclusions = Exclusions(mounts=["/data"])
    assert sorted(excluded(make((*ROOT, OTHER, *items)), exclusions)) == ["mount:/data"]
    assert fates(OTHER, *items, exclusions=exclusions) == {"/": SAVED, "/srv": SAVED, "/data": LOST}


def test_a_subvolume_that_lies_in_no_mounted_one_is_lost() -> None:
    subvolumes = [Subvolume(f"subvolume:b/{path}", ("fs:b",), path) for path in ("@", "@old", "@data")]
    inner = Subvolume("subvolume:b/@data/db", ("subvolume:b/@data",), "@data/db")
    mount = Mount("mount:/data", ("subvolume:b/@data", "mount:/"), "/data", "btrfs")
    below = Mount("mount:/srv", ("subvolume:b/@/srv", "mount:/"), "/srv", "btrfs")
    items = (
        Btrfs("fs:b", ("disk:B",)),
        *subvolumes,
        inner,
        Subvolume("subvolume:b/@old/inner", ("subvolume:b/@old",), "@old/inner"),
        Subvolume("subvolume:b/@/srv", ("subvolume:b/@",), "@/srv"),
        Subvolume("subvolume:b/@/opt", ("subvolume:b/@",), "@/opt"),
    )
    assert fates(OTHER, *items, mount, below) == {
        "/": SAVED, "/data": SAVED, "/srv": SAVED, "subvolume @old": LOST, "subvolume @/opt": LOST,
    }  # fmt: skip
    top = Mount("mount:/top", ("fs:b", "mount:/"), "/top", "btrfs")
    assert fates(OTHER, *items, mount, top) == {"/": SAVED, "/data": SAVED, "/top": SAVED}


@pytest.mark.parametrize(
    ("pattern", "target", "fate"),
    [
        ("/data/*", "/data", LOST),
        ("/data", "/data", LOST),
        ("/d*", "/data", LOST),
        ("/data/[!.]*", "/data", LOST),
        ("/srv/*", "/srv/data", LOST),
        ("/srv", "/srv/data", LOST),
        (r"/srv/da\*", "/srv/data", SAVED),
        ("/data/cache/*", "/data", SAVED),
        ("/database", "/data", SAVED),
        ("/tmp/*", "/tmp", REMADE),
    ],
)
def test_a_pattern_that_leaves_out_all_of_a_file_system_loses_it(pattern: str, target: str, fate: str) -> None:
    mount = Mount(f"mount:{target}", ("fs:data", "mount:/"), target, "ext4")
    assert fates(OTHER, Ext("fs:data", ("disk:B",)), mount, not_saved=[pattern])[target] == fate


@pytest.mark.parametrize("name", ["/data", "/dev/sdb", "precious", "*"])
def test_what_is_given_up_by_any_of_its_names_is_no_loss(name: str) -> None:
    items = (Ext("fs:data", ("disk:B",), label="precious"), DATA)
    exclusions = Exclusions(mounts=["/data"])
    assert fates(OTHER, *items, exclusions=exclusions)["/data"] == LOST
    assert fates(OTHER, *items, exclusions=exclusions, given_up=[name])["/data"] == GIVEN_UP
    assert fates(OTHER, *items, exclusions=exclusions, given_up=["/dat"])["/data"] == LOST


def test_an_empty_word_names_nothing_also_where_a_label_is_missing() -> None:
    items = (OTHER, Ext("fs:old", ("disk:B",), "u"), DATA, Ext("fs:data", ("disk:B",)))
    assert fates(*items, given_up=[""])["file system on /dev/sdb"] == LOST
    assert fates(*items, exclusions=Exclusions(components=[""]))["/data"] == SAVED


def test_the_disk_of_the_backup_is_left_alone_unless_the_backups_are_copied_elsewhere() -> None:
    items = (Ext("fs:data", ("disk:B",)), DATA)
    assert "it holds the backup" in alone(*items, backups={"/data": (LOST, "it holds the backup")})
    assert alone(*items, backups={"/data": (REMADE, "backups, copied elsewhere")}) == ""


def test_a_disk_is_not_taken_because_all_that_is_on_it_is_given_up() -> None:
    items = (Ext("fs:data", ("disk:B",)), DATA)
    assert "/data" in alone(*items, exclusions=Exclusions(mounts=["/data"]), given_up=["*"])


def test_a_disk_with_something_of_both_says_what_is_lost() -> None:
    windows = LeftOut("ntfs on /dev/sda", "the ntfs on it is not described", True, ("disk:A",))
    layout = Layout((*ROOT,), (windows,))
    stake = stakes(layout, contents(layout, Exclusions()))["disk:A"]
    assert [content.title for content in stake.given_back] == ["/"]
    assert [content.title for content in stake.lost] == ["ntfs on /dev/sda"]
    assert stake.why_alone == ""
