# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks that the backup has nothing of, beside the one of the system: a recovery writes to none of them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, replace

import pytest

from lab import guests
from lab.guests import PYTHON
from rear_core.errors import ExitCode

from .disks import SYSTEM, Lab
from .made import PBKDF2
from .test_layouts import STOP

pytestmark = pytest.mark.uml


@dataclass(frozen=True)
class Other:
    """A disk $d of somebody else: what is on it, how the settings exclude it, and what is said of it."""

    name: str
    script: str
    said: str
    settings: str = ""


OTHERS = [
    Other("a file system that rear does not know", "mkfs.minix $d", "minix on /dev/"),
    Other("a file system that nobody mounted", "mkfs.btrfs -q -L old $d", "file system old on /dev/"),
    Other("a closed LUKS volume", f"{PBKDF2} $d /run/key", "inside /dev/"),
    Other(
        "a stopped array",
        "mdadm --quiet --create /dev/md/other --run --force --level=1 --raid-devices=1 --metadata=1.2 $d\n"
        "mdadm --wait /dev/md/other || true; mkfs.ext4 -q /dev/md/other; mdadm --quiet --stop /dev/md/other",
        "member of a stopped array",
    ),
    Other(
        "a volume with a key that is nowhere",
        "cryptsetup open --type plain --cipher aes-xts-plain64 --key-size 512 --key-file /dev/urandom $d plain\n"
        "mkfs.ext4 -q /dev/mapper/plain",
        "encrypted without a LUKS header on its device",
    ),
    Other(
        "an excluded mount point",
        "mkfs.ext4 -q $d; mount $d /srv/other --mkdir",
        "EXCLUDE_MOUNTPOINTS names it",
        "EXCLUDE_MOUNTPOINTS=( /srv/other )",
    ),
    Other(
        "an excluded volume group",
        "pvcreate -qq $d; vgcreate -qq other $d; lvcreate -qq -y -n data -l 100%FREE other\n"
        "mkfs.ext4 -q /dev/other/data; mount /dev/other/data /srv/group --mkdir",
        "EXCLUDE_VG names it",
        "EXCLUDE_VG=( other )",
    ),
    Other(
        "a mount point of which a pattern leaves out everything",
        "mkfs.ext4 -q $d; mount $d /srv/cache --mkdir",
        "BACKUP_PROG_EXCLUDE names all that is in it",
        "BACKUP_PROG_EXCLUDE+=( '/srv/cache/*' )",
    ),
    Other(
        "a line of fstab that nobody mounted",
        "mkfs.ext4 -q -L spare -U 3f0e4cf4-7f2f-4d5e-9d0c-2d6f6a4f0001 $d; udevadm settle; debugfs -w -R 'mkdir x' $d\n"
        "echo 'LABEL=spare /srv/spare ext4 noauto 0 2' >>/etc/fstab",
        "/srv/spare (it was not mounted, so it is not saved)",
    ),
    Other(
        "a partition with data of its own",
        "echo 'type=L' | sfdisk --quiet --label gpt $d; udevadm settle; echo data | dd of=${d}1 status=none",
        "data on /dev/",
    ),
    Other(
        "a volume with data of its own",
        "pvcreate -qq $d; vgcreate -qq raw $d; lvcreate -qq -y -n data -L 8m raw\n"
        "echo data | dd of=/dev/raw/data status=none",
        "data on /dev/",
    ),
    Other(
        "a file system that is only seen through a loop device",
        "mkfs.ext4 -q -F -E offset=10485760 $d 50m; modprobe loop\n"
        "mount -o loop,offset=10485760 $d /srv/loop --mkdir; date >/srv/loop/file",
        "mounted on /srv/loop",
    ),
    Other("a table without contents", "echo 'type=L' | sfdisk --quiet --label gpt $d", "nothing is on it"),
]


def test_a_recovery_takes_the_disk_of_the_system_and_writes_to_no_other(lab: Lab) -> None:
    lab.plug(SYSTEM)
    for other in OTHERS:
        lab.plug(other.script)
    lab.configure(*(other.settings for other in OTHERS))
    said = lab.describe()
    for other in OTHERS:
        assert other.said in said, other.name
    assert said.count("is left alone by a recovery: ") == len(OTHERS)
    lab.shuffle()
    before = lab.checksums()
    answer = lab.recreate()
    assert answer.status == 0, answer.output
    after = lab.checksums()
    assert before[0] != after[0]
    names = ["the system", *(other.name for other in OTHERS)]
    assert [name for name, was, now in zip(names, before, after) if was != now] == ["the system"]


def test_a_disk_that_was_used_through_a_loop_device_does_not_count_as_blank(lab: Lab) -> None:
    """It begins with zeros, and the disk of the system is gone."""
    lab.plug(SYSTEM)
    lab.plug(next(other.script for other in OTHERS if "loop" in other.name))
    lab.configure()
    lab.describe()
    lab.shuffle()
    lab.guest.detach(lab.disks.pop(0).serial)
    before = lab.checksums()
    answer = lab.recreate()
    assert "no disk can replace" in answer.output, answer.output
    assert lab.checksums() == before


