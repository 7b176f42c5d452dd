# SPDX-License-Identifier: GPL-3.0-or-later
"""Which package brings a missing program: what the OS plugins share."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath

# Package: the programs it brings, blank-separated, where all families of distributions agree.
COMMON = {
    "bash": "bash",
    "coreutils": "basename cat chmod chown chroot cp cut date dd df dirname du env false head id install ln ls mkdir"
    " mkfifo mknod mktemp mv od readlink rm rmdir seq sleep sort stat stty sync tac tail tee test timeout touch tr true"
    " truncate tty uname uniq wc",
    "cpio": "cpio",
    "dosfstools": "mkfs.vfat fatlabel fsck.vfat",
    "e2fsprogs": "mke2fs mkfs.ext2 mkfs.ext3 mkfs.ext4 dumpe2fs tune2fs e2fsck",
    "efibootmgr": "efibootmgr",
    "ethtool": "ethtool",
    "findutils": "find xargs",
    "grep": "grep",
    "gzip": "gzip",
    "hostname": "hostname",
    "kmod": "depmod kmod lsmod modinfo modprobe rmmod",
    "lvm2": "lvm",
    "mdadm": "mdadm",
    "mtools": "mmd mcopy",
    "openssh-server": "sshd",
    "parted": "partprobe parted",
    "rsync": "rsync",
    "sed": "sed",
    "tar": "tar",
    "xfsprogs": "mkfs.xfs xfs_info xfs_admin xfs_db xfs_repair",
    "xorriso": "xorriso",
    "zstd": "zstd",
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
