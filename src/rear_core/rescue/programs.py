# SPDX-License-Identifier: GPL-3.0-or-later
"""What every rescue system carries to be worked with, and how programs come into the tree."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ..contents import Contents
from ..shell import Shell
from .libraries import interpreters_of, libraries_of
from .tree import Tree, everything

UDEV_DAEMONS = ("/usr/lib/systemd/systemd-udevd", "/lib/systemd/systemd-udevd", "/usr/sbin/udevd")

REQUIRED = (
    "agetty", "basename", "bash", "blkid", "blockdev", "cat", "chmod", "chown", "chroot", "cp", "cut", "date", "dd",
    "df", "dirname", "dmesg", "du", "env", "false", "find", "findmnt", "fsck", "getconf", "grep", "gzip", "head",
    "hostname", "id", "install", "ip", "kill", "kmod", "ln", "losetup", "ls", "lsblk", "lsmod", "mkdir", "mkfifo",
    "mknod", "mkswap", "mktemp", "modinfo", "modprobe", "mount", "mountpoint", "mv", "od", "ps", "readlink", "rm",
    "rmdir", "rmmod", "sed", "seq", "setsid", "sh", "sleep", "sort", "stat", "stty", "swapoff", "swapon", "sync",
    "sysctl", "tac", "tail", "tar", "tee", "test", "timeout", "touch", "tr", "true", "truncate", "tty", "udevadm",
    "umount", "uname", "uniq", "wc", "wipefs", "xargs",
)  # fmt: skip
OPTIONAL = (
    "awk", "badblocks", "bzip2", "cfdisk", "chattr", "chvt", "clear", "cmp", "comm", "curl", "diff", "dmidecode",
    "dosfsck", "dumpe2fs", "e2fsck", "e2label", "egrep", "eject", "ethtool", "expand", "expr", "fallocate",
    "fdisk", "fgrep", "file", "flock", "free", "fsfreeze", "fuser", "getfacl", "getfattr", "gunzip", "hdparm",
    "hexdump", "hwclock", "ipcs", "jq", "killall", "last", "less", "loadkeys", "logger", "lsattr", "lscpu",
    "lsof", "lspci", "lsscsi", "lsusb", "lz4", "md5sum", "mke2fs", "mkfs", "mkfs.ext2", "mkfs.ext3", "mkfs.ext4",
    "more", "mt", "namei", "nano", "nc", "nohup", "nproc", "nsenter", "openssl", "parted", "partprobe", "partx",
    "paste", "pgrep", "pidof", "ping", "pkill", "printenv", "printf", "pwd", "realpath", "resize2fs", "rev",
    "rsync", "scp", "screen", "script", "sdparm", "setfacl", "setfattr", "setterm", "sfdisk", "sftp", "sg_inq",
    "sgdisk", "sha1sum", "sha256sum", "sha512sum", "shred", "smartctl", "split", "ss", "ssh", "ssh-keygen",
    "sshd", "strace", "tcpdump", "tmux", "top", "traceroute", "tune2fs", "unlink", "unshare", "unxz", "unzstd",
    "uptime", "vi", "vim", "vmstat", "watch", "wget", "which", "whoami", "xxd", "xz", "xzcat", "yes", "zcat",
    "zgrep", "zless", "zstd", "zstdcat",
)  # fmt: skip
FILES = (
    "/usr/lib/udev", "/lib/udev", "/etc/udev", "/usr/lib/systemd/network/*.link", "/lib/systemd/network/*.link",
    "/etc/systemd/network/*.link", "/usr/lib/modprobe.d", "/lib/modprobe.d", "/etc/modprobe.d",
    "/etc/localtime", "/etc/protocols", "/etc/services", "/etc/rpc", "/etc/netconfig", "/etc/mke2fs.conf",
    "/etc/ssl/openssl.cnf", "/etc/pki/tls/openssl.cnf", "/etc/crypto-policies/back-ends", "/etc/ld.so.conf",
    "/etc/ld.so.conf.d", "/etc/inputrc", "/usr/lib/locale/C.utf8",
    *(f"{base}/{name}" for base in ("/usr/share/terminfo", "/lib/terminfo", "/etc/terminfo") for name in (
        "a/ansi", "d/dumb", "l/linux", "s/screen", "s/screen-256color", "t/tmux", "t/tmux-256color", "v/vt100",
        "v/vt102", "v/vt220", "x/xterm", "x/xterm-256color")),
)  # fmt: skip
LIBRARIES = tuple(
    f"{place}/{name}"
    for place in ("/lib/*-linux-gnu*", "/lib64", "/usr/lib64", "/usr/lib")
    # Names and addresses, and what pthread_cancel loads; OpenSSL's own modules.
    for name in ("libnss_dns.so.*", "libnss_files.so.*", "libgcc_s.so.*", "ossl-modules/*.so", "openssh/sftp-server",
                 "openssh/sshd-session", "openssh/sshd-auth", "openssh/ssh-keysign")
)  # fmt: skip
EXCLUDED = (
    # The hardware database only gives devices prettier names, at 20 MiB.
    "*/udev/hwdb.bin", "*/udev/hwdb.d",
    # Nothing is activated by itself: an array that starts to resync writes to disks that are to be recovered.
    "*/udev/rules.d/*-md-raid-assembly.rules", "*/udev/rules.d/69-*lvm*.rules",
    "*/udev/rules.d/*-bcache.rules", "*/udev/rules.d/*-btrfs-dm.rules",
    "*/udev/v4l_id", "*/udev/mtd_probe",
    # A module that this machine must not load may be what another one needs; options stay.
    "*/modprobe.d/*blacklist*.conf",
)  # fmt: skip
# Taken for every machine, whatever is in them.
HIDDEN_IN = ("/etc/modprobe.d/", "/etc/udev/rules.d/", "/etc/systemd/network/")


def base_contents() -> Contents:
    """What every rescue system carries."""
    daemon = next((path for path in UDEV_DAEMONS if os.path.exists(path)), UDEV_DAEMONS[0])
    return Contents((*REQUIRED, daemon), OPTIONAL, LIBRARIES, files=FILES)


def missing(sh: Shell, contents: Contents) -> list[str]:
    """The required programs that are not installed."""
    return [program for program in contents.programs if sh.which(program) is None]


def add_programs(sh: Shell, tree: Tree, contents: Contents) -> list[Path]:
    """Take all programs that are installed, with the interpreters of scripts; return what needs libraries."""
    taken: list[Path] = []
    todo = [*contents.programs, *contents.optional_programs]
    seen: set[str] = set()
    while todo:
        name = todo.pop()
        place = sh.which(name)
        if name in seen or place is None:
            continue
        seen.add(name)
        for path in tree.add(place):
            taken.append(path)
            # Python programs run with the Python that rear brings along.
            todo += [word for word in interpreters_of(path) if not os.path.basename(word).startswith("python")]
    return taken


def is_hidden(path: str) -> bool:
    """Whether a file with options of drivers or rules of udev, where somebody may have put a password, is for root."""
    return path.startswith(HIDDEN_IN) and os.path.isfile(path) and not os.stat(path).st_mode & 0o044


def add_files(tree: Tree, patterns: Iterable[str], wanted: Callable[[str], bool] = everything) -> list[Path]:
    """Take files and directories by path or pattern; return the regular files."""
    return [
        file
        for pattern in patterns
        for path in sorted(glob.glob(pattern))
        if wanted(path)
        for file in tree.add(path, wanted)
    ]


def add_libraries(
    sh: Shell, tree: Tree, files: Sequence[Path], loader: str, directories: Sequence[str] = ()
) -> list[str]:
    """Take the libraries that these files load; return what is missing, in words."""
    found, lacking = libraries_of(sh, files, loader, directories)
    for library in sorted(found):
        tree.add(library)
    return lacking