DAILY = ("a closed LUKS volume", "an excluded volume group")
BOTH = [
    pytest.param(other, id=other.name, marks=() if other.name in DAILY else pytest.mark.long)
    for other in (*OTHERS, Other("data without a signature", "echo data >$d", "data on /dev/"))
    if other.name not in ("a table without contents", "a partition with data of its own")
]


@pytest.mark.parametrize("other", BOTH)
def test_a_disk_that_also_holds_what_is_lost_is_not_taken_unasked(lab: Lab, other: Other) -> None:
    lab.plug(f"{SYSTEM}\nd=${{d}}2\n{other.script}")
    lab.configure(other.settings)
    assert "is taken by a recovery, which destroys what is not saved: " in lab.describe()
    lab.shuffle()
    before = lab.checksums()
    answer = lab.recreate()
    assert "the data on the disk would be lost, and this run is unattended" in answer.output
    assert lab.checksums() == before
    lab.configure(other.settings, "GIVE_UP=( '*' )")
    answer = lab.recreate()
    assert answer.status == 0, answer.output
    assert lab.checksums() != before


def test_what_several_patterns_empty_together_is_refused_when_it_is_described(lab: Lab) -> None:
    """Of one pattern it is known that the disk is left alone; with several it would be taken, and come back empty."""
    lab.plug(SYSTEM)
    lab.configure("BACKUP_PROG_EXCLUDE+=( '/srv/data/f*' '/srv/data/l*' )")
    said = lab.guest.sh("rear -c /root/lab savelayout")
    assert said.status == ExitCode.CONFIGURATION
    assert "BACKUP_PROG_EXCLUDE leaves out all files of /srv/data: /srv/data/f*" in said.output


def test_what_came_onto_the_disk_of_the_system_since_is_not_overwritten_unasked(lab: Lab) -> None:
    lab.plug(SYSTEM)
    lab.configure()
    assert "destroys" not in lab.describe()
    lab.guest.check("mkfs.ext4 -q /dev/disk/lab/0f00-part2; sync; udevadm settle")
    lab.shuffle()
    before = lab.checksums()
    assert "it holds something that was not recorded" in lab.recreate().output
    assert lab.checksums() == before


TWO = SYSTEM.replace("type=L\n", "size=40MiB,type=L\nsize=40MiB,type=L\n")
GROUP = """\
pvcreate -qq $d; vgcreate -qq sys $d; lvcreate -qq -y -n root -L 48m sys; lvcreate -qq -y -n more -L 40m sys
mkfs.ext4 -q -L system /dev/sys/root; mount /dev/sys/root /srv/data --mkdir; date >/srv/data/file
"""
SAVED = "mkfs.ext4 -q {0}; mount {0} /srv/more --mkdir; date >/srv/more/file"
PART = "/dev/disk/lab/0f00-part2"
DATA = f"dd if=/dev/urandom of={PART} bs=1M count=30 status=none"
FILES = "mkfs.ext4 -q -F /dev/sys/more; mount /dev/sys/more /srv/new --mkdir; date >/srv/new/file; umount /srv/new"
ARRAY = (
    f"{SYSTEM}mdadm --quiet --create /dev/md/more --run --force --level=1 --raid-devices=1 --metadata=1.2 ${{d}}2\n"
    "mdadm --wait /dev/md/more || true\n"
)
NOISE = "dd if=/dev/urandom of={} bs=1M count=4 status=none"
COPY = (
    "umount /srv/data; wipefs -qa {1}; dd if={0} of={1} bs=1M status=none; udevadm settle\n"
    "mount {1} /srv/data; date >/srv/data/new; umount /srv/data"
)
# What was recorded in the second partition or volume, and what somebody has made of it since.
CHANGED = {
    "an array": (ARRAY, NOISE.format("/dev/md/more")),
    "an array with swap": (
        f"{ARRAY}mkswap -q /dev/md/more", f"wipefs -qa /dev/md/more; {NOISE.format('/dev/md/more')}"
    ),
    "a partition of an array": (
        f"{ARRAY}printf 'size=20MiB\\nsize=20MiB\\n' | sfdisk -q -X gpt /dev/md/more; udevadm settle\n"
        "mkfs.ext4 -q /dev/md/more1; mount /dev/md/more1 /srv/more --mkdir; date >/srv/more/file",
        NOISE.format("/dev/md/more2"),
    ),
    "a volume of a whole disk": (GROUP, NOISE.format("/dev/sys/more")),
    "a swap volume of a whole disk": (
        f"{GROUP}mkswap -q /dev/sys/more", f"wipefs -qa /dev/sys/more; {NOISE.format('/dev/sys/more')}"
    ),
    "a swap partition, and a copy of the system now": (
        f"{TWO}mkswap -q ${{d}}2", COPY.format("/dev/disk/lab/0f00-part1", PART)
    ),
    "a swap volume, and a copy of the system now": (
        f"{GROUP}mkswap -q /dev/sys/more", COPY.format("/dev/sys/root", "/dev/sys/more")
    ),
    "a swap partition": (f"{TWO}mkswap -q ${{d}}2", DATA),
    "a partition that is saved": (TWO + SAVED.format("${d}2"), f"umount /srv/more; {DATA}"),
    "an empty file system": (f"{TWO}mkfs.ext4 -q ${{d}}2", DATA),
    "an empty volume group": (
        f"{TWO}pvcreate -qq ${{d}}2; vgcreate -qq empty ${{d}}2",
        f"vgremove -qq -y empty; pvremove -qq -y {PART}; {DATA}",
    ),
    "a swap volume": (f"{GROUP}mkswap -q /dev/sys/more", FILES),
    "a volume that is saved": (GROUP + SAVED.format("/dev/sys/more"), f"umount /srv/more; {FILES}"),
    "a volume that is saved, and was removed": (
        GROUP + SAVED.format("/dev/sys/more"),
        f"umount /srv/more; lvremove -qq -y sys/more; lvcreate -qq -y -n more -L 40m sys; {FILES}",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n == "a swap partition" else pytest.mark.long) for n in CHANGED],
)
def test_what_holds_something_else_by_now_is_not_overwritten_unasked(lab: Lab, name: str) -> None:
    """Data without a signature as well, and in a volume that does not run in the rescue system."""
    made, since = CHANGED[name]
    lab.plug(made)
    lab.configure()
    assert "destroys" not in lab.describe()
    lab.guest.check(f"{since}; sync; udevadm settle")
    lab.shuffle()
    lab.guest.check("udevadm settle; ! vgs sys 2>/dev/null || vgchange -qq -an sys")
    before = lab.checksums()
    assert "it holds something that was not recorded" in lab.recreate().output
    assert lab.checksums() == before
    lab.configure("GIVE_UP=( '*' )")
    answer = lab.recreate()
    assert answer.status == 0, answer.output


