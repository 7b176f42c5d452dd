# SPDX-License-Identifier: GPL-3.0-or-later
"""How file systems with uncommon geometry are described and made again, without the tools that do it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rear_core.storage import mount
from rear_core.storage.command import Command, Site
from rear_core.storage.disk import Disk
from rear_core.storage.inventory import Device
from rear_core.storage.kinds import notes, refusals
from rear_core.storage.layout import Item, make
from rear_core.storage.mount import Mount
from rear_core.storage.survey import Mounted, Survey
from rear_core.storage.technologies import CORE_KINDS, swap, xfs
from rear_core.storage.technologies.btrfs.capture import _not_copied, _place
from rear_core.storage.technologies.ext import Ext, Journal
from rear_core.storage.technologies.ext import recreate as ext_recreate
from rear_core.storage.technologies.ext.recreate import _grows_to
from rear_core.storage.technologies.luks.capture import _other
from rear_core.storage.technologies.swap import SwapFile
from rear_core.storage.technologies.xfs import Xfs, read_geometry
from rear_core.testing.fake_shell import Answer, FakeShell

MIB = 1 << 20
DISKS = [Disk(f"disk:{number}", (), 400 * MIB, f"/dev/sd{number}") for number in (1, 2)]
# What xfs_info says of one that is mounted with its log on another disk.
INFO = """\
meta-data=/dev/sda               isize=512    agcount=4, agsize=25600 blks
         =                       sectsz=512   attr=2, projid32bit=1
         =                       crc=1        finobt=1, sparse=1, rmapbt=0
data     =                       bsize=4096   blocks=102400, imaxpct=25
         =                       sunit=0      swidth=0 blks
naming   =version 2              bsize=4096   ascii-ci=0, ftype=1
log      =/dev/sdb               bsize=4096   blocks=16384, version=2
         =                       sectsz=512   sunit=0 blks, lazy-count=1
