# SPDX-License-Identifier: GPL-3.0-or-later
"""Layouts of file systems, and of disks: partition tables, sectors, and multipath."""

from __future__ import annotations

from .made import PBKDF2, Made, gpt, luks, lvm, md, phantom

BTRFS = (
    Made("btrfs single", "mkfs.btrfs -q -L tree -m single $a; mount $a /srv/data\n"),
    Made("btrfs dup, subvolumes, default", "mkfs.btrfs -q -m dup $a; mount $a /srv/data; cd /srv/data\n"
         "btrfs -q subvolume create @; btrfs -q subvolume create @home; btrfs subvolume set-default @\n"),
    Made("btrfs raid1 over two disks", "mkfs.btrfs -q -m raid1 -d raid1 $a $b; mount $a /srv/data\n", disks=2),
    Made("btrfs raid10 over four disks", "mkfs.btrfs -q -m raid10 -d raid10 $a $b $c $d; mount $a /srv/data\n",
         disks=4),
    Made("btrfs raid0, raid1c3", "mkfs.btrfs -q -m raid1c3 -d raid0 $a $b $c; mount $a /srv/data\n", disks=3),
    Made("btrfs mixed, 4 KiB nodes", "mkfs.btrfs -q --mixed -n 4096 $a; mount $a /srv/data\n"),
    Made("btrfs, xxhash, no holes", "mkfs.btrfs -q --csum xxhash -R free-space-tree $a\nmount $a /srv/data\n"),
    Made("btrfs quota", "mkfs.btrfs -q $a; mount $a /srv/data; btrfs quota enable /srv/data\n"),
    Made("btrfs quota with limits", "mkfs.btrfs -q $a; mount $a /srv/data; btrfs quota enable /srv/data\n"
         "btrfs -q subvolume create /srv/data/@; btrfs qgroup limit 100m /srv/data/@\n"),
    Made("btrfs read-only subvolume", "mkfs.btrfs -q $a; mount $a /srv/data; btrfs -q subvolume create /srv/data/@\n"
         "btrfs property set -ts /srv/data/@ ro true\n"),
    Made("btrfs snapshots", "mkfs.btrfs -q $a; mount $a /srv/data; btrfs -q subvolume create /srv/data/@\n"
         "btrfs -q subvolume snapshot -r /srv/data/@ /srv/data/before\n"),
    Made("btrfs received subvolume", "mkfs.btrfs -q $a; mount $a /srv/data; cd /srv/data; btrfs -q subvolume create @\n"
         "btrfs -q subvolume snapshot -r @ sent; btrfs -q send sent | btrfs -q receive @\n"
         "btrfs -q subvolume delete sent\n"),
    Made("btrfs, not copied on write", "mkfs.btrfs -q $a; mount $a /srv/data; cd /srv/data\nfor name in @ @/var '@/a b'"
         "; do btrfs -q subvolume create \"$name\"; done\nchattr +C @/var; mkdir -p @/lib/images; chattr +C"
         " @/lib/images; cd /; umount /srv/data; mount -o subvol=@ $a /srv/data\n"),
    Made("btrfs that udev has not noticed", "mkfs.ext4 -q $a; udevadm trigger --settle $a; mkfs.btrfs -q -f -L 'a b'"
         " -m raid1 -d raid1 $a $b\nmount $a /srv/data; btrfs -q subvolume create /srv/data/@\n", disks=2,
         noticed=False),
)  # fmt: skip


def _ext(name: str, options: str, larger: int = 0) -> Made:
    return Made(f"ext {name}", f"mke2fs -q -F {options} $a\n", larger=larger)