def test_a_volume_that_came_into_a_recorded_group_since_is_not_overwritten_unasked(lab: Lab) -> None:
    """Nothing of a group runs in the rescue system, and all that was recorded of the disk is there."""
    lab.plug(
        "pvcreate -qq $d; vgcreate -qq sys $d; lvcreate -qq -y -n root -L 48m sys\n"
        "mkfs.ext4 -q -L system /dev/sys/root; mount /dev/sys/root /srv/data --mkdir; date >/srv/data/file\n"
    )
    lab.configure()
    assert "destroys" not in lab.describe()
    lab.guest.check("lvcreate -qq -y -n new -L 16m sys; mkfs.ext4 -q /dev/sys/new; sync; udevadm settle")
    lab.shuffle()
    lab.guest.check("udevadm settle; vgchange -qq -an sys")
    before = lab.checksums()
    assert "it holds something that was not recorded: LVM2_member, sys/new" in lab.recreate().output
    assert lab.checksums() == before


BTRFS = """\
mkfs.btrfs -q -M $d; mount $d /srv/top --mkdir; cd /srv/top; btrfs -q subvolume create @; date >@/file
"""
# Only this is mounted when the machine is described.
SEEN = "\nsync; cd /; umount /srv/top; mount -o subvol=@ $d /srv/data --mkdir"
NOBODY_SEES = [
    Other(
        "files at the top",
        f"{BTRFS}mkdir vm; date >vm/image{SEEN}",
        "files of btrfs on /dev/sda (they lie outside of all that is mounted of it, as /vm/image)",
    ),
    Other(
        "files beside the subvolume that is mounted",
        f"{BTRFS}btrfs -q subvolume create @/home; date >@/home/file{SEEN.replace('subvol=@', 'subvol=@/home')}",
        "files of btrfs on /dev/sda (they lie outside of all that is mounted of it, as /@/file)",
    ),
    Other(
        "a snapshot with files of its own",
        f"{BTRFS}btrfs -q subvolume snapshot @ @db; date >@db/own{SEEN}",
        "subvolume @db (it was not mounted, so it is not saved)",
    ),
    Other(
        "a snapshot of what is gone",
        f"{BTRFS}btrfs -q subvolume create tpl; date >tpl/own; btrfs -q subvolume snapshot -r tpl @db\n"
        f"btrfs -q subvolume delete -C tpl{SEEN}",
        "snapshot @db (a snapshot of what is no longer there or not described)",
    ),
]


@pytest.mark.parametrize(
    "other",
    [pytest.param(it, id=it.name, marks=pytest.mark.long if it is NOBODY_SEES[-1] else ()) for it in NOBODY_SEES],
)
def test_what_nobody_sees_of_a_btrfs_is_not_overwritten_unasked(lab: Lab, other: Other) -> None:
    lab.plug(other.script)
    lab.configure()
    assert f"is taken by a recovery, which destroys what is not saved: {other.said}" in lab.describe()
    lab.shuffle()
    before = lab.checksums()
    answer = lab.recreate()
    assert "the data on the disk would be lost, and this run is unattended" in answer.output
    assert lab.checksums() == before


