# SPDX-License-Identifier: GPL-3.0-or-later
"""Which package brings a missing program: what the OS plugins share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath

# Package: the programs it brings, blank-separated, where all families of distributions agree.
COMMON = {
    "acl": "getfacl setfacl",
    "attr": "getfattr setfattr",
    "bash": "bash",
    "busybox": "busybox",
    "bzip2": "bzip2",
    "coreutils": "basename cat chmod chown chroot cp cut date dd df dirname du env false head id install ln ls mkdir"
    " mkfifo mknod mktemp mv od readlink rm rmdir seq sleep sort stat stty sync tac tail tee test timeout touch tr"
    " true truncate tty uname uniq wc comm expand expr md5sum nohup nproc paste printenv printf pwd realpath sha1sum"
    " sha256sum sha512sum shred split unlink whoami yes",
    "cpio": "cpio",
    "curl": "curl",
    "diffutils": "cmp diff",
    "dmidecode": "dmidecode",
    "dosfstools": "mkfs.vfat fatlabel fsck.vfat dosfsck",
    "e2fsprogs": "mke2fs mkfs.ext2 mkfs.ext3 mkfs.ext4 dumpe2fs tune2fs e2fsck badblocks chattr e2label lsattr"
    " resize2fs",
    "efibootmgr": "efibootmgr",
    "ethtool": "ethtool",
    "file": "file",
    "findutils": "find xargs",
    "gawk": "awk",
    "grep": "grep egrep fgrep",
    "gzip": "gzip gunzip zcat zgrep zless",
    "hdparm": "hdparm",
    "hostname": "hostname",
    "iw": "iw",
    "jq": "jq",
    "kbd": "chvt loadkeys",
    "kmod": "depmod kmod lsmod modinfo modprobe rmmod",
    "less": "less",
    "lsof": "lsof",
    "lsscsi": "lsscsi",
    "lvm2": "lvm",
    "lz4": "lz4",
    "mdadm": "mdadm",
    "mtools": "mmd mcopy",
    "nano": "nano",
    "openssh-server": "sshd",
    "openssl": "openssl",
    "parted": "partprobe parted",
    "pciutils": "lspci",
    "psmisc": "fuser killall",
    "rclone": "rclone",
    "rsync": "rsync",
    "screen": "screen",
    "sdparm": "sdparm",
    "sed": "sed",
    "smartmontools": "smartctl",
    "squashfs-tools": "mksquashfs",
    "strace": "strace",
    "tar": "tar",
    "tcpdump": "tcpdump",
    "tmux": "tmux",
    "traceroute": "traceroute",
    "usbutils": "lsusb",
    "vim": "vi vim",
    "wget": "wget",
    "xfsprogs": "mkfs.xfs xfs_info xfs_admin xfs_db xfs_repair",
    "xorriso": "xorriso",
    "zstd": "zstd unzstd zstdcat",
}


def install_advice(packages: Mapping[str, str], install: str, search: str, programs: Sequence[str]) -> str:
    """The command that installs missing programs; one that searches, with `{}` for its name, for each unknown one.

    `packages` is a family's own part of the table; what it says of a program goes before what is common.
    """
    known = {
        program: package
        for table in (COMMON, packages)
        for package, brought in table.items()
        for program in brought.split()
    }
    names = [PurePath(program).name for program in programs]
    wanted = dict.fromkeys(known[name] for name in names if name in known)
    commands = [f"{install} {' '.join(wanted)}"] if wanted else []
    commands += [search.format(name) for name in dict.fromkeys(names) if name not in known]
    return "; ".join(commands)