EXT = (
    _ext("2", "-t ext2"),
    _ext("3", "-t ext3 -j -m 2 -L three"),
    _ext("4 on a larger disk", "-t ext4", larger=64),
    _ext("4, blocks of 1 KiB", "-t ext4 -b 1024 -I 128 -N 5000"),
    _ext("4, bigalloc", "-t ext4 -O bigalloc -C 65536"),
    _ext("4, bigalloc on a larger disk", "-t ext4 -O bigalloc -C 16384", larger=64),
    _ext("4, inline data, large directories", "-t ext4 -O inline_data,large_dir,ea_inode"),
    _ext("4, encrypt, verity, stable inodes", "-t ext4 -O encrypt,verity,stable_inodes"),
    _ext("4, casefold", "-t ext4 -O casefold -E encoding=utf8-12.1,encoding_flags=strict"),
    _ext("4, quota, project", "-t ext4 -O quota,project -E quotatype=usrquota:grpquota:prjquota"),
    _ext("4, meta_bg", "-t ext4 -O meta_bg,^resize_inode"),
    _ext("4, mmp", "-t ext4 -O mmp -E mmp_update_interval=7"),
    _ext("4, sparse_super2", "-t ext4 -O sparse_super2,^resize_inode"),
    _ext("4, checksum seed, uninit", "-t ext4 -O metadata_csum_seed,^flex_bg"),
    _ext("4, fast commits", "-t ext4 -O fast_commit"),
    _ext("4, no journal", "-t ext4 -O ^has_journal,^metadata_csum,uninit_bg"),
    _ext("4, hash seed, resize", "-t ext4 -E hash_seed=11111111-2222-4333-8444-555555555555,resize=9000000"),
    Made("ext 4, tuned", "mkfs.ext4 -q $a; tune2fs -c 30 -i 2w -e panic -r 500 -u 7 -g 8 -o journal_data,^acl"
         " -E mount_opts=nodelalloc,hash_alg=tea $a\n"),
    Made("ext 4, external journal", "mke2fs -q -F -O journal_dev -b 4096 $b; mkfs.ext4 -q -b 4096 -J device=$b $a\n"
         "mount $a /srv/data\n", disks=2),
    Made("ext 3, external journal on a partition", gpt("b", size="64MiB") + "mke2fs -q -F -O journal_dev -b 1024"
         " -L log ${b}1\nmkfs.ext3 -q -b 1024 -J device=${b}1 $a\n", disks=2),
)  # fmt: skip


def _xfs(name: str, options: str, size: int = 400, larger: int = 0) -> Made:
    return Made(f"xfs {name}", f"mkfs.xfs -q -K {options} $a\n", size=size, larger=larger)


XFS = (
    _xfs("default", ""),
    _xfs("on a larger disk", "-L big", larger=200),
    _xfs("version 4", "-m crc=0"),
    _xfs("no reflink", "-m reflink=0,finobt=0"),
    _xfs("rmapbt", "-m rmapbt=1"),
    _xfs("bigtime, inobtcount", "-m bigtime=1,inobtcount=1"),
    _xfs("no bigtime, no inobtcount", "-m bigtime=0,inobtcount=0"),
    _xfs("nrext64", "-i nrext64=1"),
    _xfs("blocks of 1 KiB", "-b size=1024 -i size=512"),
    _xfs("inodes of 2 KiB, no sparse", "-i size=2048,sparse=0,maxpct=10"),
    _xfs("directory blocks, case insensitive", "-n size=16384,version=ci"),
    _xfs("stripes", "-d su=32k,sw=2", size=1200),
    _xfs("log size and sectors", "-l size=80m -s size=4096"),
    _xfs("two groups", "-d agcount=2"),
    Made("xfs external log", "mkfs.xfs -q -K -l logdev=$b,size=64m $a\nmount -o logdev=$b $a /srv/data\n", disks=2,
         size=400),
    Made("xfs external log, not mounted", "mkfs.xfs -q -K -l logdev=$b $a\n", disks=2, size=400),
    Made("xfs realtime section, not mounted", "mkfs.xfs -q -K -r rtdev=$b $a\n", disks=2, size=400),
    Made("xfs realtime section", "mkfs.xfs -q -K -r rtdev=$b,extsize=64k $a\nmount -o rtdev=$b $a /srv/data\n",
         disks=2, size=400),
    Made("xfs that was grown, and does not fill its disk", "mkfs.xfs -q -K -d size=320m $a\nmount $a /srv/data\n"
         "xfs_growfs -D 90000 /srv/data >/dev/null; umount /srv/data\n", size=400),
)  # fmt: skip

