# SPDX-License-Identifier: GPL-3.0-or-later
"""SUSE Linux Enterprise and openSUSE: which package brings a missing program."""
from __future__ import annotations

from collections.abc import Sequence

from rear_core import Contents, hookimpl

# Package: what it brings. Beside programs: "kernel", and GRUB's modules by platform, as "grub-i386-pc".
PACKAGES = {
    "kernel-default": "kernel",
    "shim grub2-x86_64-efi": "shim-signed",
    "grub2-i386-pc": "grub-i386-pc",
    "grub2-x86_64-efi": "grub-x86_64-efi",
    "grub2-arm64-efi": "grub-arm64-efi",
    "grub2": "grub-mkimage grub2-mkimage",
    "xorriso": "xorriso",
    "dosfstools": "mkfs.vfat fatlabel fsck.vfat",
    "mtools": "mmd mcopy",
    "nfs-client": "mount.nfs mount.nfs4",
    "cpio": "cpio",
    "zstd": "zstd",
    "xz": "xz",
    "gzip": "gzip",
    "iproute2": "ip bridge",
    "ethtool": "ethtool",
    "libteam-tools": "teamd teamdctl",
    "udev": "udevadm systemd-udevd",
    "kmod": "modprobe depmod",
    "util-linux": "agetty blkid findmnt lsblk losetup mount mkswap wipefs sfdisk",
    "parted": "partprobe parted",
    "gptfdisk": "sgdisk",
    "mdadm": "mdadm",
    "lvm2": "lvm",
    "thin-provisioning-tools": "thin_check",
    "device-mapper": "dmsetup",
    "cryptsetup": "cryptsetup",
    "multipath-tools": "multipath multipathd",
    "e2fsprogs": "mke2fs mkfs.ext2 mkfs.ext3 mkfs.ext4 dumpe2fs tune2fs e2fsck",
    "xfsprogs": "mkfs.xfs xfs_info xfs_admin xfs_db xfs_repair",
    "btrfsprogs": "btrfs mkfs.btrfs",
    "openssh-server": "sshd",
    "openssh-common": "ssh-keygen",
    "tar": "tar",
    "efibootmgr": "efibootmgr",
    "dhcp-client": "dhclient",
    "dhcpcd": "dhcpcd",
    "binutils": "strip",
}


@hookimpl
def rear_rescue_contents() -> Contents:
    return Contents(files=["/etc/*-release"])


@hookimpl
def rear_install_advice(programs: Sequence[str]) -> str:
    known = {thing: package for package, things in PACKAGES.items() for thing in things.split()}
    packages = dict.fromkeys(known[program] for program in programs if program in known)
    advice = ["zypper install " + " ".join(packages)] if packages else []
    unknown = [program for program in programs if program not in known]
    advice += [f"zypper search --provides --file-list bin/{program}" for program in unknown]
    return "; ".join(advice)
