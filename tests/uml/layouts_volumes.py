# SPDX-License-Identifier: GPL-3.0-or-later
"""Layouts of the kinds of storage that file systems lie on: md, LVM and LUKS."""

from __future__ import annotations

from dataclasses import replace

from .made import ARGON2, LUKS1, PBKDF2, Made, gpt, luks, luks_by_phantom, lvm, md

# Small disks, as new arrays write to all of them.
MD = tuple(replace(row, size=128) for row in (
    Made("md raid0", md("0", "--chunk=64", "$a $b"), disks=2),
    Made("md raid0 of unequal disks", gpt("a", size="100MiB") + md("0", "", "${a}1 $b"), disks=2),
    Made("md raid1, 0.90, partitions", gpt("a", "b") + md("1", "--metadata=0.90", "${a}1 ${b}1"), disks=2),
    Made("md raid1, 1.0, bitmap", md("1", "--metadata=1.0 --bitmap=internal", "$a $b"), disks=2),
    Made("md raid1, 1.1, no bitmap", md("1", "--metadata=1.1 --bitmap=none", "$a $b"), disks=2),
    Made("md raid1, bitmap chunk", md("1", "--bitmap=internal --bitmap-chunk=8M", "$a $b"), disks=2),
    Made("md raid1, write-mostly", md("1", "--bitmap=none", "$a --write-mostly $b"), disks=2),
    Made("md raid1, write-behind", md("1", "--bitmap=internal --write-behind=512", "$a --write-mostly $b"), disks=2),
    Made("md raid1, first write-mostly", md("1", "--bitmap=none", "$a $b", "mkfs.ext4 -q /dev/md/data\n"
         "echo writemostly >/sys/block/$(basename $(realpath /dev/md/data))/md/dev-${a#/dev/}/state"), disks=2),
    Made("md raid1, no log of bad blocks", md("1", "--bitmap=none", "$a $b", "mdadm --quiet --stop /dev/md/data\n"
         "mdadm --quiet --assemble --update=no-bbl /dev/md/data $a $b; udevadm settle; mkfs.ext4 -q /dev/md/data\n"),
         disks=2),
    Made("md raid1, fail fast", md("1", "--failfast", "$a $b"), disks=2),
    Made("md raid5, journal", md("5", "--write-journal=$d", "$a $b $c"), disks=4),
    Made("md raid1, degraded", md("1", "--bitmap=none", "$a missing"), disks=1),
    Made("md raid1 of one member", md("1 --force", "", "$a")),
    Made("md raid0 of one member", md("0 --force", "", "$a")),
    Made("md raid1, larger disks", gpt("a", "b") + md("1", "", "${a}1 ${b}1"), disks=2, larger=64),
    Made("md raid4", md("4", "", "$a $b $c"), disks=3),
    Made("md raid5, 0.90", md("5", "--metadata=0.90 --chunk=128", "$a $b $c"), disks=3),
    Made("md raid5, spare, bitmap", md("5", "--spare-devices=1 --bitmap=internal", "$a $b $c $d"), disks=4),
    Made("md raid5, right-asymmetric", md("5", "--layout=right-asymmetric", "$a $b $c"), disks=3),
    Made("md raid5, partial parity log", md("5", "--consistency-policy=ppl", "$a $b $c"), disks=3),
    Made("md raid6", md("6", "", "$a $b $c $d"), disks=4),
    Made("md raid10, near", md("10", "", "$a $b $c $d"), disks=4),
    Made("md raid10, far", md("10", "--layout=f2 --chunk=256", "$a $b $c"), disks=3),
    Made("md raid10, offset", md("10", "--layout=o2", "$a $b $c"), disks=3),
    Made("md raid1, 1.0, of whole disks with partitions", md("1", "--metadata=1.0 --bitmap=none", "$a $b",
         "echo size=64MiB | sfdisk -q -X gpt /dev/md/data; udevadm settle\nmkfs.ext4 -q /dev/md/data1\n"
         "partprobe $a || blockdev --rereadpt $a || partx -a $a || true; udevadm settle"), disks=2),
    Made("md with partitions", md("1", "", "$a $b", "echo size=64MiB | sfdisk -q -X gpt /dev/md/data; udevadm settle\n"
         "mkfs.ext4 -q /dev/md/data1"), disks=2),
    Made("md built without metadata", "mdadm --quiet --build /dev/md/data --level=0 --chunk=64 --raid-devices=2 $a $b\n"
         "udevadm settle; mkfs.ext4 -q /dev/md/data\n", disks=2),
    Made("md raid5 that grows", md("5", "", "$a $b $c", "mkfs.ext4 -q /dev/md/data\nmdadm --wait /dev/md/data || true\n"
         "for word in min max; do echo 10 >/sys/block/$(basename $(realpath /dev/md/data))/md/sync_speed_$word; done\n"
         "mdadm --quiet --add /dev/md/data $d; mdadm --quiet --grow --raid-devices=4 /dev/md/data"), disks=4),
    *(Made(f"md firmware raid ({kind})", f"export IMSM_NO_PLATFORM=1 IMSM_DEVNAME_AS_SERIAL=1\n"
           f"mdadm --quiet --create /dev/md/firmware --run --metadata={kind} --raid-devices=2 $a $b\n"
           + md("1", "", "/dev/md/firmware").replace("devices=1", "devices=2"), disks=2) for kind in ("imsm", "ddf")),
))  # fmt: skip