OTHERS = (
    Made("vfat 12", gpt("a", size="4MiB") + "mkfs.vfat -F 12 -n SMALL ${a}1 >/dev/null\n"),
    Made("vfat 16", gpt("a", size="40MiB") + "mkfs.vfat -F 16 -s 4 ${a}1 >/dev/null\n"),
    Made("vfat 32", gpt("a") + "mkfs.vfat -F 32 -s 1 -n ESP ${a}1 >/dev/null\n"),
    Made("vfat 32, backup elsewhere, one FAT", gpt("a") + "mkfs.vfat -F 32 -f 1 -R 64 -b 9 ${a}1 >/dev/null\n"),
    Made("vfat on the whole disk", "mkfs.vfat -I $a >/dev/null\n"),
    Made("vfat whose label has a blank", gpt("a") + "mkfs.vfat -F 32 -n 'my esp' ${a}1 >/dev/null\n", noticed=False),
    Made("swap files with odd names", "mkfs.ext4 -q $a; mount $a /srv/data; mkdir '/srv/data/a dir'\n"
         "for name in 'a dir/swap ä' plain.swap; do dd if=/dev/zero of=\"/srv/data/$name\" bs=1M count=8 status=none\n"
         "chmod 600 \"/srv/data/$name\"; mkswap -q -L 'l a b' \"/srv/data/$name\"; swapon \"/srv/data/$name\"; done\n"),
    Made("labels that a shell would not like", "mke2fs -q -F -t ext4 -L \" ä b'c\\$d\\\\\" $a\n", noticed=False),
    Made("label that looks escaped", "mke2fs -q -F -t ext4 -L 'M-^a\\040\\x20' $a\n", noticed=False),
    Made("xfs label with blanks", "mkfs.xfs -q -K -L ' a  b' $a\n", size=400, noticed=False),
    Made("swap partition", gpt("a") + "mkswap -q -L swap ${a}1; swapon ${a}1\n"),
    Made("swap volume", lvm("a", "lvcreate -qq -y -n swap -L 64m vg", "mkswap -q /dev/vg/swap; swapon /dev/vg/swap")),
    Made("swap on a larger disk", "mkswap -q $a\n", larger=64),
    Made("ext on the whole disk, and a partition that is none", f"mkfs.ext4 -q $a; {phantom('a')}"
         "mount $a /srv/data\n"),
    Made("ext on the whole disk, more beside", "mkfs.ext4 -q $a; mkfs.ext4 -q $b; mount $a /srv/data\n", disks=2),
)  # fmt: skip

