# SPDX-License-Identifier: GPL-3.0-or-later
"""Red Hat Enterprise Linux, Fedora and their kin: which package brings a missing program."""
from __future__ import annotations

from collections.abc import Sequence

from rear_core import Contents, hookimpl

# Package: what it brings. Beside programs: "kernel", and GRUB's modules by platform, as "grub-i386-pc".
PACKAGES = {
    "kernel-core kernel-modules": "kernel",
    "shim-x64 grub2-efi-x64-cdboot": "shim-signed",
    "grub2-pc-modules": "grub-i386-pc",
    "grub2-efi-x64-modules": "grub-x86_64-efi",
    "grub2-efi-aa64-modules": "grub-arm64-efi",
    "grub2-tools": "grub-mkimage grub2-mkimage",
    "xorriso": "xorriso",
    "dosfstools": "mkfs.vfat fatlabel fsck.vfat",
    "mtools": "mmd mcopy",
    "nfs-utils": "mount.nfs mount.nfs4",
    "cpio": "cpio",
    "zstd": "zstd",
    "xz": "xz",
    "gzip": "gzip",
    "iproute": "ip bridge",
    "ethtool": "ethtool",
    "teamd": "teamd teamdctl",
    "systemd-udev": "udevadm systemd-udevd",
    "kmod": "modprobe depmod",
    "util-linux": "agetty blkid findmnt lsblk losetup mount mkswap wipefs sfdisk",
    "parted": "partprobe parted",
    "gdisk": "sgdisk",
    "mdadm": "mdadm",
    "lvm2": "lvm",
    "device-mapper-persistent-data": "thin_check",
    "device-mapper": "dmsetup",
    "cryptsetup": "cryptsetup",
    "device-mapper-multipath": "multipath multipathd",
    "e2fsprogs": "mke2fs mkfs.ext2 mkfs.ext3 mkfs.ext4 dumpe2fs tune2fs e2fsck",
    "xfsprogs": "mkfs.xfs xfs_info xfs_admin xfs_db xfs_repair",
    "btrfs-progs": "btrfs mkfs.btrfs",
    "openssh-server": "sshd",
    "openssh": "ssh-keygen",
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
    advice = ["dnf install " + " ".join(packages)] if packages else []
    unknown = [program for program in programs if program not in known]
    advice += [f"dnf provides '*/bin/{program}'" for program in unknown]
    return "; ".join(advice)