def test_a_subvolume_that_came_into_a_recorded_btrfs_since_is_not_overwritten_unasked(lab: Lab) -> None:
    """Snapshots of what comes back are no reason to ask, and what was recorded neither."""
    lab.plug(f"{BTRFS}{SEEN}")
    lab.configure()
    assert "destroys" not in lab.describe()
    lab.guest.check("mount /dev/disk/lab/0f00 /srv/top && btrfs -q subvolume snapshot -r /srv/top/@ /srv/top/before")
    lab.guest.check("umount /srv/top; sync")
    lab.shuffle()
    before = lab.checksums()
    plan = lab.guest.sh("rear -c /root/lab layout plan")
    assert plan.status == 0 and "not recorded" not in plan.output, plan.output
    assert lab.checksums() == before
    lab.guest.check("mount /dev/disk/lab/0f00 /srv/top && btrfs -q subvolume create /srv/top/@db")
    lab.guest.check("date >/srv/top/@db/file; umount /srv/top; sync")
    before = lab.checksums()
    answer = lab.recreate()
    assert re.search(r"it holds something that was not recorded: btrfs.*/@db", answer.output), answer.output
    assert lab.checksums() == before
    assert (
        lab.guest.sh("findmnt --noheadings --source /dev/sda; find /run -maxdepth 1 -type d -name 'rear-*'").output
        == ""
    )


def test_of_snapshots_of_what_comes_back_nobody_is_asked(lab: Lab) -> None:
    """The first one is of the top, which no list of subvolumes has, and the second one of the first."""
    lab.plug(
        "mkfs.btrfs -q -M $d; mount $d /srv/data --mkdir; cd /srv/data; btrfs -q subvolume create home\n"
        "btrfs -q subvolume snapshot -r . one; btrfs -q subvolume snapshot -r one two\n"
        "btrfs -q subvolume snapshot -r home three"
    )
    lab.configure()
    said = lab.describe()
    assert "3 snapshots: the subvolumes they were taken of are described" in said and "destroys" not in said
    lab.shuffle()
    answer = lab.recreate()
    assert answer.status == 0, answer.output


def test_a_snapshot_that_was_written_to_is_saved_where_it_is_seen(lab: Lab) -> None:
    lab.plug(
        "mkfs.btrfs -q -M $d; mount $d /srv/data --mkdir; cd /srv/data; btrfs -q subvolume create tpl\n"
        "btrfs -q subvolume snapshot tpl db; date >db/own"
    )
    lab.configure("EXCLUDE_MOUNTPOINTS=( / )")
    lab.guest.check("mount -t tmpfs tmpfs /srv/backup --mkdir")
    try:
        lab.guest.check("rear -n -c /root/lab mkbackuponly", 240)
        listed = lab.guest.check("tar --list --file /srv/backup/*/*/*.tar*").splitlines()
    finally:
        lab.guest.check("umount /srv/backup")
    assert "./srv/data/db/own" in listed


def test_a_disk_with_only_the_copy_of_its_gpt_does_not_count_as_blank(lab: Lab) -> None:
    """Nobody sees a partition, and its first MiB has zeros alone."""
    lab.plug(SYSTEM)
    lab.configure()
    lab.describe()
    lab.plug("echo 'type=L' | sfdisk --quiet --label gpt $d; dd if=/dev/zero of=$d bs=1M count=1 status=none")
    lab.shuffle()
    lab.guest.detach(lab.disks.pop(0).serial)
    before = lab.checksums()
    answer = lab.recreate()
    assert "it holds data behind a lost table or signature" in answer.output, answer.output
    assert answer.status and lab.checksums() == before


def test_a_mounted_file_system_in_a_file_is_saved_with_what_was_written_last(lab: Lab) -> None:
    """Its kernel keeps that in memory for half a minute."""
    image = "/srv/data/image"
    lab.plug(f"{SYSTEM.replace('40MiB', '80MiB')}\ntruncate -s 20M {image}; mkfs.ext4 -q {image}\n")
    later = "sync; echo last >/srv/inner/file; sleep 6"
    lab.guest.check(f"modprobe loop && mount -o loop {image} /srv/inner --mkdir && {later}")
    lab.configure("EXCLUDE_MOUNTPOINTS=( / )")
    lab.guest.check("mount -t tmpfs tmpfs /srv/backup --mkdir")
    try:
        said = lab.guest.check("rear -n -c /root/lab mkbackuponly 2>&1", 240)
        lab.guest.check(f"tar --extract --to-stdout --file /srv/backup/*/*/*.tar* .{image} >/run/image")
        saved = lab.guest.check("e2fsck -fp /run/image >/dev/null; debugfs -R 'cat file' /run/image 2>/dev/null")
    finally:
        lab.guest.check("umount /srv/backup /srv/inner; rm -f /run/image")
    assert "/srv/inner is saved as one file: " in said
    assert saved == "last"


