# SPDX-License-Identifier: GPL-3.0-or-later
"""What came onto recorded disks since they were described, inside of what does not run, is never overwritten unasked.

Nothing starts by itself in the rescue system: arrays, groups and file systems are only looked into by rear.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace

import pytest

from lab import guests

from .disks import SYSTEM, Lab

pytestmark = pytest.mark.uml

A, B = "/dev/disk/lab/0f00", "/dev/disk/lab/0f01"
MIRROR = (
    f"mdadm --quiet --create /dev/md/both --run --level=1 --raid-devices=2 {A} $d; mdadm --wait /dev/md/both || true"
)
TWO_PARTS = "printf 'size=80MiB,type=R\\ntype=R\\n' | sfdisk -q --label gpt $d; udevadm settle"
# udev would activate a group as soon as its array runs.
NO_RULE = "mkdir -p /run/udev/rules.d; ln -sf /dev/null /run/udev/rules.d/69-lvm.rules; udevadm control --reload"
STOP = "udevadm settle; ! vgs sys 2>/dev/null || vgchange -qq -an sys; mdadm --quiet --stop --scan || true"


def described(lab: Lab, *layouts: str) -> None:
    """A machine with disks that are made so, and described: nothing of them would be lost."""
    for layout in layouts:
        lab.plug(layout)
    lab.configure()
    assert "destroys" not in lab.describe()


def later(lab: Lab, *commands: str) -> None:
    """What happens on the machine afterwards."""
    lab.guest.check("(set -e; " + "; ".join(commands) + "; sync)")


def put(device: str) -> str:
    """Something that no backup has, in a file system of its own."""
    return f"mkfs.ext4 -q {device}; mount {device} /srv/new --mkdir; echo precious >/srv/new/file; umount /srv/new"


def untouched(lab: Lab, *numbers: int) -> None:
    """An unattended recovery leaves these disks as they are."""
    before = lab.checksums()
    answer = lab.recreate()
    after = lab.checksums()
    assert [after[n] for n in numbers] == [before[n] for n in numbers], answer.output


def exchange_second_disk(lab: Lab) -> None:
    """It has died, and a blank one is in its place."""
    lab.unplug()
    lab.disks[1] = guests.Disk(guests.blank(lab.folder / "new", 192), "0f99")
    lab.guest.attach(*lab.disks)
    lab.guest.check(STOP)


def test_half_of_a_mirror_that_was_taken_out_and_used_otherwise(lab: Lab) -> None:
    described(
        lab,
        "true",
        f"{MIRROR}\nmkfs.ext4 -q -L system /dev/md/both; mount /dev/md/both /srv/data --mkdir; date >/srv/data/file",
    )
    later(
        lab,
        f"b=$(readlink -f {B})", "mdadm --quiet /dev/md/both --fail $b", "mdadm --quiet /dev/md/both --remove $b",
        "date >/srv/data/more", "umount /srv/data", "mdadm --quiet --stop /dev/md/both",
        f"mdadm --quiet --assemble --run /dev/md/split {B}", "wipefs -qa /dev/md/split", put("/dev/md/split"),
        "mdadm --quiet --stop /dev/md/split",
    )  # fmt: skip
    lab.shuffle()
    untouched(lab, 1)


def test_a_mirror_of_which_one_disk_has_died(lab: Lab) -> None:
    create = "mdadm --quiet --create /dev/md/m$n --run --level=1 --raid-devices=2"
    arrays = f"for n in 1 2; do {create} {A}-part$n ${{d}}$n; done"
    made = "mdadm --wait /dev/md/m1 /dev/md/m2 || true; mkfs.ext4 -q -L system /dev/md/m1; mkswap -q /dev/md/m2"
    described(
        lab, TWO_PARTS, f"{TWO_PARTS}; {arrays}\n{made}\nmount /dev/md/m1 /srv/data --mkdir; date >/srv/data/file"
    )
    later(lab, "wipefs -qa /dev/md/m2", put("/dev/md/m2"))
    exchange_second_disk(lab)
    untouched(lab, 0)


@pytest.mark.long
def test_a_group_of_which_one_disk_has_died(lab: Lab) -> None:
    group = f"pvcreate -qq {A} $d; vgcreate -qq sys {A} $d"
    volumes = f"lvcreate -qq -y -n root -L 48m sys {A}; lvcreate -qq -y -n swap -L 40m sys {A}"
    made = "mkfs.ext4 -q /dev/sys/root; mkswap -q /dev/sys/swap; mount /dev/sys/root /srv/data --mkdir"
    described(lab, "true", "\n".join([group, volumes, made, "date >/srv/data/file"]))
    later(lab, "wipefs -qa /dev/sys/swap", put("/dev/sys/swap"))
    exchange_second_disk(lab)
    untouched(lab, 0)


@pytest.mark.parametrize("below", ["a volume", pytest.param("an array", marks=pytest.mark.long)])
def test_a_subvolume_of_a_btrfs_on_what_does_not_run(lab: Lab, below: str) -> None:
    volume = "pvcreate -qq $d; vgcreate -qq sys $d; lvcreate -qq -y -n root -L 150m sys; d=/dev/sys/root"
    made = volume if below == "a volume" else f"{MIRROR}; d=/dev/md/both"
    subvolume = (
        "mkfs.btrfs -q $d; mount $d /srv/top --mkdir; btrfs -q subvolume create /srv/top/@; date >/srv/top/@/f\n"
        "umount /srv/top; mount -o subvol=@ $d /srv/data --mkdir"
    )
    described(lab, "true", f"{made}\n{subvolume}")
    later(
        lab,
        "mount -o subvolid=5 $(findmnt -nvo SOURCE /srv/data) /srv/top", "btrfs -q subvolume create /srv/top/db",
        "echo precious >/srv/top/db/file", "sync", "umount /srv/top",
    )  # fmt: skip
    lab.shuffle()
    lab.guest.check(STOP)
    untouched(lab, 0, 1)


@pytest.mark.long
def test_a_volume_of_a_group_on_an_array(lab: Lab) -> None:
    group = "pvcreate -qq /dev/md/both; vgcreate -qq sys /dev/md/both; lvcreate -qq -y -n root -L 48m sys"
    made = "mkfs.ext4 -q /dev/sys/root; mount /dev/sys/root /srv/data --mkdir; date >/srv/data/file"
    described(lab, "true", "\n".join([MIRROR, group, made]))
    later(lab, "lvcreate -qq -y -n new -L 16m sys", put("/dev/sys/new"), NO_RULE)
    lab.shuffle()
    lab.guest.check("udevadm settle; mdadm --quiet --stop --scan || true")
    try:
        untouched(lab, 0, 1)
    finally:
        lab.guest.check("rm /run/udev/rules.d/69-lvm.rules; udevadm control --reload")


@pytest.mark.long
def test_a_partition_where_sectors_have_another_size(lab: Lab) -> None:
    """As in another enclosure: the table of partitions is there, and the kernel does not find it."""
    described(lab, SYSTEM.replace("type=L", "size=40MiB"))
    later(
        lab, f"echo 'size=40MiB' | sfdisk -q -a --no-reread {A}", f"partx -u {A}", "udevadm settle", put(f"{A}-part3")
    )
    lab.unplug()
    lab.disks = [replace(disk, sector_size=4096) for disk in lab.disks]
    lab.guest.attach(*lab.disks)
    untouched(lab, 0)


@pytest.mark.parametrize(
    "mount",
    [
        "mount -t tmpfs none /srv/data/nfs",
        pytest.param("mount --bind /srv/data/other /srv/data/nfs", marks=pytest.mark.long),
    ],
)
def test_files_that_a_mount_hides_since_before_the_description(lab: Lab, mount: str) -> None:
    hidden = f"mkdir /srv/data/nfs /srv/data/other; echo precious >/srv/data/nfs/file; {mount}"
    lab.plug(f"{SYSTEM}{hidden}\n")
    lab.configure()
    assert "files below mounts in /srv/data (nobody sees them, as /srv/data/nfs/file" in lab.describe()
    lab.shuffle()
    untouched(lab, 0)


PARTS = SYSTEM.replace("type=L\n", "size=40MiB,type=S\nsize=40MiB,type=L\n")
OLD = "mkfs.ext4 -q -L old {0}; mount {0} /srv/old --mkdir; date >/srv/old/file; umount /srv/old"
GROUP = (
    "pvcreate -qq $d; vgcreate -qq sys $d; lvcreate -qq -y -n root -L 48m sys; lvcreate -qq -y -n old -L 48m sys\n"
    "mkfs.ext4 -q /dev/sys/root; mount /dev/sys/root /srv/data --mkdir; date >/srv/data/file\n"
)
RENAME = "lvrename -qq sys root tmp; lvrename -qq sys old root; lvrename -qq sys tmp old"
EXCHANGE = f"cat {A}-part3 >/root/old; cat {A}-part2 >{A}-part3; cat /root/old >{A}-part2; rm /root/old; udevadm settle"


@pytest.mark.parametrize(
    ("layout", "change"),
    [
        (GROUP + OLD.format("/dev/sys/old"), RENAME),
        (f"{PARTS}mkswap -q ${{d}}2; {OLD.format('${d}3')}", EXCHANGE),
    ],
    ids=["names of volumes", "partitions"],
)
def test_what_is_kept_in_place_and_lies_in_another_place_by_now(lab: Lab, layout: str, change: str) -> None:
    lab.plug(layout)
    lab.configure("KEEP_IN_PLACE=yes")
    lab.describe()
    later(lab, "umount /srv/data", change)
    lab.shuffle()
    untouched(lab, 0)


MORE = SYSTEM.replace("type=L\n", "size=40MiB,type=L\nsize=60MiB,type=L\n")
ALONE = "mount {0} /srv/vm --mkdir; rmdir /srv/vm/lost+found; date >/srv/vm/image; umount /srv/vm"


@pytest.mark.parametrize("since", [False, pytest.param(True, marks=pytest.mark.long)], ids=["before", "since"])
def test_one_file_where_lost_and_found_was(lab: Lab, since: bool) -> None:
    lab.plug(f"{MORE}mkfs.ext4 -q ${{d}}2\n" + ("" if since else ALONE.format("${d}2")))
    lab.configure()
    lab.describe()
    if since:
        later(lab, ALONE.format(f"{A}-part2"))
    lab.shuffle()
    untouched(lab, 0)


@pytest.mark.long
def test_what_was_empty_where_an_older_copy_of_it_is_empty(lab: Lab) -> None:
    lab.plug(f"{MORE}mkfs.ext4 -q ${{d}}2")
    lab.configure()
    lab.describe()
    copy = guests.Disk(lab.folder / "copy", "0f77")
    shutil.copy(lab.disks[0].path, copy.path)
    later(lab, f"mount {A}-part2 /srv/more --mkdir", "date >/srv/more/file", "umount /srv/more")
    lab.unplug()
    lab.disks.append(copy)
    lab.guest.attach(*lab.disks)
    untouched(lab, 0)


PV = "E6D6D379-F507-44C2-A23C-238F2A3DF928"


@pytest.mark.long
def test_a_physical_volume_that_went_to_a_group_which_is_left_alone(lab: Lab) -> None:
    lab.plug("true")
    lab.plug(
        f"printf 'size=60MiB,type={PV}\\ntype={PV}\\n' | sfdisk -q --label gpt {A}; udevadm settle\n"
        f"pvcreate -qq {A}-part1 {A}-part2; vgcreate -qq sys {A}-part1 {A}-part2; lvcreate -qq -y -n root -L 40m sys\n"
        "mkfs.ext4 -q /dev/sys/root; mount /dev/sys/root /srv/data --mkdir; date >/srv/data/file\n"
        "pvcreate -qq $d; vgcreate -qq data $d; lvcreate -qq -y --type thin-pool -L 100m -n pool data\n"
        "lvcreate -qq -y -V 180m -T data/pool -n files; mkfs.ext4 -q /dev/data/files\n"
        "mount /dev/data/files /srv/files --mkdir"
    )
    lab.configure("EXCLUDE_VG=( data )")
    lab.describe()
    later(lab, f"vgreduce -qq sys {A}-part2; vgextend -qq data {A}-part2; lvextend -qq -L +100m data/pool {A}-part2")
    lab.shuffle()
    lab.guest.check("udevadm settle; vgchange -qq -an sys data")
    untouched(lab, 0, 1)


@pytest.mark.long
def test_a_journal_of_a_file_system_that_is_excluded(lab: Lab) -> None:
    lab.plug(SYSTEM.replace("type=L\n", "size=40MiB,type=L\nsize=70MiB,type=L\n"))
    journal = f"mke2fs -q -O journal_dev -b 1024 {A}-part2; mkfs.ext4 -q -b 1024 -J device={A}-part2 $d"
    lab.plug(f"{journal}; mount $d /srv/old --mkdir; date >/srv/old/x")
    lab.configure("EXCLUDE_DEVICES+=( " + lab.guest.check(f"readlink -f {B}").strip() + " )")
    assert "its file system is not described" in lab.describe()
    lab.shuffle()
    untouched(lab, 0)


def test_a_disk_on_which_rear_puts_its_media(lab: Lab) -> None:
    """rear itself leaves out all that is there."""
    lab.plug(SYSTEM)
    lab.plug(
        "mkfs.ext4 -q $d; mkdir -p /var/lib/rear/output; mount $d /var/lib/rear/output; date >/var/lib/rear/output/iso"
    )
    lab.configure()
    lab.describe()
    lab.guest.check("umount /var/lib/rear/output")
    lab.shuffle()
    untouched(lab, 1)


@pytest.mark.long
def test_a_partition_of_a_table_without_identifier(lab: Lab) -> None:
    lab.plug(SYSTEM.replace("--label gpt", "--label dos").replace("type=L", "size=20MiB"))
    lab.guest.check(f"sfdisk --disk-id --no-reread --force {A} 0; partx -u {A}; udevadm settle; true")
    described(lab)
    later(
        lab,
        f"umount /srv/data; echo 'start=80MiB,size=40MiB' | sfdisk -q -a --no-reread --force {A}",
        f"partx -u {A}; udevadm settle",
        f"dd if=/dev/urandom of={A}-part3 bs=1M seek=2 count=10 status=none",
    )
    lab.shuffle()
    untouched(lab, 0)


GROUP = "pvcreate -qq $d; vgcreate -qq sys $d; lvcreate -qq -y -n root -L 48m sys; mkfs.ext4 -q -L system /dev/sys/root"
MOUNTED = "mount {0} /srv/data --mkdir; date >/srv/data/file"
BY_MACHINE_ID = "echo 'global { system_id_source = \"machineid\" }' >/etc/lvm/lvmlocal.conf"


@pytest.fixture
def other_system(lab: Lab) -> Iterator[str]:
    """A command that gives the guest another machine ID, as a rescue system has; LVM is as before afterwards."""
    lab.guest.check("cp /etc/machine-id /run/machine-id")
    yield "echo 2b2b3c4d5e6f708192a3b4c5d6e7f809 >/etc/machine-id"
    lab.guest.check("rm -f /etc/lvm/lvmlocal.conf; cp /run/machine-id /etc/machine-id")


@pytest.mark.parametrize("kind", ["a volume", pytest.param("a file in an empty volume", marks=pytest.mark.long)])
def test_in_a_group_that_belongs_to_the_machine_and_not_to_the_rescue_system(
    lab: Lab, other_system: str, kind: str
) -> None:
    lab.guest.check(BY_MACHINE_ID)
    empty = "lvcreate -qq -y -n more -L 40m sys; mkfs.ext4 -q /dev/sys/more"
    described(lab, "\n".join([GROUP, MOUNTED.format("/dev/sys/root"), "" if kind == "a volume" else empty]))
    if kind == "a volume":
        later(lab, "lvcreate -qq -y -n more -L 40m sys", put("/dev/sys/more"))
    else:
        later(lab, "mount /dev/sys/more /srv/new --mkdir", "date >/srv/new/file", "umount /srv/new")
    lab.shuffle()
    lab.guest.check(other_system)
    untouched(lab, 0)


@pytest.mark.long
def test_in_a_group_that_went_to_another_system(lab: Lab, other_system: str) -> None:
    described(lab, f"{MORE}pvcreate -qq ${{d}}2; vgcreate -qq sys ${{d}}2")
    foreign = ("vgchange -qq -an sys", "vgchange -qq -y --systemid other sys")
    later(lab, "lvcreate -qq -y -n more -L 20m sys", put("/dev/sys/more"), *foreign)
    lab.shuffle()
    untouched(lab, 0)


@pytest.mark.long
def test_in_a_group_whose_disk_with_the_metadata_is_not_here(lab: Lab) -> None:
    described(lab, GROUP + "\n" + MOUNTED.format("/dev/sys/root"))
    lab.plug(f"pvcreate -qq $d; vgextend -qq sys $d; lvcreate -qq -y -n more -L 80m sys {A}")
    later(lab, put("/dev/sys/more"), f"pvchange -qq --metadataignore y {A}")
    lab.unplug()
    del lab.disks[1]
    lab.guest.attach(*lab.disks)
    untouched(lab, 0)


BESIDE = """\
mkfs.btrfs -q -M -L system $d; mount $d /srv/top --mkdir; btrfs -q subvolume create /srv/top/@; umount /srv/top
mount -o subvol=@ $d /srv/data --mkdir; date >/srv/data/file
"""


def test_files_beside_the_subvolume_that_was_mounted(lab: Lab) -> None:
    described(lab, BESIDE)
    later(lab, f"mount {A} /srv/top", "mkdir /srv/top/vm", "date >/srv/top/vm/image", "umount /srv/top")
    lab.shuffle()
    untouched(lab, 0)


@pytest.mark.long
def test_the_files_of_another_btrfs_that_stands_on_it(lab: Lab) -> None:
    described(lab, BESIDE)
    seed = ("umount /srv/data", f"btrfstune -S 1 {A}", f"mount -o subvol=@ {A} /srv/data")
    later(lab, *seed)
    lab.plug("btrfs -q device add $d /srv/data; mount -o remount,rw /srv/data; date >/srv/data/new")
    lab.unplug()
    del lab.disks[1]
    lab.guest.attach(*lab.disks)
    untouched(lab, 0)


@pytest.mark.long
def test_a_snapshot_with_a_file_system_of_its_own_since_before_the_description(lab: Lab) -> None:
    snapshot = "sync; lvcreate -qq -s -y -L 40m -n clone sys/root"
    lab.plug("\n".join([GROUP, MOUNTED.format("/dev/sys/root"), snapshot, put("/dev/sys/clone").replace("-q", "-qF")]))
    lab.configure()
    assert "a file system of its own" in lab.describe()
    lab.shuffle()
    untouched(lab, 0)