LVM = (
    Made("lvm linear over two disks", lvm("ab", "lvcreate -qq -y -n lv -L 300m vg", "mkfs.ext4 -q /dev/vg/lv"),
         disks=2),
    Made("lvm on partitions of larger disks", gpt("a") + "pvcreate -qq ${a}1; vgcreate -qq vg ${a}1\n"
         "lvcreate -qq -y -n lv -l 100%FREE vg; mkfs.ext4 -q /dev/vg/lv\n", larger=128),
    Made("lvm striped", lvm("abc", "lvcreate -qq -y -n lv -i 3 -I 16k -L 96m vg", "mkfs.ext4 -q /dev/vg/lv"),
         disks=3),
    Made("lvm mirror", lvm("abc", "lvcreate -qq -y -n lv --type mirror -m 1 -L 64m vg", "mkfs.ext4 -q /dev/vg/lv"),
         disks=3),
    Made("lvm mirror, log in memory",
         lvm("ab", "lvcreate -qq -y -n lv --type mirror -m 1 --mirrorlog core -L 64m vg"), disks=2),
    Made("lvm raid0", lvm("ab", "lvcreate -qq -y -n lv --type raid0 -i 2 -L 64m vg"), disks=2),
    Made("lvm raid1", lvm("ab", "lvcreate -qq -y -n lv --type raid1 -m 1 -L 64m vg", "mkfs.ext4 -q /dev/vg/lv"),
         disks=2),
    Made("lvm raid1, region size", lvm("ab", "lvcreate -qq -y -n lv --type raid1 -m 1 -R 1m -L 64m vg"), disks=2),
    Made("lvm raid1, three copies", lvm("abc", "lvcreate -qq -y -n lv --type raid1 -m 2 -L 64m vg"), disks=3),
    Made("lvm raid4", lvm("abc", "lvcreate -qq -y -n lv --type raid4 -i 2 -L 64m vg"), disks=3),
    Made("lvm raid5", lvm("abc", "lvcreate -qq -y -n lv --type raid5 -i 2 -I 32k -L 64m vg"), disks=3),
    Made("lvm raid6", lvm("abcde", "lvcreate -qq -y -n lv --type raid6 -i 3 -L 96m vg"), disks=5),
    Made("lvm raid10", lvm("abcd", "lvcreate -qq -y -n lv --type raid10 -m 1 -i 2 -L 64m vg"), disks=4),
    Made("lvm thin", lvm("a", "lvcreate -qq -y --type thin-pool -n pool -L 96m -c 128k vg",
         "lvcreate -qq -y -n thin -V 500m --thinpool pool vg", "mkfs.ext4 -q /dev/vg/thin")),
    Made("lvm thin, discards, no zeroes", lvm("a", "lvcreate -qq -y --type thin-pool -n pool -L 96m -Z n"
         " --discards nopassdown vg", "lvcreate -qq -y -n thin -V 500m --thinpool pool vg")),
    Made("lvm thin snapshot", lvm("a", "lvcreate -qq -y --type thin-pool -n pool -L 96m vg",
         "lvcreate -qq -y -n thin -V 500m --thinpool pool vg", "lvcreate -qq -y -s -n snap vg/thin")),
    Made("lvm thin pool on raid1", lvm("ab", "lvcreate -qq -y --type raid1 -m 1 -n pool -L 64m vg",
         "lvconvert -qq -y --type thin-pool vg/pool", "lvcreate -qq -y -n thin -V 500m --thinpool pool vg"), disks=2),
    Made("lvm cache", lvm("ab", "lvcreate -qq -y -n lv -L 128m vg $a", "lvcreate -qq -y -n fast -L 64m vg $b",
         "lvconvert -qq -y --type cache --cachevol fast vg/lv", "mkfs.ext4 -q /dev/vg/lv"), disks=2),
    Made("lvm cache pool", lvm("ab", "lvcreate -qq -y -n lv -L 128m vg $a",
         "lvcreate -qq -y --type cache-pool -n fast -L 64m vg $b",
         "lvconvert -qq -y --type cache --cachepool fast vg/lv"), disks=2),
    Made("lvm write cache", lvm("ab", "lvcreate -qq -y -n lv -L 128m vg $a", "lvcreate -qq -y -n fast -L 64m vg $b",
         "lvchange -an vg/fast; lvconvert -qq -y --type writecache --cachevol fast vg/lv", "mkfs.ext4 -q /dev/vg/lv"),
         disks=2),
    Made("lvm cache on raid1, write back, settings", lvm("abc", "lvcreate -qq -y -n lv --type raid1 -m 1 -L 96m vg",
         "lvcreate -qq -y -n fast -L 64m vg $c", "lvconvert -qq -y --type cache --cachevol fast --cachemode writeback"
         " --chunksize 128k --cachesettings migration_threshold=16384 vg/lv", "mkfs.ext4 -q /dev/vg/lv"), disks=3),
    Made("lvm cache pool that nothing uses", lvm("a", "lvcreate -qq -y --type cache-pool -n fast -L 64m vg",
         "lvcreate -qq -y -n lv -L 64m vg")),
    Made("lvm thin pool that is cached", lvm("ab", "lvcreate -qq -y --type thin-pool -n pool -L 96m vg $a",
         "lvcreate -qq -y -n fast -L 64m vg $b", "lvconvert -qq -y --type cache --cachevol fast vg/pool",
         "lvcreate -qq -y -n thin -V 500m --thinpool pool vg"), disks=2),
    Made("lvm thin pool on stripes", lvm("ab", "lvcreate -qq -y --type thin-pool -i 2 -n pool -L 96m vg",
         "lvcreate -qq -y -n thin -V 500m --thinpool pool vg"), disks=2),
    Made("lvm raid1 with integrity data", lvm("ab", "lvcreate -qq -y -n lv --type raid1 -m 1 --raidintegrity y -L 64m"
         " vg"), disks=2),
    Made("lvm raid on partitions", gpt("a", "b", "c") + "pvcreate -qq ${a}1 ${b}1 ${c}1\n"
         "vgcreate -qq vg ${a}1 ${b}1 ${c}1\nlvcreate -qq -y -n lv --type raid5 -i 2 -L 64m vg\n", disks=3),
    Made("lvm, nothing more on one disk", lvm("ab", "lvcreate -qq -y -n lv -L 64m vg $a", "pvchange -qq -xn $a"),
         disks=2),
    Made("lvm snapshot", lvm("a", "lvcreate -qq -y -n lv -L 64m vg", "lvcreate -qq -y -s -n snap -L 16m vg/lv")),
    Made("lvm names with hyphens and dots", "pvcreate -qq $a; vgcreate -qq a-b.c $a\n"
         "lvcreate -qq -y -n d--e.f -L 64m a-b.c; mkfs.ext4 -q /dev/a-b.c/d--e.f\n"),
    Made("lvm two groups on one disk", "printf 'size=100MiB\\nsize=100MiB\\n' | sfdisk -q -X gpt $a; udevadm settle\n"
         "for n in 1 2; do pvcreate -qq $a$n; vgcreate -qq vg$n $a$n; lvcreate -qq -y -n lv -L 64m vg$n; done\n"),
    Made("lvm tags, read ahead, contiguous", "pvcreate -qq $a; vgcreate -qq -s 8m --addtag one --addtag two vg $a\n"
         "lvcreate -qq -y -n lv -C y -r 512 --addtag three -L 64m vg\n"),
    Made("lvm on md", md("1", "", "$a $b", "pvcreate -qq /dev/md/data; vgcreate -qq vg /dev/md/data\n"
         "lvcreate -qq -y -n lv -L 64m vg; mkfs.ext4 -q /dev/vg/lv"), disks=2),
    Made("lvm two metadata areas", "pvcreate -qq --metadatacopies 2 --metadatasize 4m $a; vgcreate -qq vg $a\n"
         "lvcreate -qq -y -n lv -L 64m vg\n"
         "mkfs.ext4 -q /dev/vg/lv\n"),
    Made("lvm that nothing starts by itself", "pvcreate -qq $a; vgcreate -qq --setautoactivation n vg $a\n"
         "lvcreate -qq -y -n lv -L 64m vg; lvcreate -qq -y -n more --setautoactivation n -L 8m vg\n"),
    Made("lvm area for a boot loader", "pvcreate -qq --bootloaderareasize 4m $a; vgcreate -qq vg $a\n"
         "lvcreate -qq -y -n lv -l 100%FREE vg; mkfs.ext4 -q /dev/vg/lv\n"),
)  # fmt: skip