@pytest.mark.long
def test_a_group_that_another_disk_has_as_well_is_refused_before_anything_is_written(lab: Lab) -> None:
    """The old disk is still plugged in, and nothing of its name can be made beside it."""
    lab.plug(
        "pvcreate -qq $d; vgcreate -qq sys $d; lvcreate -qq -y -n root -L 48m sys\n"
        "mkfs.ext4 -q -L system /dev/sys/root; mount /dev/sys/root /srv/data --mkdir"
    )
    lab.configure("DISK_MAPPING=( 0f00=/dev/disk/lab/0f01 )")
    lab.describe()
    lab.plug("true")
    lab.shuffle()
    lab.guest.check("udevadm settle; ! vgs sys 2>/dev/null || vgchange -qq -an sys")
    before = lab.checksums()
    answer = lab.recreate()
    assert answer.status != 0 and "which the recovery leaves alone, also has physical volume" in answer.output, (
        answer.output
    )
    assert lab.checksums() == before


EMPTY = {
    "volume": "pvcreate -qq $p; vgcreate -qq more $p; lvcreate -qq -y -n empty -L 16m more\n"
    "mkfs.ext4 -q /dev/more/empty",
    "array": "mdadm --quiet --create /dev/md/empty --run --force --level=1 --raid-devices=1 --metadata=1.2 $p\n"
    "mdadm --wait /dev/md/empty || true; mkfs.ext4 -q /dev/md/empty",
}


@pytest.mark.long
def test_a_volume_that_was_blank_and_has_files_now_is_not_overwritten_unasked(lab: Lab) -> None:
    lab.plug(f"{SYSTEM}\np=${{d}}2\npvcreate -qq $p; vgcreate -qq more $p; lvcreate -qq -y -n blank -L 16m more")
    lab.configure()
    assert "destroys" not in lab.describe()
    lab.guest.check("mkfs.ext4 -q /dev/more/blank; mount /dev/more/blank /srv/more --mkdir; date >/srv/more/file")
    lab.guest.check("umount /srv/more; sync")
    lab.shuffle()
    lab.guest.check("udevadm settle; ! vgs more 2>/dev/null || vgchange -qq -an more")
    before = lab.checksums()
    assert "logical volume more/blank (/dev/mapper/more-blank) (it was empty when it was" in lab.recreate().output
    assert lab.checksums() == before


@pytest.mark.parametrize("kind", ["volume", pytest.param("array", marks=pytest.mark.long)])
def test_what_was_empty_and_has_files_now_is_not_overwritten_unasked(lab: Lab, kind: str) -> None:
    """It lies in what does not run in the rescue system, and runs to be read alone."""
    lab.plug(f"{SYSTEM}\np=${{d}}2\n{EMPTY[kind]}")
    lab.configure()
    assert "destroys" not in lab.describe()
    device = {"volume": "/dev/more/empty", "array": "/dev/md/empty"}[kind]
    lab.guest.check(f"mount {device} /srv/empty --mkdir; date >/srv/empty/file; umount /srv/empty; sync")
    lab.shuffle()
    lab.guest.check("udevadm settle; ! vgs more 2>/dev/null || vgchange -qq -an more")
    before = lab.checksums()
    assert "it was empty when it was described, but no longer is" in lab.recreate().output
    assert lab.checksums() == before
    assert lab.guest.sh("lsblk -no TYPE /dev/disk/lab/0f00 | grep -E 'lvm|raid'").output == ""
    lab.configure("GIVE_UP=( '*' )")
    answer = lab.recreate()
    assert answer.status == 0, answer.output


@pytest.mark.long
def test_a_mirror_of_whole_disks_that_was_empty_and_has_files_now_is_left_alone(lab: Lab) -> None:
    lab.plug(SYSTEM)
    lab.plug("true")
    lab.plug(
        "mdadm --quiet --create /dev/md/both --run --level=1 --raid-devices=2 --metadata=1.2 /dev/disk/lab/0f01 $d\n"
        "mdadm --wait /dev/md/both || true; mkfs.ext4 -q /dev/md/both"
    )
    lab.configure()
    lab.describe()
    lab.guest.check("mount /dev/md/both /srv/both --mkdir; date >/srv/both/file; umount /srv/both; sync")
    lab.shuffle()
    before = lab.checksums()
    answer = lab.recreate()
    assert answer.status == 0, answer.output
    assert lab.checksums()[1:] == before[1:]


def test_a_recovery_that_is_resumed_knows_its_own_file_systems(lab: Lab) -> None:
    lab.plug(f"{SYSTEM}\n{SAVED.format('${d}2')}")
    lab.configure("GIVE_UP=( '*' )")
    lab.describe()
    lab.shuffle()
    assert lab.recreate().status == 0
    lab.guest.check(
        f"mkfs.ext4 -q -F -L mine {PART}; mount {PART} /srv/new --mkdir; date >/srv/new/own; umount /srv/new"
    )
    answer = lab.recreate()
    assert answer.status == 0 and '"differences": []' in answer.output, answer.output
    lab.guest.check(f"mount {PART} /srv/new; [ ! -e /srv/new/own ]; umount /srv/new")


