# SPDX-License-Identifier: GPL-3.0-or-later
"""Layouts of bcache, which a plugin knows."""

from __future__ import annotations

from .made import PBKDF2, Made, gpt, luks, lvm


def bcache(backing: str, cache: str, data: str, options: str = "") -> str:
    """Commands that make devices with a cache, and what is on them; the first is /dev/bcache0."""
    return (
        f"make-bcache --block 512 {options} --cache {cache} --bdev {backing} >/dev/null; udevadm settle\n"
        f"for part in {cache} {backing}; do readlink -f $part >/sys/fs/bcache/register_quiet; done; udevadm settle\n"
        f"until [ $(cat /sys/block/bcache*/bcache/state | grep -c clean) = {len(backing.split())} ]; do sleep 1; done\n"
        f"{data}\n"
    )


EXT4 = "mkfs.ext4 -q /dev/bcache0"

BCACHE = (
    Made("bcache, ext4", bcache("$a", "$b", EXT4, "--bucket 64k"), disks=2),
    Made("bcache, writeback, label, mounted", bcache("$a", "$b", "cd /sys/block/bcache0/bcache; echo writeback"
         f" >cache_mode; echo 'a b' >label; cd /; {EXT4}; mount /dev/bcache0 /srv/data", "--bucket 128k"), disks=2),
    Made("bcache, two devices with one cache", bcache("$a $b", "$c", f"{EXT4}; mkfs.xfs -q -K /dev/bcache1",
         "--bucket 64k"), disks=3, size=400),
    Made("bcache, lvm", bcache("$a", "$b", "pvcreate -qq /dev/bcache0; vgcreate -qq vg /dev/bcache0\n"
         "lvcreate -qq -y -n lv -L 100m vg; mkfs.ext4 -q /dev/vg/lv", "--bucket 64k"), disks=2),
    Made("bcache on partitions", gpt("a", "b") + bcache("${a}1", "${b}1", EXT4, "--bucket 64k"), disks=2),
    Made("bcache on partitions of larger disks", gpt("a", "b") + bcache("${a}1", "${b}1", EXT4, "--bucket 64k"),
         disks=2, larger=64),
    Made("bcache without a cache, data offset", "make-bcache --data-offset 2048 --bdev $a >/dev/null; udevadm settle\n"
         f"until [ -b /dev/bcache0 ]; do sleep 0.1; done; {EXT4}\n"),
    Made("bcache on lvm, luks in it", lvm("ab", "lvcreate -qq -y -n slow -L 128m vg $a",
         "lvcreate -qq -y -n fast -L 96m vg $b") + bcache("/dev/vg/slow", "/dev/vg/fast",
         luks(PBKDF2, "/dev/bcache0"), "--bucket 64k"), disks=2),
    Made("bcache with a partition table", bcache("$a", "$b", "echo size=64MiB | sfdisk -q -X gpt /dev/bcache0\n"
         "udevadm settle; mkfs.ext4 -q /dev/bcache0p1", "--bucket 64k"), disks=2),
)  # fmt: skip