LUKS = (
    Made("luks1 on a partition", gpt("a") + luks(LUKS1, "${a}1")),
    Made("luks1 on a larger disk", luks(LUKS1, "$a"), larger=64),
    Made("luks2 pbkdf2 on a partition", gpt("a") + luks(PBKDF2, "${a}1")),
    Made("luks2 argon2id on md", md("1", "", "$a $b", luks(ARGON2, "/dev/md/data")), disks=2),
    Made("luks2, opened by a partition that is none", luks_by_phantom("a") + "mount /dev/mapper/vault /srv/data\n"),
    Made("luks2 argon2id on a volume", lvm("a", "lvcreate -qq -y -n lv -L 96m vg", luks(ARGON2, "/dev/vg/lv"))),
    Made("luks2 with sectors of 4096 bytes, label", luks(f"{PBKDF2} --sector-size 4096 --label l", "$a")),
    Made("luks2 with flags", luks(PBKDF2, "$a") + "cryptsetup refresh --persistent --allow-discards"
         " --perf-no_read_workqueue --key-file $key vault\n"),
    Made("luks2, other cipher and hash", luks(f"{PBKDF2} -c serpent-xts-plain64 -s 256 -h sha512", "$a")),
    Made("luks2, header sizes", luks(f"{PBKDF2} --luks2-metadata-size 64k --luks2-keyslots-size 8m", "$a")),
    Made("luks2 with a token", luks(PBKDF2, "$a") + "cryptsetup token add --key-description some $a\n"),
    Made("luks2 with integrity", f"{PBKDF2} --integrity hmac-sha256 --integrity-no-wipe $a"
         " $key\ncryptsetup open --key-file $key $a vault\n"),
    Made("luks2 in the middle of a reencryption", f"{PBKDF2} $a $key\n{PBKDF2.replace('luksFormat', 'reencrypt')}"
         " --init-only --key-file $key $a\ncryptsetup open --key-file $key $a vault\nmkfs.ext4 -q /dev/mapper/vault\n"),
    Made("md on luks2", f"for n in $a $b; do {PBKDF2} $n $key; cryptsetup open --key-file $key $n v${{n##*/}}; done\n"
         + md("1", "", "/dev/mapper/v${a##*/} /dev/mapper/v${b##*/}"), disks=2),
    Made("lvm on luks2", f"{PBKDF2} $a $key; cryptsetup open --key-file $key $a vault\n"
         "pvcreate -qq /dev/mapper/vault; vgcreate -qq vg /dev/mapper/vault; lvcreate -qq -y -n lv -L 64m vg\n"
         "mkfs.ext4 -q /dev/vg/lv\n"),
)  # fmt: skip
