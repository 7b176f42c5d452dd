# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that are those of another disk by now, disks that are there twice, and disks that take no writes."""

from __future__ import annotations

import shlex
import shutil

import pytest

from lab import guests
from lab.guests import PYTHON, Answer

from .disks import SYSTEM, Lab
from .test_layouts import STOP

pytestmark = pytest.mark.uml

ARCHIVE = "mkfs.ext4 -q -L archive $d; mount $d /srv/archive --mkdir; date >/srv/archive/file\n"
LOST = "EXCLUDE_MOUNTPOINTS=( /srv/archive )"
# What `rear mountonly` does, on a machine that is no rescue system.
MOUNT_ONLY = """\
from pathlib import Path
from rear_core.builtin import existing
from rear_core.cli.session import open_run
from rear_core.run import Options

run = open_run(Options(unattended=True, config_dir=Path("/root/lab"), target=Path("/mnt/local")))
existing.mount_present(run)
run.undo.close()
"""


def exchange(lab: Lab, *disks: guests.Disk) -> None:
    """Take all disks out, and put these in, in this order: so they are called."""
    lab.unplug()
    lab.disks = list(disks)
    for disk in disks:
        lab.guest.attach(disk)


def blank(lab: Lab, serial: str) -> guests.Disk:
    return guests.Disk(guests.blank(lab.folder / serial, 192), serial)


def mount_only(lab: Lab) -> Answer:
    lab.guest.put("/run/mount_only.py", MOUNT_ONLY.encode())
    return lab.guest.sh(f"{shlex.join([PYTHON, '-B', '/run/mount_only.py'])} 2>&1", 240)


def test_a_path_that_is_another_recorded_disk_by_now_is_not_overwritten(lab: Lab) -> None:
    """The disk of the system has died; the one with data, which is to stay, got its name."""
    lab.plug(SYSTEM)
    lab.plug(ARCHIVE)
    lab.configure(LOST)
    assert "is left alone by a recovery" in lab.describe()
    exchange(lab, lab.disks[1], blank(lab, "0e99"))
    lab.configure(LOST, "DISK_MAPPING=( 0f00=/dev/sda )")
    before = lab.checksums()
    answer = lab.recreate()
    assert "/dev/sda is to be overwritten, add " in answer.output, answer.output
    assert lab.checksums() == before
    lab.configure(LOST, "DISK_MAPPING=( 0f00=/dev/sdb )")
    assert lab.recreate().status == 0
    assert [was == now for was, now in zip(before, lab.checksums())] == [True, False]


@pytest.mark.long
def test_a_disk_that_became_read_only_is_seen(lab: Lab) -> None:
    """What is on it is there twice as soon as it is recreated beside it."""
    lab.plug("pvcreate -qq $d; vgcreate -qq sys $d; lvcreate -qq -y -n data -L 48m sys; mkfs.ext4 -q /dev/sys/data\n"
             "mount /dev/sys/data /srv/data --mkdir")  # fmt: skip
    lab.configure()
    lab.describe()
    exchange(lab, lab.disks[0], blank(lab, "0e99"))
    lab.guest.check("blockdev --setro /dev/sda")
    before = lab.checksums()
    answer = lab.recreate()
    assert "which the recovery leaves alone, also has" in answer.output, answer.output
    assert lab.checksums() == before
    lab.configure("DISK_MAPPING=( 0f00=/dev/sda )")
    assert "but it is read-only" in lab.recreate().output


@pytest.mark.long
def test_an_array_that_nothing_new_stands_on_is_kept_in_place(lab: Lab) -> None:
    lab.plug(
        "printf 'size=80MiB,type=L\\ntype=R\\n' | sfdisk -q --label gpt $d; udevadm settle\n"
        "mdadm --quiet --create /dev/md/own --run --force --level=1 --raid-devices=1 ${d}2\n"
        "mkfs.ext4 -q -L system ${d}1; mkfs.ext4 -q -L archive /dev/md/own\n"
        "mount ${d}1 /srv/data --mkdir; mount /dev/md/own /srv/archive --mkdir; date >/srv/archive/file"
    )
    lab.configure(LOST, "KEEP_IN_PLACE=yes")
    lab.describe()
    lab.unplug()
    lab.guest.attach(*lab.disks)
    before = lab.checksum("/dev/disk/lab/0f00-part2")
    answer = lab.recreate()
    assert answer.status == 0 and '"differences": []' in answer.output, answer.output
    lab.guest.check(f"(\n{STOP}\n)")
    assert lab.checksum("/dev/disk/lab/0f00-part2") == before


@pytest.mark.long
def test_what_is_there_twice_is_mounted_from_its_own_disk(lab: Lab) -> None:
    """Also where the clone comes first, and where something else came onto the disk since."""
    lab.plug(f"{SYSTEM}mkfs.ext4 -q -L two ${{d}}2; mount ${{d}}2 /srv/two --mkdir; echo own >/srv/two/file")
    lab.configure()
    lab.describe()
    lab.unplug()
    clone = guests.Disk(lab.folder / "clone", "0e77")
    shutil.copy(lab.disks[0].path, clone.path)
    lab.guest.attach(clone)
    lab.guest.check("mount /dev/sda2 /mnt; echo clone >/mnt/file; umount /mnt")
    lab.guest.attach(lab.disks[0])
    lab.disks.append(clone)
    before = lab.checksums()[1]
    answer = mount_only(lab)
    assert answer.status == 0, answer.output
    assert lab.guest.check("cat /mnt/local/srv/two/file").strip() == "own"
    lab.guest.check("umount /mnt/local/srv/two /mnt/local/srv/data")
    assert lab.checksums()[1] == before
    lab.guest.detach("0e77")
    lab.disks.pop()
    lab.guest.check("mkfs.ext4 -q -F -L other /dev/sda2; udevadm settle")
    answer = mount_only(lab)
    assert answer.status == 0, answer.output
    assert lab.guest.check("cat /mnt/local/srv/data/file").strip() == "precious"
    lab.guest.sh("umount /mnt/local/srv/two /mnt/local/srv/data")


@pytest.mark.long
def test_data_in_a_realtime_section_is_not_unknown(lab: Lab) -> None:
    """Nothing on that disk tells what it is, and the first file may come after the description."""
    lab.plug("true")
    lab.plug(
        "r=/dev/disk/lab/0f00; mkfs.xfs -q -f -r rtdev=$r -m rmapbt=0,reflink=0 $d\n"
        "mount -o rtdev=$r $d /srv/data --mkdir; echo precious >/srv/data/file",
        size=320,
    )
    lab.configure()
    lab.describe()
    lab.guest.check("xfs_io -f -R -c 'pwrite -S 0x55 0 8m' -c fsync /srv/data/realtime; sync")
    lab.shuffle()
    answer = lab.recreate()
    assert answer.status == 0, answer.output