TABLES = (
    Made("mbr with logical partitions and gaps", "sfdisk -q -X dos $a <<END\n1 : start=2048, size=40960, bootable\n"
         "2 : start=63488, size=400000, type=5\n5 : start=65536, size=40960\n6 : start=204800, size=20480, type=82\n"
         "7 : start=300000, size=4096, type=8e\nEND\nudevadm settle\n"),
    Made("mbr with odd numbers", "sfdisk -q -X dos $a <<END\n2 : size=40960\n4 : size=40960, type=c\nEND\n"),
    Made("mbr, extended first", "sfdisk -q -X dos $a <<END\n1 : start=2048, size=100000, type=f\n3 : size=40960\n"
         "5 : start=4096, size=40960\nEND\n"),
    Made("gpt with odd numbers and attributes", "sfdisk -q -X gpt $a <<END\nfirst-lba: 34\n3 : start=2048, size=40960,"
         ' type=U, name="EFI System"\n7 : start=100000, size=20480, attrs="GUID:60,63"\n'
         '128 : start=43008, size=4096, name="out of order", attrs="LegacyBIOSBootable"\nEND\n'),
    Made("gpt with 256 places", "sfdisk -q -X gpt $a <<END\ntable-length: 256\n200 : size=40960\nEND\n"),
    Made("gpt on a larger disk", gpt("a") + "mkfs.ext4 -q ${a}1\n", larger=100),
    Made("gpt, protective mbr with boot flag", gpt("a") + "printf '\\x80' | dd of=$a bs=1 seek=446 conv=notrunc\n"
         "blockdev --rereadpt $a; udevadm settle\n"),
    Made("gpt, hybrid mbr", gpt("a", size="64MiB") + "sgdisk --hybrid=1 $a >/dev/null; udevadm settle\n"),
    Made("gpt, protective mbr with boot flag, larger disk", gpt("a", size="64MiB") + "printf '\\x80' | dd of=$a bs=1"
         " seek=446 conv=notrunc\nblockdev --rereadpt $a; udevadm settle\n", larger=64),
    Made("gpt, hybrid mbr with boot flag and other types", "printf 'size=20MiB\\nsize=30MiB\\nsize=10MiB\\n' |"
         " sfdisk -q -X gpt $a\nsgdisk --hybrid=3:1:EE $a >/dev/null; printf '2 : type=c, bootable' >/dev/null\n"
         "sfdisk -q --label-nested dos --activate $a 2; udevadm settle\n"),
    Made("gpt beyond 2 TiB", "sfdisk -q -X gpt $a <<END\nsize=64MiB\nstart=3TiB, size=200MiB\nEND\nudevadm settle\n"
         "mkfs.ext4 -q ${a}2\n", size=(3 << 20) + 256),
)  # fmt: skip

SECTORS = (
    Made("4Kn, gpt, ext4 and vfat", "sfdisk -q -X gpt $a <<END\nsize=100MiB\nsize=100MiB, type=U\nEND\nudevadm settle\n"
         "mkfs.ext4 -q ${a}1; mkfs.vfat ${a}2 >/dev/null\n", sector_size=4096),
    Made("4Kn, mbr", "sfdisk -q -X dos $a <<END\nsize=64MiB\ntype=5\nsize=20MiB\nsize=30MiB\nEND\n", sector_size=4096),
    Made("4Kn, lvm, xfs", lvm("a", "lvcreate -qq -y -n lv -L 350m vg", "mkfs.xfs -q -K /dev/vg/lv"), size=400,
         sector_size=4096),
    Made("4Kn, luks2", luks(PBKDF2, "$a"), sector_size=4096),
    Made("4Kn, md raid5", md("5", "", "$a $b $c"), disks=3, sector_size=4096),
    Made("4Kn, btrfs, swap", gpt("a", size="200MiB") + "mkfs.btrfs -q ${a}1; mount ${a}1 /srv/data; mkswap -q $b\n",
         disks=2, sector_size=4096),
)  # fmt: skip

MULTIPATH = (
    Made("multipath, gpt, ext4", gpt("a") + "mkfs.ext4 -q $a-part1; mount $a-part1 /srv/data\n", paths=2),
    Made("multipath with friendly names", gpt("a") + "mkfs.ext4 -q $a-part1; mount $a-part1 /srv/data\n", paths=2,
         multipath="defaults {\n user_friendly_names yes\n find_multipaths no\n}\nblacklist {\n wwid .*0c01.*\n}\n"),
    Made("multipath, whole disk", "mkfs.ext4 -q $a\n", paths=2),
    Made("multipath, lvm over two disks", lvm("ab", "lvcreate -qq -y -n lv -L 300m vg", "mkfs.ext4 -q /dev/vg/lv"),
         disks=2, paths=2),
    Made("multipath, mbr", "sfdisk -q -X dos $a <<END\nsize=64MiB\ntype=5\nsize=20MiB\nEND\nudevadm settle\n", paths=2),
)  # fmt: skip