def test_what_cannot_be_looked_into_does_not_count_as_empty(lab: Lab) -> None:
    lab.plug(f"{SYSTEM}\np=${{d}}2\n{EMPTY['array']}")
    lab.configure()
    assert "destroys" not in lab.describe()
    lab.shuffle()
    before = lab.checksums()
    hold = f"import os, time; os.open({PART!r}, os.O_RDONLY | os.O_EXCL); print('held', flush=True); time.sleep(600)"
    lab.guest.check(
        f"{PYTHON} -c {shlex.quote(hold)} >/run/held & echo $! >/run/holder; until [ -s /run/held ]; do :; done"
    )
    answer = lab.recreate()
    lab.guest.check("kill $(cat /run/holder); rm /run/held")
    assert "the data on the disk would be lost, and this run is unattended" in answer.output, answer.output
    assert lab.checksums() == before


TORN = {
    "a mirror of btrfs": "mkfs.btrfs -q -M -m raid1 -d raid1 $a $b; mount $a /srv/data --mkdir",
    "a volume group": "pvcreate -qq $a $b; vgcreate -qq sys $a $b; lvcreate -qq -y -n root -L 48m sys $a\n"
    "mkfs.ext4 -q -L system /dev/sys/root; mount /dev/sys/root /srv/data --mkdir",
}


@pytest.mark.parametrize("torn", TORN)
def test_a_disk_of_which_nothing_is_made_without_another_is_not_erased_unasked(lab: Lab, torn: str) -> None:
    """Somebody leaves the other one out, as it is broken."""
    lab.plug("true")
    lab.plug(f"a=/dev/disk/lab/0f00 b=$d\n{TORN[torn]}\ndate >/srv/data/file")
    lab.configure("DISK_MAPPING=( 0f01=none )")
    lab.describe()
    lab.shuffle()
    lab.guest.check("udevadm settle; ! vgs sys 2>/dev/null || vgchange -qq -an sys")
    before = lab.checksums()
    answer = lab.recreate()
    assert "it would lose: /srv/data (it also lies on disk" in answer.output, answer.output
    assert lab.checksums() == before


def test_what_no_table_tells_of_any_more_is_not_overwritten_unasked(lab: Lab) -> None:
    """A lost table is a reason for a recovery; the file system that nobody saved is still there."""
    lab.plug(
        f"{SYSTEM}\nmkfs.ext4 -q -L old ${{d}}2; mount ${{d}}2 /srv/old --mkdir; date >/srv/old/file; umount /srv/old"
    )
    lab.configure()
    assert "destroys what is not saved" in lab.describe()
    lab.guest.check(
        "umount /srv/data; dd if=/dev/zero of=/dev/disk/lab/0f00 bs=1M count=1 conv=notrunc status=none; sync"
    )
    lab.shuffle()
    before = lab.checksums()
    # The plan says the same.
    assert "ASKED: " in lab.guest.check("rear -c /root/lab layout plan")
    answer = lab.recreate()
    assert "it would lose: file system old on" in answer.output, answer.output
    assert lab.checksums() == before
    lab.configure("GIVE_UP=( old )")
    answer = lab.recreate()
    assert answer.status == 0, answer.output


@pytest.mark.long
def test_a_disk_that_is_used_by_another_path_is_not_overwritten(lab: Lab) -> None:
    """Without multipathd the kernel knows two disks, of which it sees only one in use."""
    lab.plug(SYSTEM)
    lab.configure()
    lab.describe()
    lab.unplug()
    lab.disks = [replace(disk, paths=2) for disk in lab.disks]
    lab.guest.attach(*lab.disks)
    used, free = lab.guest.check("lsblk -dnpo NAME,SERIAL | awk '$2 == \"0f00\" {print $1}'").split()
    before = lab.checksums()
    lab.guest.check(f"mount --read-only {used}1 /srv/data")
    answer = lab.recreate()
    assert f"{free}: {used} is the same disk, and it is mounted on /srv/data" in answer.output, answer.output
    lab.guest.check("umount /srv/data")
    # What nobody sees mounted, as in another namespace, the kernel knows of.
    lab.guest.check(
        f"unshare --mount --propagation=private sh -c 'mount -o ro {used}1 /mnt; exec sleep 60' &>/dev/null &"
    )
    lab.guest.check(f"until ! python3 -c 'import os; os.open(\"{used}\", os.O_EXCL)' 2>/dev/null; do sleep 0.1; done")
    lab.configure(f"DISK_MAPPING=( 0f00={free} )")
    answer = lab.recreate()
    lab.guest.check("kill %1; wait || true")
    assert f"{free} is in use and cannot be overwritten: Device or resource busy, as {used}" in answer.output, (
        answer.output
    )
    assert lab.checksums() == before


