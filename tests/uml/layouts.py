# SPDX-License-Identifier: GPL-3.0-or-later
"""Layouts as data: how each is made with the tools that administrators use, and which do not come back as they were."""

from __future__ import annotations

from .layouts_bcache import BCACHE
from .layouts_filesystems import BTRFS, EXT, MULTIPATH, OTHERS, SECTORS, TABLES, XFS
from .layouts_volumes import LUKS, LVM, MD
from .made import Refused, Said

ALL = (*MD, *LVM, *LUKS, *BTRFS, *EXT, *XFS, *OTHERS, *TABLES, *SECTORS, *MULTIPATH, *BCACHE)

# Not here, as the kernel lacks its module: VDO. It is refused by name, which is tested with what the tools say of it,
# in tests/unit/storage.

# What does not come back as it was, and why: refused before anything is written, or said. All others come back.
KNOWN: dict[str, Refused | Said] = {
    "lvm thin snapshot": Said(
        "vg/snap .* as a separate thin volume", "files are restored, and not blocks: it becomes a thin volume"
    ),
    "lvm snapshot": Said("Left out: lv:vg/snap ", "files are restored, and not blocks"),
    "xfs realtime section, not mounted": Refused("its realtime section is on another", "only the kernel knows where"),
    "lvm thin pool that is cached": Refused(
        r"vg/pool .*cannot recreate a volume of this kind \(cache\)", "its cache is not described"
    ),
    "luks2 with integrity": Refused("a volume with integrity", "all of it has to be written before it is read"),
    "luks2 with a token": Said(
        r"the token 0 \(passphrase in a key ring of the kernel, some\) is lost", "its secrets are not on the media"
    ),
    "luks2 in the middle of a reencryption": Refused("a volume with reencryption", "it has to be ended first"),
    **{
        f"md firmware raid ({kind})": Refused(rf"an array of firmware RAID \({kind}\)", "its controller makes it")
        for kind in ("imsm", "ddf")
    },
    "md raid5 that grows": Refused("mdadm is reshaping it", "it is between two geometries"),
    "md built without metadata": Refused("an array without metadata on its members", "nothing on a disk tells of it"),
    "btrfs quota with limits": Said("set their limits and groups by hand", "qgroups are not described"),
    "btrfs received subvolume": Said("must send all of it, without -p", "only `btrfs receive` sets that UUID"),
    "btrfs snapshots": Said("Left out: snapshots on /srv/data", "files are restored, and not blocks"),
    "bcache with a partition table": Refused("a partition table on it", "its partitions would have other names"),
    "md raid1, no log of bad blocks": Said("it had no log of bad blocks", "mdadm creates none without it"),
    "md raid1, first write-mostly": Said("members 0 were write-mostly", "mdadm sets the flag for all that come after"),
}

# One of each technology; the others take minutes. The machine with mirrors that is recovered as a whole has RAID 1 with
# a bitmap, mirrored and thin volumes, which are not here for that reason.
DAILY = {
    "md raid5, spare, bitmap", "luks2 argon2id on md", "btrfs raid1 over two disks",
    "ext 4, bigalloc", "xfs blocks of 1 KiB", "mbr with logical partitions and gaps",
    "gpt with odd numbers and attributes", "4Kn, gpt, ext4 and vfat", "multipath, gpt, ext4", "lvm cache",
    "lvm thin pool that is cached", "vfat 32", "swap partition", "labels that a shell would not like",
    "bcache with a partition table",
}  # fmt: skip
