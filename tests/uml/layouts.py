# SPDX-License-Identifier: GPL-3.0-or-later
"""Layouts as data: how each is made with the tools that administrators use, and what is known to go wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Made:
    """A layout: a script for bash that makes it on the disks $a to $f, of `size` MiB each.

    It is made again on disks that are `larger` by so many MiB.
    """

    name: str
    script: str
    disks: int = 1
    size: int = 256
    larger: int = 0
    sector_size: int = 512
    paths: int = 1


def _gpt(*disks: str, size: str = "") -> str:
    """Commands that make one partition on each of the disks."""
    line = f"size={size}" if size else "type=L"
    return "".join(f"echo '{line}' | sfdisk --quiet --label gpt ${disk}\n" for disk in disks) + "udevadm settle\n"


def _md(level: str, options: str, members: str, data: str = "mkfs.ext4 -q /dev/md/data") -> str:
    devices = len(members.replace("--write-mostly", "").split()) - options.count("--spare-devices=1")
    return (
        f"mdadm --quiet --create /dev/md/data --run --level={level} --name=data --homehost=debian12"
        f" --raid-devices={devices} {options} {members}\n"
        f"udevadm settle\nmdadm --wait /dev/md/data || true\n{data}\n"
    )


def _lvm(disks: str, *commands: str) -> str:
    volumes = " ".join(f"${disk}" for disk in disks)
    return f"pvcreate -qq {volumes}\nvgcreate -qq vg {volumes}\n" + "\n".join(commands) + "\n"


LUKS1 = "cryptsetup luksFormat -q --type luks1 --pbkdf-force-iterations 1000"
PBKDF2 = "cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000"
ARGON2 = (
    "cryptsetup luksFormat -q --type luks2 --pbkdf argon2id --pbkdf-memory 16384 --pbkdf-force-iterations 4"
    " --pbkdf-parallel 1"
)


def _luks(how: str, device: str) -> str:
    return f"{how} {device} $key\ncryptsetup open --key-file $key {device} vault\nmkfs.ext4 -q /dev/mapper/vault\n"


# Small disks, as new arrays write to all of them.
MD = tuple(replace(row, size=128) for row in (
    Made("md raid0", _md("0", "--chunk=64", "$a $b"), disks=2),
    Made("md raid0 of unequal disks", _gpt("a", size="100MiB") + _md("0", "", "${a}1 $b"), disks=2),
    Made("md raid1, 0.90, partitions", _gpt("a", "b") + _md("1", "--metadata=0.90", "${a}1 ${b}1"), disks=2),
    Made("md raid1, 1.0, bitmap", _md("1", "--metadata=1.0 --bitmap=internal", "$a $b"), disks=2),
    Made("md raid1, 1.1, no bitmap", _md("1", "--metadata=1.1 --bitmap=none", "$a $b"), disks=2),
    Made("md raid1, bitmap chunk", _md("1", "--bitmap=internal --bitmap-chunk=8M", "$a $b"), disks=2),
    Made("md raid1, write-mostly", _md("1", "--bitmap=none", "$a --write-mostly $b"), disks=2),
    Made("md raid1, degraded", _md("1", "--bitmap=none", "$a missing"), disks=1),
    Made("md raid1, larger disks", _gpt("a", "b") + _md("1", "", "${a}1 ${b}1"), disks=2, larger=64),
    Made("md raid4", _md("4", "", "$a $b $c"), disks=3),
    Made("md raid5, 0.90", _md("5", "--metadata=0.90 --chunk=128", "$a $b $c"), disks=3),
    Made("md raid5, spare, bitmap", _md("5", "--spare-devices=1 --bitmap=internal", "$a $b $c $d"), disks=4),
    Made("md raid5, right-asymmetric", _md("5", "--layout=right-asymmetric", "$a $b $c"), disks=3),
    Made("md raid5, partial parity log", _md("5", "--consistency-policy=ppl", "$a $b $c"), disks=3),
    Made("md raid6", _md("6", "", "$a $b $c $d"), disks=4),
    Made("md raid10, near", _md("10", "", "$a $b $c $d"), disks=4),
    Made("md raid10, far", _md("10", "--layout=f2 --chunk=256", "$a $b $c"), disks=3),
    Made("md raid10, offset", _md("10", "--layout=o2", "$a $b $c"), disks=3),
    Made("md with partitions", _md("1", "", "$a $b", "echo size=64MiB | sfdisk -q -X gpt /dev/md/data; udevadm settle\n"
         "mkfs.ext4 -q /dev/md/data1"), disks=2),
))  # fmt: skip

LVM = (
    Made("lvm linear over two disks", _lvm("ab", "lvcreate -qq -y -n lv -L 300m vg", "mkfs.ext4 -q /dev/vg/lv"),
         disks=2),
    Made("lvm on partitions of larger disks", _gpt("a") + "pvcreate -qq ${a}1; vgcreate -qq vg ${a}1\n"
         "lvcreate -qq -y -n lv -l 100%FREE vg; mkfs.ext4 -q /dev/vg/lv\n", larger=128),
    Made("lvm striped", _lvm("abc", "lvcreate -qq -y -n lv -i 3 -I 16k -L 96m vg", "mkfs.ext4 -q /dev/vg/lv"),
         disks=3),
    Made("lvm mirror", _lvm("abc", "lvcreate -qq -y -n lv --type mirror -m 1 -L 64m vg", "mkfs.ext4 -q /dev/vg/lv"),
         disks=3),
    Made("lvm mirror, log in memory",
         _lvm("ab", "lvcreate -qq -y -n lv --type mirror -m 1 --mirrorlog core -L 64m vg"), disks=2),
    Made("lvm raid0", _lvm("ab", "lvcreate -qq -y -n lv --type raid0 -i 2 -L 64m vg"), disks=2),
    Made("lvm raid1", _lvm("ab", "lvcreate -qq -y -n lv --type raid1 -m 1 -L 64m vg", "mkfs.ext4 -q /dev/vg/lv"),
         disks=2),
    Made("lvm raid1, region size", _lvm("ab", "lvcreate -qq -y -n lv --type raid1 -m 1 -R 1m -L 64m vg"), disks=2),
    Made("lvm raid1, three copies", _lvm("abc", "lvcreate -qq -y -n lv --type raid1 -m 2 -L 64m vg"), disks=3),
    Made("lvm raid4", _lvm("abc", "lvcreate -qq -y -n lv --type raid4 -i 2 -L 64m vg"), disks=3),
    Made("lvm raid5", _lvm("abc", "lvcreate -qq -y -n lv --type raid5 -i 2 -I 32k -L 64m vg"), disks=3),
    Made("lvm raid6", _lvm("abcde", "lvcreate -qq -y -n lv --type raid6 -i 3 -L 96m vg"), disks=5),
    Made("lvm raid10", _lvm("abcd", "lvcreate -qq -y -n lv --type raid10 -m 1 -i 2 -L 64m vg"), disks=4),
    Made("lvm thin", _lvm("a", "lvcreate -qq -y --type thin-pool -n pool -L 96m -c 128k vg",
         "lvcreate -qq -y -n thin -V 500m --thinpool pool vg", "mkfs.ext4 -q /dev/vg/thin")),
    Made("lvm thin, discards, no zeroes", _lvm("a", "lvcreate -qq -y --type thin-pool -n pool -L 96m -Z n"
         " --discards nopassdown vg", "lvcreate -qq -y -n thin -V 500m --thinpool pool vg")),
    Made("lvm thin snapshot", _lvm("a", "lvcreate -qq -y --type thin-pool -n pool -L 96m vg",
         "lvcreate -qq -y -n thin -V 500m --thinpool pool vg", "lvcreate -qq -y -s -n snap vg/thin")),
    Made("lvm thin pool on raid1", _lvm("ab", "lvcreate -qq -y --type raid1 -m 1 -n pool -L 64m vg",
         "lvconvert -qq -y --type thin-pool vg/pool", "lvcreate -qq -y -n thin -V 500m --thinpool pool vg"), disks=2),
    Made("lvm cache", _lvm("ab", "lvcreate -qq -y -n lv -L 128m vg $a", "lvcreate -qq -y -n fast -L 64m vg $b",
         "lvconvert -qq -y --type cache --cachevol fast vg/lv", "mkfs.ext4 -q /dev/vg/lv"), disks=2),
    Made("lvm cache pool", _lvm("ab", "lvcreate -qq -y -n lv -L 128m vg $a",
         "lvcreate -qq -y --type cache-pool -n fast -L 64m vg $b",
         "lvconvert -qq -y --type cache --cachepool fast vg/lv"), disks=2),
    Made("lvm snapshot", _lvm("a", "lvcreate -qq -y -n lv -L 64m vg", "lvcreate -qq -y -s -n snap -L 16m vg/lv")),
    Made("lvm names with hyphens and dots", "pvcreate -qq $a; vgcreate -qq a-b.c $a\n"
         "lvcreate -qq -y -n d--e.f -L 64m a-b.c; mkfs.ext4 -q /dev/a-b.c/d--e.f\n"),
    Made("lvm two groups on one disk", "printf 'size=100MiB\\nsize=100MiB\\n' | sfdisk -q -X gpt $a; udevadm settle\n"
         "for n in 1 2; do pvcreate -qq $a$n; vgcreate -qq vg$n $a$n; lvcreate -qq -y -n lv -L 64m vg$n; done\n"),
    Made("lvm tags, read ahead, contiguous", "pvcreate -qq $a; vgcreate -qq -s 8m --addtag one --addtag two vg $a\n"
         "lvcreate -qq -y -n lv -C y -r 512 --addtag three -L 64m vg\n"),
    Made("lvm on md", _md("1", "", "$a $b", "pvcreate -qq /dev/md/data; vgcreate -qq vg /dev/md/data\n"
         "lvcreate -qq -y -n lv -L 64m vg; mkfs.ext4 -q /dev/vg/lv"), disks=2),
    Made("lvm two metadata areas", "pvcreate -qq --metadatacopies 2 --metadatasize 4m $a; vgcreate -qq vg $a\n"
         "lvcreate -qq -y -n lv -L 64m vg\n"),
)  # fmt: skip

LUKS = (
    Made("luks1 on a partition", _gpt("a") + _luks(LUKS1, "${a}1")),
    Made("luks1 on a larger disk", _luks(LUKS1, "$a"), larger=64),
    Made("luks2 pbkdf2 on a partition", _gpt("a") + _luks(PBKDF2, "${a}1")),
    Made("luks2 argon2id on md", _md("1", "", "$a $b", _luks(ARGON2, "/dev/md/data")), disks=2),
    Made("luks2 argon2id on a volume", _lvm("a", "lvcreate -qq -y -n lv -L 96m vg", _luks(ARGON2, "/dev/vg/lv"))),
    Made("luks2 with sectors of 4096 bytes, label", _luks(f"{PBKDF2} --sector-size 4096 --label l", "$a")),
    Made("luks2 with flags", _luks(PBKDF2, "$a") + "cryptsetup refresh --persistent --allow-discards"
         " --perf-no_read_workqueue --key-file $key vault\n"),
    Made("luks2, other cipher and hash", _luks(f"{PBKDF2} -c serpent-xts-plain64 -s 256 -h sha512", "$a")),
    Made("luks2, header sizes", _luks(f"{PBKDF2} --luks2-metadata-size 64k --luks2-keyslots-size 8m", "$a")),
    Made("lvm on luks2", f"{PBKDF2} $a $key; cryptsetup open --key-file $key $a vault\n"
         "pvcreate -qq /dev/mapper/vault; vgcreate -qq vg /dev/mapper/vault; lvcreate -qq -y -n lv -L 64m vg\n"),
)  # fmt: skip

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
)  # fmt: skip


def _ext(name: str, options: str, larger: int = 0) -> Made:
    return Made(f"ext {name}", f"mke2fs -q -F {options} $a\n", larger=larger)


EXT = (
    _ext("2", "-t ext2"),
    _ext("3", "-t ext3 -j -m 2 -L three"),
    _ext("4 on a larger disk", "-t ext4", larger=64),
    _ext("4, blocks of 1 KiB", "-t ext4 -b 1024 -I 128 -N 5000"),
    _ext("4, bigalloc", "-t ext4 -O bigalloc -C 65536"),
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
         " -E mount_opts=nodelalloc $a\n"),
    Made("ext 4, external journal", "mke2fs -q -F -O journal_dev -b 4096 $b; mkfs.ext4 -q -b 4096 -J device=$b $a\n",
         disks=2),
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
)  # fmt: skip

OTHERS = (
    Made("vfat 12", _gpt("a", size="4MiB") + "mkfs.vfat -F 12 -n SMALL ${a}1 >/dev/null\n"),
    Made("vfat 16", _gpt("a", size="40MiB") + "mkfs.vfat -F 16 -s 4 ${a}1 >/dev/null\n"),
    Made("vfat 32", _gpt("a") + "mkfs.vfat -F 32 -s 1 -n ESP ${a}1 >/dev/null\n"),
    Made("vfat on the whole disk", "mkfs.vfat -I $a >/dev/null\n"),
    Made("swap partition", _gpt("a") + "mkswap -q -L swap ${a}1; swapon ${a}1\n"),
    Made("swap volume", _lvm("a", "lvcreate -qq -y -n swap -L 64m vg", "mkswap -q /dev/vg/swap; swapon /dev/vg/swap")),
    Made("swap on a larger disk", "mkswap -q $a\n", larger=64),
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
    Made("gpt on a larger disk", _gpt("a") + "mkfs.ext4 -q ${a}1\n", larger=100),
    Made("gpt, protective mbr with boot flag", _gpt("a") + "printf '\\x80' | dd of=$a bs=1 seek=446 conv=notrunc\n"
         "blockdev --rereadpt $a; udevadm settle\n"),
    Made("gpt, hybrid mbr", _gpt("a", size="64MiB") + "sgdisk --hybrid=1 $a >/dev/null; udevadm settle\n"),
    Made("gpt beyond 2 TiB", "sfdisk -q -X gpt $a <<END\nsize=64MiB\nstart=3TiB, size=200MiB\nEND\nudevadm settle\n"
         "mkfs.ext4 -q ${a}2\n", size=(3 << 20) + 256),
)  # fmt: skip

SECTORS = (
    Made("4Kn, gpt, ext4 and vfat", "sfdisk -q -X gpt $a <<END\nsize=100MiB\nsize=100MiB, type=U\nEND\nudevadm settle\n"
         "mkfs.ext4 -q ${a}1; mkfs.vfat ${a}2 >/dev/null\n", sector_size=4096),
    Made("4Kn, mbr", "sfdisk -q -X dos $a <<END\nsize=64MiB\ntype=5\nsize=20MiB\nsize=30MiB\nEND\n", sector_size=4096),
    Made("4Kn, lvm, xfs", _lvm("a", "lvcreate -qq -y -n lv -L 350m vg", "mkfs.xfs -q -K /dev/vg/lv"), size=400,
         sector_size=4096),
    Made("4Kn, luks2", _luks(PBKDF2, "$a"), sector_size=4096),
    Made("4Kn, md raid5", _md("5", "", "$a $b $c"), disks=3, sector_size=4096),
    Made("4Kn, btrfs, swap", _gpt("a", size="200MiB") + "mkfs.btrfs -q ${a}1; mount ${a}1 /srv/data; mkswap -q $b\n",
         disks=2, sector_size=4096),
)  # fmt: skip

MULTIPATH = (
    Made("multipath, gpt, ext4", _gpt("a") + "mkfs.ext4 -q $a-part1; mount $a-part1 /srv/data\n", paths=2),
    Made("multipath, whole disk", "mkfs.ext4 -q $a\n", paths=2),
    Made("multipath, lvm over two disks", _lvm("ab", "lvcreate -qq -y -n lv -L 300m vg", "mkfs.ext4 -q /dev/vg/lv"),
         disks=2, paths=2),
    Made("multipath, mbr", "sfdisk -q -X dos $a <<END\nsize=64MiB\ntype=5\nsize=20MiB\nEND\nudevadm settle\n", paths=2),
)  # fmt: skip

ALL = (*MD, *LVM, *LUKS, *BTRFS, *EXT, *XFS, *OTHERS, *TABLES, *SECTORS, *MULTIPATH)

# What is known to be otherwise, and why; each must be, until it is mended.
KNOWN = {
    "md raid1, 0.90, partitions": "the name by which udev knows an array of metadata 0.90 is taken for one that it has",
    "md raid5, 0.90": "the name by which udev knows an array of metadata 0.90 is taken for one that it has",
    "md raid1, bitmap chunk": "what a bit of the bitmap stands for is not described",
    "md raid1, write-mostly": "that a member is write-mostly is not described",
    "lvm mirror, log in memory": "where a mirror has its log is not described, so that it gets one on a disk",
    "lvm thin snapshot": "a thin snapshot becomes a thin volume of its own, which is said",
    "lvm thin pool on raid1": "what the data of a thin pool lies on is not described: it becomes linear",
    "lvm cache": "a volume with a cache volume is left out, with its file system, as its cache is not described",
    "lvm cache pool": "a volume with a cache pool is left out or made without, as its cache is not described",
    "lvm snapshot": "snapshots are left out, which is said",
    "luks2, header sizes": "the sizes of the header's areas are not described",
    "ext 4, bigalloc": "its clusters are not described, so mke2fs fails; mkrescue refuses it by name",
    "ext 4, mmp": "the update interval is not described",
    "ext 4, hash seed, resize": "the room to grow, of reserved GDT blocks, is not described",
    "ext 4, external journal": "the journal becomes an internal one, which is said",
    "xfs stripes": "stripes are left to mkfs.xfs, which is said",
    "xfs log size and sectors": "the size of the log is left to mkfs.xfs, which is said",
    "xfs two groups": "allocation groups are left to mkfs.xfs, which is said",
    "xfs external log": "mount gets the recorded logdev, which has another name",
    "vfat on the whole disk": "mkfs.vfat chooses the identifier of the MBR that it writes for show",
    "gpt, protective mbr with boot flag": "the protective MBR is not described",
    "gpt, hybrid mbr": "the hybrid MBR is not described",
}

# One of each technology; the others take minutes.
DAILY = {
    "md raid1, 1.0, bitmap", "md raid5, spare, bitmap", "md raid10, far", "lvm raid5", "lvm raid10", "lvm thin",
    "luks1 on a partition", "luks2 argon2id on md", "btrfs raid1 over two disks", "ext 4, bigalloc",
    "xfs blocks of 1 KiB", "mbr with logical partitions and gaps", "gpt with odd numbers and attributes",
    "4Kn, gpt, ext4 and vfat", "multipath, gpt, ext4",
}  # fmt: skip