realtime =none                   extsz=4096   blocks=0, rtextents=0
"""


def site(*items: Item, resized: bool = False) -> Site:
    disks = {disk.id: disk.device for disk in DISKS}
    return Site(make([*DISKS, *items]), disks, frozenset({"disk:1"} if resized else ()))


def words(command: Command) -> str:
    return " ".join(command.argv)


def on_log(**changes: str) -> Xfs:
    sections, _ = read_geometry(INFO)
    item = Xfs(
        "fs:x", ("disk:1", "disk:2"), "x", meta=sections["meta-data"], data=sections["data"],
        naming=sections["naming"], log=sections["log"], log_device="/dev/sdb",
    )  # fmt: skip
    return replace(item, **changes)  # type: ignore[arg-type]


def test_the_log_of_an_xfs_stays_on_its_own_disk() -> None:
    (made,) = xfs.recreate(on_log(), site(on_log()))
    assert "-l logdev=/dev/sd2,size=67108864" in words(made) and "agsize=104857600,noalign" in words(made)
    assert made.devices == ("/dev/sd1", "/dev/sd2") and "/dev/sd1 and /dev/sd2" in made.destroys
    place = Mount("mount:/srv", ("fs:x",), "/srv", "xfs", ("rw", "logdev=/dev/sdb"))
    *_, mounted = mount.recreate(place, site(on_log(), place))
    assert words(mounted) == "mount -t xfs -o logdev=/dev/sd2 /dev/sd1 /mnt/local/srv"


@pytest.mark.parametrize(
    ("options", "told"),
    [(("rw", "noquota"), 0), (("rw", "usrquota", "prjquota"), 1), (("rw", "gqnoenforce"), 1)],
)
def test_limits_of_quotas_are_said_to_be_lost(options: tuple[str, ...], told: int) -> None:
    """They are in no file: XFS and ext4 keep them in inodes that nobody sees."""
    place = Mount("mount:/srv", ("fs:x",), "/srv", "xfs", options)
    assert len(notes(site(on_log(), place), CORE_KINDS)) == told
    with_quotas = Ext("fs:e", ("disk:1",), "e", version=4, quotas=("User",) * told)
    assert len(notes(site(with_quotas), CORE_KINDS)) == told


def test_the_geometry_of_an_xfs_is_for_disks_of_its_size() -> None:
    (made,) = xfs.recreate(on_log(), site(on_log(), resized=True))
    assert "agsize" not in words(made) and "-l logdev=/dev/sd2 " in words(made)
    assert "another size" in notes(site(on_log(), resized=True), CORE_KINDS)[0]
    assert notes(site(on_log()), CORE_KINDS) == []
    striped = replace(on_log(), data=("bsize=4096", "blocks=50000", "sunit=8", "swidth=16"))
    (made,) = xfs.recreate(striped, site(striped))
    assert "size=204800000,su=32768,sw=2" in words(made)
    # Of what was not read nothing is set.
    (made,) = xfs.recreate(replace(on_log(), data=(), log=()), site(on_log()))
    assert "agsize" not in words(made)


def test_a_log_that_nobody_names_is_refused() -> None:
    assert "log is on another device" in refusals(site(on_log(log_device="external")), CORE_KINDS)[0]


EXT = Ext(
    "fs:e", ("disk:1",), "e", version=4, features=("64bit", "has_journal", "resize_inode"), blocks=102400,
    block_size=4096, blocks_per_group=32768, descriptor_size=64, inodes=25600, reserved_gdt_blocks=49,
)  # fmt: skip


@pytest.mark.parametrize(("reserved", "expected"), [(49, 0), (0, 0), (10, 20971521)])
def test_room_to_grow_is_named_where_it_is_not_the_usual(reserved: int, expected: int) -> None:
    assert _grows_to(replace(EXT, reserved_gdt_blocks=reserved)) == expected


def test_clusters_and_checks_for_a_second_mount_are_kept() -> None:
    item = replace(EXT, features=("bigalloc", "mmp"), cluster_size=65536, blocks_per_group=524288, mmp_interval=7)
    made, _ = ext_recreate.recreate(item, site(item))
    assert "bigalloc" in words(made) and "-C 65536" in words(made) and "mmp_update_interval=7" in words(made)
    assert " -g " not in words(made)


def test_a_journal_elsewhere_is_made_before_its_file_system() -> None:
    journal = Journal("journal:j", ("disk:2",), "j", "log", blocks=102400, block_size=4096)
    item = replace(EXT, needs=("disk:1", "journal:j"), journal_uuid="j")
    here = site(journal, item)
    assert here.layout.order()[-1] == item
    (first,) = ext_recreate.recreate(journal, here)
    assert words(first) == "mke2fs -q -F -O journal_dev -b 4096 -U j -L log /dev/sd2"
    made, _ = ext_recreate.recreate(item, here)
    assert "-J device=/dev/sd2" in words(made) and "-J device" not in " ".join(made.trial)
    lonely = replace(EXT, journal_uuid="j")
    assert "journal j is on a device that is missing" in refusals(site(lonely), CORE_KINDS)[0]


SWAPS = "/srv/a\\x20dir/swap\\xc3\\xa4 file 8384512\n"


def test_a_swap_file_keeps_its_name_and_labels() -> None:
    answers: dict[str, Answer] = {
        "swapon --show=NAME,TYPE,SIZE --bytes --noheadings --raw": SWAPS,
        "getconf PAGESIZE": "4096\n",
        "stat --format=%s '/srv/a dir/swapä'": "9000000\n",
        "swaplabel '/srv/a dir/swapä'": "LABEL:  l b\nUUID:  22222222-2222-4222-8222-222222222222\n",
        "cat /proc/cmdline": "root=/dev/sda1 resume=/dev/sda1 resume_offset=34816 quiet\n",
    }
    (item,) = swap.capture(Survey(FakeShell(answers), {}, [], [], pytest.fail))
    assert isinstance(item, SwapFile)
    assert (item.path, item.label, item.size) == ("/srv/a dir/swapä", " l b", 9000000)
    *_, sized, made = swap.restored(item, site(item))
    # ext3 has no other way than to write the blocks.
    assert sized.argv[:2] == ("fallocate", "--posix")
    assert made.argv == (
        "mkswap", "--uuid=22222222-2222-4222-8222-222222222222", "--label= l b", "/mnt/local/srv/a dir/swapä",
    )  # fmt: skip
    assert "resume_offset=34816" in notes(site(item), CORE_KINDS)[0]


SEGMENT: dict[str, object] = {"type": "crypt", "offset": "16777216"}


@pytest.mark.parametrize(
    ("segments", "slots", "expected"),
    [
        ([SEGMENT], [{"type": "luks2"}], []),
        ([{**SEGMENT, "integrity": {"type": "hmac(sha256)"}}], [], ["integrity"]),
        ([SEGMENT, SEGMENT], [{"type": "reencrypt"}], ["reencryption"]),
        ([{**SEGMENT, "type": "hw-opal-crypt"}], [], ["hw-opal-crypt"]),
    ],
)
def test_volumes_that_hold_more_than_encrypted_data(
    segments: list[dict[str, object]], slots: list[dict[str, object]], expected: list[str]
) -> None:
    area = {"segments": dict(enumerate(segments)), "keyslots": dict(enumerate(slots))}
    assert list(_other(area)) == expected


def mounted(target: str, root: str, source: str = "/dev/sda") -> Mounted:
    return Mounted(target, source, "btrfs", "rw", root, "0:40")


BTRFS = [Device("/dev/sda", "sda", "8:0", "disk", 1)]


@pytest.mark.parametrize(
    ("subvolume", "mounts", "place"),
    [
        ("/@/var", [mounted("/", "/@")], "/var"),
        ("/@/var", [mounted("/", "/@"), mounted("/var", "/@/var")], "/var"),
        ("/@/var", [mounted("/", "/@"), mounted("/var", "/", "/dev/sdb")], ""),
        ("/@home", [mounted("/", "/@"), mounted("/home", "/@home")], "/home"),
        ("/@x", [mounted("/", "/@")], ""),
        ("/", [mounted("/srv", "/")], "/srv"),
        ("/@", [mounted("/srv", "/")], "/srv/@"),
    ],
)
def test_where_a_subvolume_is_seen(subvolume: str, mounts: list[Mounted], place: str) -> None:
    assert _place(Survey(FakeShell({}), {}, mounts, [], pytest.fail), BTRFS, subvolume) == place


def test_folders_that_are_not_copied_on_write() -> None:
    own = "'(' '!' -inum 256 -o -samefile /srv ')'"
    shell = FakeShell(
        {
            f"find /srv -maxdepth 4 -xdev -type d {own} -exec lsattr -d '{{}}' +": "---------------------- /srv\n"
            "---------------C------ /srv/a b\n---------------C------ /srv/a b/c\n-----------------e---- /srv/C\n"
        }
    )
    survey = Survey(shell, {}, [mounted("/srv", "/@")], [], pytest.fail)
    assert _not_copied(survey, BTRFS, "@") == ("a b",)