def test_a_disk_that_is_left_out_and_lost_its_table_takes_the_place_of_no_other(lab: Lab) -> None:
    lab.plug(SYSTEM)
    lab.plug("mkfs.ext4 -q $d; mount $d /srv/more --mkdir; date >/srv/more/file")
    lab.configure("DISK_MAPPING=( 0f00=none )")
    lab.describe()
    lab.unplug()
    lab.guest.attach(lab.disks[0])
    lab.guest.check("dd if=/dev/zero of=/dev/disk/lab/0f00 bs=1M count=1 conv=notrunc status=none; sync")
    lab.guest.check("blockdev --rereadpt /dev/disk/lab/0f00; udevadm settle")
    before = lab.checksums()
    answer = lab.recreate()
    assert "it holds data behind a lost table or signature" in answer.output, answer.output
    assert lab.checksums() == before
    lab.guest.attach(lab.disks[1])


def test_a_run_that_failed_is_not_resumed_on_another_disk_with_the_same_contents(lab: Lab) -> None:
    """The disk that was lost is back under the name of its successor: its files would stay among those restored."""
    lab.plug(SYSTEM)
    lab.configure()
    lab.describe()
    lab.guest.check("umount /srv/data")
    answer = lab.recreate()
    assert answer.status == 0, answer.output
    lab.guest.check("mount /dev/disk/lab/0f00-part1 /mnt && echo old >/mnt/file && umount /mnt && sync")
    lab.unplug()
    copy = guests.Disk(lab.folder / "copy", "0f01")
    copy.path.write_bytes(lab.disks[0].path.read_bytes())
    lab.disks = [copy]
    lab.guest.attach(copy)
    for is_there in (False, True):
        answer = lab.recreate()
        assert answer.status == 0, answer.output
        lab.guest.check("mount /dev/disk/lab/0f01-part1 /mnt")
        assert (lab.guest.sh("test -e /mnt/file").status == 0) == is_there
        # The same disk is gone on with.
        lab.guest.check("echo restored >/mnt/file && umount /mnt")


@pytest.mark.long
def test_volumes_behind_a_lost_label_of_their_disk_are_not_overwritten_unasked(lab: Lab) -> None:
    """The metadata of LVM can be written again, which has its volumes behind the first MiB."""
    lab.plug(GROUP.replace("$p", "$d"))
    lab.configure("EXCLUDE_MOUNTPOINTS=( /srv/home )")
    lab.describe()
    lab.guest.check("umount /srv/data /srv/home; vgchange -qq -an sys")
    lab.guest.check("dd if=/dev/zero of=/dev/disk/lab/0f00 bs=1M count=1 conv=notrunc status=none; sync")
    lab.shuffle()
    before = lab.checksums()
    answer = lab.recreate()
    assert "it would lose: /srv/home" in answer.output, answer.output
    assert lab.checksums() == before
    lab.configure("EXCLUDE_MOUNTPOINTS=( /srv/home )", "GIVE_UP=( /srv/home )")
    answer = lab.recreate()
    assert answer.status == 0, answer.output


def test_a_mirror_comes_back_degraded_on_the_disk_that_is_there(lab: Lab) -> None:
    lab.plug("true")
    lab.plug(
        "mdadm --quiet --create /dev/md/both --run --level=1 --raid-devices=2 /dev/disk/lab/0f00 $d\n"
        "mdadm --wait /dev/md/both || true; mkfs.ext4 -q -L system /dev/md/both; mount /dev/md/both /srv/data --mkdir\n"
    )
    lab.configure("DISK_MAPPING=( 0f01=none )")
    lab.describe()
    lab.shuffle()
    # Its other member is still there, with the same identifiers.
    before = lab.checksums()
    answer = lab.recreate()
    assert answer.status == 0, answer.output
    assert "it is created degraded, without the members 1" in answer.output
    assert (
        "which the recovery leaves alone, also has" in answer.output
        and "the system may start from that" in answer.output
    )
    assert "degraded" in lab.guest.check("mdadm --detail /dev/md*[0-9] | grep 'State :'")
    assert [was == now for was, now in zip(before, lab.checksums())] == [False, True]


@dataclass(frozen=True)
class Shared:
    """A disk $d with the file system `system` on /srv/data, which comes back, and with contents that would be lost: on
    these devices, which `again` makes visible after the disk was plugged in."""

    name: str
    script: str
    lost: tuple[str, ...]
    settings: str
    again: str = "true"


