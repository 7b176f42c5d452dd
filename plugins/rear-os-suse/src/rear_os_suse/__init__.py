# SPDX-License-Identifier: GPL-3.0-or-later
"""SUSE Linux Enterprise and openSUSE: which package brings a missing program."""
from __future__ import annotations

from collections.abc import Sequence

from rear_core import Contents, hookimpl
from rear_core.system.packages import install_advice

# Package: what it brings. Beside programs: "kernel", and GRUB's modules by platform, as "grub-i386-pc".
PACKAGES = {
    "kernel-default": "kernel",
    "shim grub2-x86_64-efi": "shim-signed",
    "grub2-i386-pc": "grub-i386-pc",
    "grub2-x86_64-efi": "grub-x86_64-efi",
    "grub2-arm64-efi": "grub-arm64-efi",
    "grub2": "grub-mkimage grub2-mkimage",
    "nfs-client": "mount.nfs mount.nfs4",
    "xz": "xz",
    "iproute2": "ip bridge",
    "libteam-tools": "teamd teamdctl",
    "udev": "udevadm systemd-udevd",
    "util-linux": "agetty blkid blockdev dmesg fsck losetup mkswap mount mountpoint setsid sfdisk swapoff swapon"
    " umount wipefs",
    "gptfdisk": "sgdisk",
    "thin-provisioning-tools": "thin_check",
    "device-mapper": "dmsetup",
    "cryptsetup": "cryptsetup",
    "multipath-tools": "multipath multipathd",
    "btrfsprogs": "btrfs mkfs.btrfs",
    "openssh-common": "ssh-keygen",
    "openssh-clients": "sftp ssh",
    "dhcp-client": "dhclient",
    "dhcpcd": "dhcpcd",
    "binutils": "strip",
    "util-linux-systemd": "findmnt lsblk",
    "procps": "kill ps sysctl",
    "glibc": "getconf",
    "bash-sh": "sh",
}


@hookimpl
def rear_rescue_contents() -> Contents:
    return Contents(files=["/etc/*-release"])


@hookimpl
def rear_install_advice(programs: Sequence[str]) -> str:
    return install_advice(PACKAGES, "zypper install", "zypper search --provides --file-list bin/{}", programs)