GROUP = """\
pvcreate -qq $p; vgcreate -qq sys $p
lvcreate -qq -y -n root -L 48m sys; lvcreate -qq -y -n home -L 48m sys; lvcreate -qq -y -n swap -L 16m sys
mkfs.ext4 -q -L system /dev/sys/root; mkfs.ext4 -q -L home /dev/sys/home; mkswap -q /dev/sys/swap
mount /dev/sys/root /srv/data --mkdir; mount /dev/sys/home /srv/home --mkdir; date >/srv/home/file
"""
SHARED = [
    Shared(
        "partitions",
        """\
sfdisk --quiet --label gpt $d <<END
size=40MiB, name=system
size=40MiB, name=windows
size=40MiB, name=home
size=20MiB, type=S
END
udevadm settle
mkfs.ext4 -q -L system ${d}1; mkfs.minix ${d}2; mkfs.ext4 -q -L home ${d}3; mkswap -q ${d}4
mount ${d}1 /srv/data --mkdir; mount ${d}3 /srv/home --mkdir; date >/srv/home/file
""",
        ("/dev/disk/by-partlabel/windows", "/dev/disk/by-partlabel/home"),
        "EXCLUDE_MOUNTPOINTS=( /srv/home )",
    ),
    Shared(
        "volumes",
        f"echo 'type=V' | sfdisk --quiet --label gpt $d; udevadm settle; p=${{d}}1\n{GROUP}",
        ("/dev/sys/home",),
        "EXCLUDE_MOUNTPOINTS=( /srv/home )",
        "vgchange -qq -ay sys; udevadm settle",
    ),
    Shared(
        "an encrypted partition that nobody has opened",
        f"""\
sfdisk --quiet --label gpt $d <<END
size=40MiB, name=system
size=40MiB, name=vault
END
udevadm settle
mkfs.ext4 -q -L system ${{d}}1; {PBKDF2} ${{d}}2 /run/word; mount ${{d}}1 /srv/data --mkdir
""",
        ("/dev/disk/by-partlabel/vault",),
        "",
    ),
    Shared(
        "volumes in an encrypted one",
        "echo 'type=L' | sfdisk --quiet --label gpt $d; udevadm settle\n"
        f"{PBKDF2} ${{d}}1 /run/word\n"
        f"cryptsetup open --key-file /run/word ${{d}}1 crypt; p=/dev/mapper/crypt\n{GROUP}",
        ("/dev/sys/home",),
        "EXCLUDE_MOUNTPOINTS=( /srv/home )",
        "cryptsetup open --key-file /run/word /dev/disk/lab/0f00-part1 crypt; vgchange -qq -ay sys; udevadm settle",
    ),
]


@pytest.mark.parametrize(
    "shared", [pytest.param(it, id=it.name, marks=pytest.mark.long if it is SHARED[-1] else ()) for it in SHARED]
)
def test_what_would_be_lost_is_kept_in_place(lab: Lab, shared: Shared) -> None:
    lab.plug(shared.script)
    lab.configure(shared.settings)
    lab.describe()
    lab.shuffle()
    lab.guest.check(shared.again)
    identity = "blkid -c /dev/null | sort | grep -v -e minix"
    before = [lab.checksum(device) for device in shared.lost], lab.guest.check(identity)
    lab.guest.check(f"(\n{STOP}\n)")
    lab.configure(shared.settings, "KEEP_IN_PLACE=yes")
    answer = lab.recreate()
    assert answer.status == 0, answer.output
    assert "FACTS" in answer.output and '"differences": []' in answer.output
    lab.guest.check(f"(\n{STOP}\n)")
    lab.guest.check(shared.again)
    assert ([lab.checksum(device) for device in shared.lost], lab.guest.check(identity)) == before
    assert lab.guest.check("mount LABEL=system /srv/data && ls /srv/data") == "lost+found"


def test_what_is_not_as_it_was_recorded_is_not_kept_in_place(lab: Lab) -> None:
    lab.plug(SHARED[0].script)
    lab.configure(SHARED[0].settings)
    lab.describe()
    lab.guest.check("umount /srv/home && sfdisk --quiet --delete /dev/disk/lab/0f00 4 && udevadm settle")
    lab.shuffle()
    lab.configure(SHARED[0].settings, "KEEP_IN_PLACE=yes")
    before = lab.checksums()
    answer = lab.recreate()
    assert re.search(r"it cannot be kept in place: partition \S+ .*is missing", answer.output), answer.output
    assert lab.checksums() == before


@pytest.mark.long
def test_a_group_on_a_mirror_is_made_again_on_the_disks_that_have_it(lab: Lab) -> None:
    """A new array of the same members begins with what the old one did."""
    lab.plug("true")
    lab.plug(
        "mdadm --quiet --create /dev/md/both --run --level=1 --raid-devices=2 /dev/disk/lab/0f00 $d\n"
        "mdadm --wait /dev/md/both || true; d=/dev/md/both\n" + GROUP.replace("$p", "$d")
    )
    lab.configure()
    lab.describe()
    lab.shuffle()
    # As in a rescue system, where nothing starts by itself.
    rule = "/run/udev/rules.d/69-lvm.rules"
    lab.guest.check(f"mkdir -p {rule.rpartition('/')[0]}; ln -s /dev/null {rule}; udevadm control --reload")
    answer = lab.recreate()
    lab.guest.check(f"rm {rule}; udevadm control --reload")
    assert answer.status == 0 and '"differences": []' in answer.output, answer.output
